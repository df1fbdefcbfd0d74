// Package committed writes batches of rows to BigQuery, each exactly once.
//
// Open a ledger, then a [Writer] on it with [Open], then a [Partition] for each
// ordered sequence of batches with [Writer.Partition]. Resume the source at
// [Partition.Position] and hand over batch after batch with [Partition.Append]:
//
//	r, err := p.Append(ctx, committed.Batch{After: from, Position: next, Rows: rows})
//	...
//	ack, err := r.Wait(ctx) // landed, and the ledger says so
//
// When the table changes, [Partition.Schema] changes with it; [Partition.Refresh] asks at once.
// Compile a new encoder then, and name the schema in the batches that it encodes
// ([Batch].Schema). Batches keep the writer schema that they were encoded with, also through a
// crash; between two schemas the partition takes a new connection once what is in flight is
// answered (case 65). evolve.go has it all.
//
// [Writer.Verify] probes a partition's stream without opening it, and changes nothing.
//
// What a batch goes through has numbers, B1 to B7, and so has the replacing of a
// stream, R1 to R5; ARCHITECTURE.md tells them with file and function. Here
// append.go accepts (B1), perform.go carries out what the state machine of package
// recovery decides (B2, B6, B7, R2, R4), worker.go makes the calls to the service
// (B3, O1, R1, R3) and hears the answers (B5), and stream.go is the only file that
// knows managedwriter; wire.go listens below it.
//
// Goroutines: a partition has at most one worker, which makes its calls one after
// another and ends when none is due, and one goroutine for each connection that is being
// closed; timers run their functions in goroutines of their own. Answers come in
// managedwriter's goroutines, acknowledgements in the ledger's. [Writer.Close] waits
// for all of them.
//
// Locks, in the order in which they may be taken: Writer.mu or Partition.mu, never
// both; then those of slots, clients, wire, each held for a few instructions and
// never while calling out. Nothing blocks under any of them.
package committed
