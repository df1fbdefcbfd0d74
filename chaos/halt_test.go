package chaos_test

import (
	"fmt"
	"testing"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
	"github.com/stretchr/testify/require"
)

// TestCrashWhileHalting kills the writer before and after a stop is marked in the ledger,
// and the operator's program before and after the mark is taken back. If it failed, a
// crash there would let a partition go on beside another owner, or never again.
func TestCrashWhileHalting(t *testing.T) {
	dead := newKills(t, "H")
	for _, deed := range foreignDeeds {
		for _, frozen := range []bool{false, true} {
			for _, nth := range []int{1, 2} { // one for each partition
				for _, open := range []int{7, 11} { // appends that were sent before
					for _, step := range []committed.Step{committed.H1, workload.H2} {
						for _, done := range []bool{false, true} {
							at := workload.Point{Step: step, Done: done, Nth: nth}
							if testing.Short() && (nth > 1 || open > 7) {
								continue
							}
							dead.expect()
							t.Run(fmt.Sprintf("%s after %d/%v/%s", deed.name, open, at, mode(frozen)), func(t *testing.T) {
								t.Parallel()
								a := newArena(t, workload.Script{Frozen: frozen}, emulator.Options{})
								a.dead = dead
								testHalt(a, deed, open, at)
								dead.ran()
							})
						}
					}
				}
			}
		}
	}
}

func testHalt(a *arena, deed foreignDeed, open int, at workload.Point) {
	for tries := 0; tries == 0 || !a.allOpen(); tries++ { // without an open batch nothing is in doubt
		a.crash(workload.Point{Step: committed.B3, Done: true, Nth: open})
	}
	a.settle()
	want := map[string]error{}
	for _, p := range openToRead(a.t, a.script.Ledger).Partitions {
		require.NoError(a.t, deed.do(a.srv, p.Stream))
		want[p.Key.Name] = deed.stops
	}
	require.Equal(a.t, want, a.expect(false))
	if at.Step == workload.H2 {
		a.runAs(want)
		a.script.Resolve = true
	}
	a.crash(at)
	a.requireSound()
	a.script.Resolve = false
	for range 2 { // whether the mark is there or not, the partitions stop, and are marked
		require.Equal(a.t, want, a.expect(false))
		a.runAs(want)
		for _, p := range openToRead(a.t, a.script.Ledger).Partitions {
			require.NotNil(a.t, p.Halt)
		}
	}
}

// allOpen says that every partition has open batches.
func (a *arena) allOpen() bool {
	led := openToRead(a.t, a.script.Ledger)
	for _, p := range partitions {
		if len(led.Open[p]) == 0 {
			return false
		}
	}
	return true
}
