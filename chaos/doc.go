// Package chaos proves that every row lands exactly once, whatever happens to the
// writer, its ledger and its stream.
//
// Collect a [History]: what the source has, what the table holds, what callers were
// told, what became durable before which request came, and what the ledger claims.
// [History.Judge] then names every way in which they don't fit. It knows nothing of
// writers, ledgers or services, so that a bug in those can't hide itself here; its own
// tests give it broken histories.
//
// The tests of this package make such histories. A writer (chaos/workload) runs in a
// child process against an emulator that outlives it. It is killed at each numbered
// step of ARCHITECTURE.md, B1-B7, O1-O3, R1-R5, and again while it recovers
// (crash_test.go; the list of tests is made from committed.Steps, so that a new step
// without a crash test fails). Its ledger is restored from a copy taken at each step,
// moved, and copied (restore_test.go); somebody else finalizes, appends to or drops its
// stream (foreign_test.go); its clock is set (clock_test.go). How each of those must end
// is said by one function over the ledger and the service, before the writer runs
// (expect_test.go). Package scenario brings all faults together.
package chaos
