// Package seeds plays scenarios that one integer makes, in virtual time, and judges them.
//
// Generate makes a [Schedule] of a seed: partitions, a service with its faults, and a row of runs
// of the writer, each with its options, its rests and its end, and what happens to the ledger and
// the clock between them. Play plays a schedule in a bubble of testing/synctest against the
// emulator, by way of a transport in memory and the real managedwriter, and returns what the
// oracle of package chaos finds, with the last events and a history for each stream. Shrink looks
// for a smaller schedule that fails in the same way. A schedule is plain data, kept as JSON.
//
//	go test ./chaos/seeds -v                                  # as many seeds as CI plays, from a new one on
//	go test ./chaos/seeds -run TestSeeds -seed N -seeds 1     # one again
//	go test ./chaos/seeds -run TestReplay -schedule FILE -v   # a schedule again, with all its events
//	go test ./chaos/seeds -run TestSeeds -seeds 1000000 -timeout 0
//
// # What replays
//
// Every decision is drawn from (seed, what is decided, its ordinal); nothing is drawn from a
// source that several goroutines share. Each partition has a table of its own, so that the
// emulator's draws, which are keyed by table, stream and ordinal, don't depend on the others. The
// service takes some time for each request and the transport for each write, so that what happens
// to a stream happens at different moments of virtual time, one after another, however goroutines
// are scheduled. TestReplays holds the histories of streams against each other: request by request,
// with the answer. What does not replay: the ledger's and the streams' random names, and the order
// of what happens at one moment to several partitions. Where partitions touch each other (faults
// that end connections which several share, a bound on connections, a kill at a moment of another
// one), that order may show.
package seeds
