// Package recovery is the state machine of one partition: it decides, and does
// nothing itself. It has no I/O, no clock and no lock, so that every history of
// crashes, broken connections and lying answers can be played in a test.
//
// Its owner makes a [Machine] with [New], feeds it what happened with [Machine.Step]
// (first an event of kind Start) and carries out the actions that come back, in
// their order. Those never block: writes for the ledger, results for callers,
// timers. What may block, the calls to the service, is not pushed but pulled: one
// worker asks [Machine.Next], makes that one call, and reports its outcome as an
// event. So the machine knows exactly what was handed to the client when, which
// is what ALREADY_EXISTS is judged by (invariant 6 of ARCHITECTURE.md).
//
// A fresh start, a restart, a broken connection and a rewind are the same machine
// fed with different events:
//
//	Start ─┬─ no epoch ──▶ creating ─▶ opening ─▶ probing ─▶ live
//	       ├─ owned ─────────────────────────────▶ probing
//	       └─ sealed ─▶ finalizing ─▶ settling ──▶ probing
//	live ─▶ draining ─▶ probing, where the stream's end has to be asked for again
//	live or probing ─▶ draining ─▶ succeeding ─▶ sealing ─▶ finalizing ─▶ …
//	probing, the stream gone, a person's word in the ledger ─▶ draining ─▶ … finalizing, where the word counts if the service can't say
//	any ─▶ stopped, with a Cause: a halt in the ledger first, if a restart would not see it (halt.go)
//
// The steps O1-O3, B1-B7 and R1-R5 named in the comments are those of
// ARCHITECTURE.md. The package is used by one goroutine at a time.
package recovery
