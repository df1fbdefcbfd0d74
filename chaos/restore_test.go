package chaos_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

// continuation is what the original does after a copy of its ledger was taken.
type continuation struct {
	name string
	do   func(*arena)
}

var continuations = []continuation{
	{"nothing", func(*arena) {}},
	{"what was open lands", func(a *arena) { a.goOn(0) }},
	{"one more batch", func(a *arena) { a.goOn(a.reached() + batchRows) }},
	{"another stream", func(a *arena) { a.goOnElsewhere() }},
	{"a crash", func(a *arena) { a.crash(workload.Point{Nth: 30}); a.settle() }},
	{"the end", func(a *arena) { a.goOn(sourceEnd) }},
}

// goOn has the original write up to a row; nothing stands in its way.
func (a *arena) goOn(upto int64) {
	s := a.script
	a.script.Upto = upto
	require.Empty(a.t, a.run())
	a.script = s
}

// goOnElsewhere has the original replace its streams, and write a batch then.
func (a *arena) goOnElsewhere() {
	s := a.script
	a.script.Age, a.script.Rests = aging.script.Age, []int64{0}
	led := openToRead(a.t, s.Ledger)
	for _, p := range led.Partitions {
		a.script.Rests = append(a.script.Rests, boundOf(a.t, p, led.Open[p.Key.Name]))
	}
	a.goOn(a.reached() + batchRows)
	a.script = s
}

// stopAt has a writer killed at a point; where its stream is being replaced, batches
// are open. What it had sent has arrived or never will.
func stopAt(t *testing.T, at workload.Point, frozen bool) *arena {
	var c circumstance
	if !c.comes(at.Step) {
		c = tooLarge
	}
	c.script.Frozen = frozen
	a := newArena(t, c.script, c.options)
	a.crash(at)
	a.settle()
	return a
}

// copies are the moments at which a copy of the ledger is taken: every step.
func copies() (all []workload.Point) {
	for _, s := range committed.Steps {
		nth := 1
		if s[0] == 'B' {
			nth = middle(s)
		}
		all = append(all, workload.Point{Step: s, Nth: nth}, workload.Point{Step: s, Done: true, Nth: nth})
	}
	return all
}

// TestRestoreInPlace copies the ledger at every step, lets the writer go on, puts the
// copy back in place, and starts again while the first answers get lost. If it
// failed, rows would be lost or repeated by a backup that is restored (histories 1, 3,
// 5 and 7 of those that broke earlier designs).
func TestRestoreInPlace(t *testing.T) {
	ends := newTally(t, len(copies())*len(continuations)*2, nil, committed.ErrConflict, committed.ErrFenced)
	for i, at := range copies() {
		for j, c := range continuations {
			for k, companion := range []bool{false, true} {
				frozen := (i+j+k)%2 == 1
				if testing.Short() && (i+j+k)%7 != 0 {
					continue
				}
				name := fmt.Sprintf("%v/then %s/%s companion %v", at, c.name, mode(frozen), companion)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					a := stopAt(t, at, frozen)
					copied := a.copyLedger()
					c.do(a)
					a.restore(copied, companion)
					a.loseAnswers()
					// Alone it does not fit the companion that counted on; see ledger.Identity.
					want := ends.count(a.expect(!companion && c.name != "nothing"))
					if a.runAs(want) {
						a.requireComplete()
					}
				})
			}
		}
	}
}

// TestMove copies the ledger at every step and goes on with the copy alone, elsewhere,
// with its companion or without. If it failed, a ledger could not be moved to another
// machine, or would go on without having taken its streams over.
func TestMove(t *testing.T) {
	for i, at := range copies() {
		frozen := i%4 < 2
		t.Run(fmt.Sprintf("%v/%s", at, mode(frozen)), func(t *testing.T) {
			t.Parallel()
			a := stopAt(t, at, frozen)
			a.move()
			known := openToRead(t, a.script.Ledger).Partitions
			a.loseAnswers()
			require.True(t, a.runAs(a.expect(true)))
			for _, p := range known {
				require.Contains(t, a.log.Reasons[p.Key.Name], ledger.TakeOver)
			}
			a.requireComplete()
		})
	}
}

// TestCompact compacts the ledger of a writer that died at any step. If it failed, that would pass
// for a move, lose what was open, or leave the old file a second owner.
func TestCompact(t *testing.T) {
	for i, at := range copies() {
		frozen := i%4 < 2
		if testing.Short() && i%3 > 0 {
			continue
		}
		t.Run(fmt.Sprintf("%v/%s", at, mode(frozen)), func(t *testing.T) {
			t.Parallel()
			a := stopAt(t, at, frozen)
			old := a.script.Ledger + ".old"
			require.NoError(t, os.Link(a.script.Ledger, old))
			_, _, err := ledger.Compact(a.script.Ledger)
			require.NoError(t, err)
			a.loseAnswers()
			require.True(t, a.runAs(a.expect(false)))
			for _, p := range partitions {
				require.NotContains(t, a.log.Reasons[p], ledger.TakeOver)
			}
			a.requireComplete()

			// Its owner in the old file is nobody any more.
			require.NoError(t, os.Rename(old, a.script.Ledger))
			brought, err := ledger.OpenReadOnly(a.script.Ledger)
			require.NoError(t, err)
			defer func() { require.NoError(t, brought.Close()) }()
			require.True(t, brought.Moved())
		})
	}
}

// TestCopiesTakeTurns lets the original and a copy of its ledger run one after the
// other. If it failed, two of them could write the same rows, or overwrite each
// other's place (histories 4 and 6).
func TestCopiesTakeTurns(t *testing.T) {
	ends := newTally(t, turnsTaken, nil, committed.ErrConflict, committed.ErrFenced)
	for i, at := range copies() {
		if at.Step[0] == 'O' {
			continue // then the copy knows not every partition, which nothing can heal: see expect
		}
		for j, first := range []string{"the copy", "the original"} {
			frozen := (i/2+j)%2 == 1
			t.Run(fmt.Sprintf("%v/%s first/%s", at, first, mode(frozen)), func(t *testing.T) {
				t.Parallel()
				testTurns(t, at, frozen, first == "the copy", ends)
			})
		}
	}
}

// turnsTaken is how many runs those tests make.
const turnsTaken = 2 * 2 * 12 * 4

func testTurns(t *testing.T, at workload.Point, frozen, copyFirst bool, ends *tally) {
	a := stopAt(t, at, frozen)
	original, copied := a.script.Ledger, a.copyLedger()
	turns := []string{original, copied, original, copied}
	if copyFirst {
		turns = []string{copied, original, copied, original}
	}
	arrived := false // the copy has been opened in its place
	for i, path := range turns {
		a.use(path)
		moved := path == copied && !arrived
		arrived = arrived || moved
		a.script.Upto = a.reached() + batchRows
		if i >= 2 {
			a.script.Upto = sourceEnd
		}
		want := ends.count(a.expect(moved))
		if a.runAs(want) && a.script.Upto == sourceEnd {
			a.requireComplete()
		}
	}
	require.Empty(t, a.forgotten)
}
