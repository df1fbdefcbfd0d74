// Package lines makes batches of the lines of newline-delimited JSON that can be read again: it encodes them for the
// table, follows the table's schema while it changes, makes dead rows of what is refused, and does all of that once more
// for a batch whose lines are read a second time.
//
// [Encodings] are what the sources of one table share. A source has a [Follower] for the encoding of its next batch and a
// [Batch], which it fills again and again; what a partition's Replay returns is made by an [Again].
//
// But for Encodings nothing is safe for concurrent use.
package lines
