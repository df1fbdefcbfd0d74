// Package tail follows growing and rotated logs of newline-delimited JSON and lands each line exactly once. It keeps no
// rows: the ledger has offsets, digests and positions, and what has to be sent again is read again.
//
// [New] and [Tail.Start] begin, [Tail.Close] comes last; in between a Tail is ingest's Files. A watcher per pattern
// (watch.go) looks for logs and says when something has changed. Each log has a follower (follower.go, session.go, batch.go), one
// goroutine, that opens its partition, has batches made of its lines (package lines) and notes what has landed.
//
// What it reads is a [Log] (log.go, chain.go): a chain of files, of which the newest has the live name, read one after another,
// each to its end. Where reading stands is a source.LogPosition: the number of the file in the chain, the offset, and what is
// seen of the content before it (seen.go), the first KiB of the file and the last KiB before the offset. By that, and not by its
// name or inode, a file is found again among those in the folder (find.go): renamed, copied, compressed. names.go knows what rotated
// files are called, and in which order they were written; reader.go cuts lines; again.go reads batches a second time.
// seen.go, names.go and reader.go are pure.
//
// A batch is of one file. The first batch of a file begins with the file; so the lines between two positions are known.
//
// What can't be read any more is told as a [Loss], and reading goes on with what there is.
package tail
