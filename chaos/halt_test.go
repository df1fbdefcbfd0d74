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
	died := newKills(t, "H")
	for _, deed := range foreignDeeds {
		for _, step := range []committed.Step{committed.H1, workload.H2} {
			for _, m := range haltings(step) {
				died.expect()
				t.Run(fmt.Sprintf("%s after %d/%v/%s", deed.name, m.open, m.at, mode(m.frozen)), func(t *testing.T) {
					t.Parallel()
					testHalt(t, deed, m, died)
					died.ran()
				})
			}
		}
	}
	for _, m := range haltings(workload.H2) {
		died.expect()
		t.Run(fmt.Sprintf("with a word after %d/%v/%s", m.open, m.at, mode(m.frozen)), func(t *testing.T) {
			t.Parallel()
			testWord(t, m, died)
			died.ran()
		})
	}
}

// halting is when a writer or an operator is killed, and what the partitions have by then.
type halting struct {
	at     workload.Point
	open   int // appends that were sent before
	frozen bool
}

// haltings are those of a step: both partitions' occurrences.
func haltings(s committed.Step) (all []halting) {
	for _, done := range []bool{false, true} {
		for _, nth := range []int{1, 2} {
			for _, open := range []int{7, 11} {
				for _, frozen := range []bool{false, true} {
					if !testing.Short() || nth == 1 && open == 7 {
						all = append(all, halting{workload.Point{Step: s, Done: done, Nth: nth}, open, frozen})
					}
				}
			}
		}
	}
	return all
}

// halted returns an arena where somebody has done something to the streams of both
// partitions, which have open batches, and what they must stop with.
func halted(t *testing.T, deed foreignDeed, m halting, died *kills) (*arena, map[string]error) {
	a := newArena(t, workload.Script{Frozen: m.frozen}, emulator.Options{})
	a.died = died
	for tries := 0; tries == 0 || !a.allOpen(); tries++ { // without an open batch nothing is in doubt
		a.crash(workload.Point{Step: committed.B3, Done: true, Nth: m.open})
	}
	a.settle()
	want := map[string]error{}
	for _, p := range openToRead(t, a.script.Ledger).Partitions {
		require.NoError(t, deed.do(a.srv, p.Stream))
		want[p.Key.Name] = deed.stops
	}
	require.Equal(t, want, a.expect(false))
	return a, want
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

func testHalt(t *testing.T, deed foreignDeed, m halting, died *kills) {
	a, want := halted(t, deed, m, died)
	if m.at.Step == workload.H2 {
		a.runAs(want)
		a.script.Resolve = true
	}
	a.crash(m.at)
	a.requireSound()
	a.script.Resolve = false
	for range 2 { // whether the mark is there or not, the partitions stop, and are marked
		require.Equal(t, want, a.expect(false))
		a.runAs(want)
		for _, p := range openToRead(t, a.script.Ledger).Partitions {
			require.NotNil(t, p.Halt)
		}
	}
}

// testWord has the operator say what of the streams, which are gone, has landed: then all
// lands.
func testWord(t *testing.T, m halting, died *kills) {
	a, want := halted(t, foreignDeeds[2], m, died)
	a.runAs(want)
	a.script.Resolve, a.script.Words = true, map[string]int64{}
	for _, p := range openToRead(t, a.script.Ledger).Partitions {
		stream, known := a.srv.Stream(p.Stream)
		require.True(t, known)
		a.script.Words[p.Key.Name] = stream.End
	}
	for _, at := range []workload.Point{m.at, {Nth: 6}, {Nth: 12}} {
		a.crash(at)
		a.requireSound()
	}
	require.Empty(t, a.run())
	a.requireComplete()
}
