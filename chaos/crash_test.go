package chaos_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"github.com/zeebo/xxh3"
)

// circumstance is a way of writing in which some steps come.
type circumstance struct {
	name    string
	steps   string        // the letters of the steps that come in it
	reason  ledger.Reason // why streams are replaced in it; 0: they are not
	only    string        // the mode in which it comes; "": both
	script  workload.Script
	options emulator.Options
	prelude func(*arena) // brings it about; may be nil
}

// aging has the source fall silent three times until the stream was replaced, and an
// earlier run's stream replaced at each start.
var aging = circumstance{
	name: "aging", steps: "R", reason: ledger.Aging,
	script: workload.Script{Age: age(), Rests: []int64{5 * batchRows, 15 * batchRows, 30 * batchRows}},
}

// age is how old streams get: far more than it takes to replace one, or nothing else would be done.
func age() time.Duration {
	if raceEnabled {
		return 200 * time.Millisecond
	}
	return 30 * time.Millisecond
}

// tooLarge has the service refuse batches, so that streams are replaced with open
// intents, one of which is split.
var tooLarge = circumstance{
	name: "too large", steps: "R", reason: ledger.TooLarge, options: emulator.Options{SoftLimit: workload.SoftLimit},
}

// circumstances are those in which every step comes for every reason.
var circumstances = []circumstance{
	{name: "plain", steps: "OB"},
	aging,
	tooLarge,
	{name: "moved", steps: "R", reason: ledger.TakeOver, prelude: func(a *arena) {
		a.crash(workload.Point{Step: committed.B3, Done: true, Nth: 20})
		a.move()
	}},
	{name: "dirty", steps: "OB", script: workload.Script{Dirty: true}},
	{name: "row errors", steps: "R", reason: ledger.RowErrors, script: workload.Script{Dirty: true}},
	{name: "encoder changed", steps: "R", reason: ledger.Encoding, only: mode(false), prelude: func(a *arena) {
		// 18 batches land, and 24 are bound: each partition has some that have not landed.
		a.srv.Inject(emulator.Fault{Kind: emulator.CloseBefore, After: 20})
		a.crash(workload.Point{Step: committed.B2, Done: true, Nth: 24})
		a.srv.ClearFaults()
		a.script.Encoder = 2
	}},
	{name: "lagging", steps: "R", reason: ledger.Lagging, prelude: func(a *arena) {
		a.crash(workload.Point{Step: committed.B6, Done: true, Nth: 24})
		a.srv.Inject(emulator.Fault{Kind: emulator.StaleEnd, Lag: 60, Checks: 100})
	}},
	{name: "resolved", steps: "R", reason: ledger.Resolved, prelude: func(a *arena) {
		a.unsettle()
		a.lose()
		a.order(func(l *ledger.Ledger, p ledger.Partition, _ []ledger.Intent, done func(error)) {
			stream, _ := a.srv.Stream(p.Stream) // what a person sees in the table
			l.Resolve(p.ID, p.Epoch, &ledger.Resolution{Landed: stream.End}, done)
		})
	}},
	{name: "skipped", steps: "R", reason: ledger.Skipped, prelude: func(a *arena) {
		a.unsettle()
		a.skip()
	}},
	{name: "skipped and too large", steps: "R", reason: ledger.TooLarge, options: emulator.Options{SoftLimit: workload.SoftLimit}, prelude: func(a *arena) {
		a.crash(workload.Point{Step: committed.R4, Done: true, Nth: 2})
		a.skip() // a batch that was split, or one that is yet to be
	}},
	{name: "retired", steps: "F", prelude: (*arena).finish},
	{name: "retired after a split", steps: "F", options: tooLarge.options, prelude: (*arena).finish},
	{name: "moved and retired", steps: "F", reason: ledger.TakeOver, prelude: func(a *arena) {
		a.finish()
		a.move()
	}},
}

// unsettle leaves batches of each partition open: some have landed, some have not.
func (a *arena) unsettle() {
	a.srv.Inject(emulator.Fault{Kind: emulator.CloseBefore, After: 20})
	a.crash(workload.Point{Step: committed.B2, Done: true, Nth: 24})
	a.srv.ClearFaults()
	a.settle()
}

// lose has the service forget the streams of all partitions, which a run finds out.
func (a *arena) lose() {
	for _, p := range openToRead(a.t, a.script.Ledger).Partitions {
		require.NoError(a.t, a.srv.ExpireStream(p.Stream))
	}
	for _, p := range partitions {
		require.ErrorIs(a.t, a.run()[p], committed.ErrInDoubt)
	}
}

// skip has the last open batch of each partition skipped that has one, unless its stream
// is sealed: then the ledger takes no such order.
func (a *arena) skip() {
	skipped := 0
	a.order(func(l *ledger.Ledger, p ledger.Partition, open []ledger.Intent, done func(error)) {
		n := len(open)
		if n == 0 || p.Seal != nil {
			done(nil)
			return
		}
		skipped++
		l.Skip(p.ID, p.Epoch, open[n-1].Number, "skipped by a person", done)
	})
	require.Positive(a.t, skipped)
}

// order is what a person orders for each partition.
func (a *arena) order(order func(*ledger.Ledger, ledger.Partition, []ledger.Intent, func(error))) {
	l, err := ledger.Open(a.script.Ledger, &ledger.Options{SegmentBytes: 64 << 10})
	require.NoError(a.t, err)
	defer func() { require.NoError(a.t, l.Close()) }()
	all, err := l.Partitions()
	require.NoError(a.t, err)
	require.Len(a.t, all, len(partitions))
	for _, p := range all {
		_, open, err := l.Partition(p.Key)
		require.NoError(a.t, err)
		done := make(chan error, 1)
		order(l, p, open, func(err error) { done <- err })
		require.NoError(a.t, <-done)
	}
}

// finish has everything land; the next run retires the partitions.
func (a *arena) finish() {
	require.Empty(a.t, a.run())
	a.script.Retire = true
}

// comes says whether a step comes in a circumstance.
func (c circumstance) comes(s committed.Step) bool { return strings.ContainsRune(c.steps, rune(s[0])) }

// middle is an occurrence of a step in the middle of a run.
func middle(s committed.Step) int {
	if s[0] == 'B' {
		return 12
	}
	return 2 // one for each partition
}

// recoveries are the moments at which a recovery is killed, one after the other.
var recoveries = []workload.Point{{Nth: 1}, {Nth: 5}, {Nth: 12}}

// TestCrash kills the writer at every step, and then its recoveries, one after the
// other. If it failed, a crash at that step would lose, repeat or disorder rows.
func TestCrash(t *testing.T) {
	died := newKills(t, "OBRF")
	for _, c := range circumstances {
		for _, step := range slices.Concat(committed.Steps, committed.Endings) {
			for _, frozen := range []bool{false, true} {
				if !c.comes(step) || c.only != "" && c.only != mode(frozen) {
					continue
				}
				for _, m := range moments(c, step, frozen) {
					if testing.Short() && (m.at.Nth > 1 || frozen == m.at.Done) {
						continue
					}
					died.expect()
					t.Run(fmt.Sprintf("%s/%v/%s", c.name, m, mode(frozen)), func(t *testing.T) {
						t.Parallel()
						testCrash(t, c, m, frozen, died)
						died.ran()
					})
				}
			}
		}
	}
}

// moment is when a writer is killed, and when its recoveries are.
type moment struct {
	at         workload.Point
	round      int // 0: the first test of that moment
	recoveries []workload.Point
}

func (m moment) String() string {
	if m.round == 0 {
		return m.at.String()
	}
	return fmt.Sprintf("%v, round %d", m.at, m.round)
}

// moments are those of a step: its first occurrence and one in the middle, with three
// recoveries; and as many more as it takes to kill at each at least atLeast times, at
// occurrences and with a recovery that the seed chooses. A step that comes only once
// for each partition has rounds instead of occurrences.
func moments(c circumstance, s committed.Step, frozen bool) (all []moment) {
	for _, done := range []bool{false, true} {
		if done && s == committed.R3 && c.reason == ledger.Resolved {
			continue // there is nothing to finalize
		}
		add := func(nth, round int, recoveries ...workload.Point) {
			all = append(all, moment{workload.Point{Step: s, Done: done, Nth: nth}, round, recoveries})
		}
		add(1, 0, recoveries...)
		add(middle(s), 0, recoveries...)
		if raceEnabled { // nothing new for the race detector
			continue
		}
		random := rand.New(rand.NewPCG(*seed, xxh3.HashString(fmt.Sprint(c.name, s, done, frozen))))
		recovery := func() workload.Point { return workload.Point{Nth: 1 + random.IntN(12)} }
		switch s[0] {
		case 'B':
			for _, nth := range random.Perm(middle(s) - 2)[:3] { // of those between
				add(2+nth, 0, recovery())
			}
		case 'O':
			for round := range 2 {
				add(1, round+1, recovery())
				add(2, round+1, recovery())
			}
		case 'F':
			add(1, 1, recovery())
			add(2, 1, recovery())
		}
	}
	return all
}

func mode(frozen bool) string {
	if frozen {
		return "frozen"
	}
	return "replayable"
}

func testCrash(t *testing.T, c circumstance, m moment, frozen bool, died *kills) {
	c.script.Frozen = frozen
	a := newArena(t, c.script, c.options)
	a.died = died
	if c.prelude != nil {
		c.prelude(a)
	}
	a.crash(m.at)
	a.requireSound()
	for _, again := range m.recoveries {
		a.crash(again)
		a.requireSound()
	}
	require.Empty(t, a.run())
	if c.reason != 0 {
		require.Contains(t, slices.Concat(slices.Collect(maps.Values(a.log.Reasons))...), c.reason)
	}
	if a.script.Retire {
		a.requireRetired()
	} else {
		a.requireComplete()
	}
}
