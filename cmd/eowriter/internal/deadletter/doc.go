// Package deadletter delivers the dead letters of a ledger, each exactly once: to a file of newline-delimited JSON, or
// to a table.
//
// OpenFile or OpenTable comes first, then Delivery.All, as often as there may be letters. A letter goes these steps, and
// a crash between any two of them neither loses nor repeats it:
//
//	D1  it is read from the ledger
//	D2  it is written: to the end of the file, or as a row of a frozen partition (then steps B1 to B7 follow)
//	D3  it is durable there: the file is synced, or the row has landed
//	D4  the ledger forgets it, durably
//
// A crash before D4 leaves it in both places. What has been written is known there by ledger, partition and number, which
// grow: the file's last lines say how far each partition got, as does the frozen partition's position, which is the
// number of its last letter.
package deadletter
