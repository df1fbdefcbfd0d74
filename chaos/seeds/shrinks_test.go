package seeds

import (
	"slices"
	"strings"
	"testing"

	"github.com/eowriter/eowriter/chaos"
	"github.com/stretchr/testify/require"
)

// TestShrink shrinks a schedule by a judge that takes the third fault of a kind for a failure. If it fails, a failing
// seed is reported as it is, with all its faults and runs of which one matters.
func TestShrink(t *testing.T) {
	t.Parallel()
	const what = "fault error-after"
	fails := func(s Schedule) bool { return Play(t, s, Options{}).Covered.n[what] >= 3 }
	s := Generate(1)
	for seed := uint64(2); len(s.Runs) < 2 || len(s.Partitions) < 2 || !replays(s) || !fails(s); seed++ {
		s = Generate(seed)
	}
	small := shrink(s, 100, fails)
	require.True(t, fails(small), "%s", text(small))
	require.Less(t, len(text(small)), len(text(s))/2)
	require.Equal(t, small, shrink(s, 100, fails), "it is not the same each time")

	file, err := small.save(t.TempDir())
	require.NoError(t, err)
	read, err := readSchedule(file)
	require.NoError(t, err)
	require.Equal(t, text(small), text(read))
}

// TestShrinksToTheSmallest gives a judge that looks at the schedule alone: nothing is left that could be left out. If it
// fails, some part of schedules is never left out.
func TestShrinksToTheSmallest(t *testing.T) {
	fails := func(s Schedule) bool {
		frozen := slices.ContainsFunc(s.Partitions, func(p Partition) bool { return p.Frozen })
		kills := slices.ContainsFunc(s.Runs, func(r Run) bool { return r.End.Kill && r.Follow })
		return frozen && kills && strings.Contains(text(s), "error-after:p=") && s.Rows > 4
	}
	shrunk := 0
	for seed := range uint64(300) {
		s := Generate(seed)
		if !fails(s) {
			continue
		}
		shrunk++
		small := shrink(s, 10_000, fails)
		require.Equal(t, []Partition{{Frozen: true}}, small.Partitions, "seed %d", seed)
		require.EqualValues(t, 5, small.Rows, "seed %d", seed)
		require.Len(t, small.Runs, 1, "seed %d", seed)
		require.Equal(t, 1, len(small.Faults)+len(small.Runs[0].Faults), "seed %d", seed)
		require.Empty(t, small.Runs[0].Rests, "seed %d", seed)
		require.Empty(t, small.Runs[0].Then, "seed %d", seed)
		require.Equal(t, Service{Latency: s.Service.Latency, Pace: s.Service.Pace}, small.Service, "seed %d", seed)
		for _, change := range changes(small) {
			next := clone(small)
			change(&next)
			require.True(t, next.check() != nil || sameAs(small, next) || !fails(next), "seed %d: %s", seed, text(next))
		}
	}
	require.Greater(t, shrunk, 10)
}

// TestShrinkIsBounded gives a schedule that always fails: nothing is left of it. One that never does again stays as it
// is, and no more is tried than was allowed. If it fails, a failure could keep CI busy for hours.
func TestShrinkIsBounded(t *testing.T) {
	for seed := range uint64(50) {
		s := Generate(seed)
		small := shrink(s, 1000, func(Schedule) bool { return true })
		require.Len(t, small.Partitions, 1)
		require.Empty(t, small.Runs)
		require.Empty(t, small.Faults)
		require.EqualValues(t, 1, small.Rows)
		tried := 0
		require.Equal(t, s, shrink(s, 10, func(Schedule) bool { tried++; return false }))
		require.Equal(t, 10, tried)
	}
}

// TestSeesAmnesia plays seeds in which a killed process leaves its ledger as it was before the run, as one that doesn't
// sync would. If it fails, the seeds can't see what they are there to see.
func TestSeesAmnesia(t *testing.T) {
	t.Parallel()
	kinds, kills := map[chaos.Kind]int{}, 0
	for seed := range uint64(60) {
		o := Play(t, Generate(seed), Options{Amnesia: true})
		if o.Failure == nil {
			continue
		}
		kinds[o.Failure.Kind]++
		kills += o.Covered.n["run killed"]
		require.NotEqual(t, broken, o.Failure.Kind, "seed %d: %s", seed, o.Failure.Detail)
	}
	require.NotZero(t, kills)
	require.GreaterOrEqual(t, kinds[stopped]+kinds[chaos.Unsound]+kinds[chaos.Forgotten]+kinds[chaos.Duplicated]+kinds[chaos.Rebound]+kinds[chaos.Unbound]+kinds[chaos.Apart], 8, "%v", kinds)
	t.Log(kinds)
}

// TestReport checks what somebody reads who comes to a red CI. If it fails, they do not know what to type.
func TestReport(t *testing.T) {
	s := Generate(7)
	o := Play(t, s, Options{})
	require.Len(t, o.Events, eventsKept)
	all := Play(t, s, Options{AllEvents: true})
	require.Greater(t, len(all.Events), eventsKept)
	var b strings.Builder
	report(&b, s, &Failure{chaos.Lost, 2, "row 3"}, o.Events, "/tmp/found.json")
	require.Contains(t, b.String(), "seed 7: lost in run 2: row 3")
	require.Contains(t, b.String(), "go test ./chaos/seeds -run TestSeeds -seeds 1 -seed 7\n")
	require.Contains(t, b.String(), "go test ./chaos/seeds -run TestReplay -v -schedule /tmp/found.json\n")
	require.Contains(t, b.String(), text(s))
	for _, e := range o.Events {
		require.Contains(t, b.String(), e)
	}
}
