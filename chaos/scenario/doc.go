// Package scenario brings all faults together: of the service, on the wire, in the
// process, by the operator. It is what `eowriter chaos` runs.
//
// [List] has the scenarios, [Run] plays them: each in rounds, a round with a service
// (chaos/emulator), a wire (chaos/netfault), a ledger and writers of its own, which are
// processes (chaos/workload) and die or are stopped one after another until all rows
// have landed, or the writer has said why it can't go on. Then the oracle (chaos)
// judges what the source, the table, the callers and the ledger say.
//
// One number reproduces what a round does: every decision is drawn from (seed, what it
// is about, ordinal), see round.draw, and the faults of the service and of the wire
// from (seed, stream or connection, ordinal). When processes are scheduled otherwise, a
// kill at the tenth append may meet another append; what is done is the same.
//
// service.go, wire.go, process.go, operator.go and copied.go have the scenarios, mixed.go the one
// that has everything; round.go sets a round up and judges it, turn.go runs one writer
// and what is done to it.
package scenario
