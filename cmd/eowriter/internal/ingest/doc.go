// Package ingest takes appends from producers and lands each exactly once. It is the sidecar's heart: servers translate
// requests for it, and it knows nothing of them.
//
// [New] takes a ledger and a writer and lets land what earlier runs left. A producer's append goes through
// [Ingest.Accept] (accept.go), which judges its positions (positions.go), takes room for it (room.go), encodes its rows for
// the table's present schema (encode.go, schema.go) and puts it in its partition's queue; the [Pending] that it returns
// waits until the append is stored or has landed. [Ingest.Close] comes last.
//
// A partition (partition.go) has two goroutines at most. tend (tend.go) opens it at the writer, notes what has landed, and
// opens it again when it has stopped for a reason that may pass. offer (offer.go) makes batches of what is in the
// queue, several appends in one if they come fast, and ends when there is nothing to do. Ingest.Close waits for all of
// them.
//
// Producers are told no position that is not durable: what is only queued may be lost yet (settle).
//
// What a partition remembers of its appends is what the ledger remembers: those that are open, and those of the last batch
// that landed. So a repeated request gets the same answer before and after a restart.
//
// Appends without positions stand in the partition where they were accepted and move nothing: those with positions
// go on as if they weren't there.
//
// Locks, in the order in which they may be taken: partition.mu, then Ingest.mu, budget.mu or table.mu. Each is held for a
// few instructions and never while calling the writer, except for methods of committed.Partition that only read.
package ingest
