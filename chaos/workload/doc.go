// Package workload is what the tests and scenarios of package chaos write: partitions
// of numbered rows, the same each time they are read, so that a table tells which row
// of which source each of its rows is.
//
// A [Shape] says how much there is. A [Source] gives a partition's batches and gives
// them again; some of its rows are refused, if it is dirty. A [Script] is what a
// writer does in one run: Script.Run does it in this process, Script.Child in a
// process of its own, which tells what it learns as [Note]s and may die at a [Point].
// Afterwards Shape.Table and [ReadLedger] make what the service and the ledger hold
// into a [chaos.History] to judge.
package workload
