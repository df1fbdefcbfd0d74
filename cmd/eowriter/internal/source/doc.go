// Package source reads newline-delimited JSON from files and standard input, in a way that can be resumed: where a
// reader stands is a Position, and a Position holds enough to notice that a file is not the one it was.
//
// Open a File, Skip to the position that the ledger knows (which verifies everything before it), then take rows with
// Peek and Advance and ask for the Position after each batch. To read a batch again, use a Replayer: it reads exactly
// the lines between two positions. PartitionName gives the name of a file's partition.
//
// Compression goes by the name: .gz and .zst are decompressed, offsets count bytes of the uncompressed stream.
// Nothing here is safe for concurrent use, but separate Files and Replayers of one path are.
package source
