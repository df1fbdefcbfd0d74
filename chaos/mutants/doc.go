// Package mutants breaks the writer on purpose, to prove that its tests would notice.
//
// Each file testdata/NAME.patch is one deliberate bug: a unified diff against the module's root, below lines that say
// what the bug is and which test must fail with it:
//
//	Bug: an intent counts as durable as soon as it was asked for
//	Kills: ./recovery TestPropertyWeather
//	Flags: -rapid.seed=1 -rapid.nofailfile -rapid.shrinktime=1ms
//
// Kills names a package and a test, or a subtest with slashes; Flags, which may be left out, are for the test binary. A
// patch is applied in memory, wherever its lines stand now as long as that is one place, and `go test -overlay` runs that
// one test: no file of the module is ever changed. The mutant is killed if the named test itself failed; one that does not
// apply or compile, or whose test times out or passes, survived, and a survivor is a hole in the tests.
//
// Plain `go test` checks that every patch applies and compiles, and runs one mutant of the ledger and one of recovery. All
// of them run with EOWRITER_TEST_MUTANTS=1, in two minutes of two processors; -v prints what each bug is and what killed it.
package mutants
