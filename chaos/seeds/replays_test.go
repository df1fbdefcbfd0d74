package seeds

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReplays plays seeds twice and holds what the service saw of each stream against each other: every request, with
// its offset, its rows and its answer, in their order. If it fails, a seed that was seen to fail might not fail again.
func TestReplays(t *testing.T) {
	t.Parallel()
	for seed, played := uint64(1), 0; played < replayed; seed++ {
		s := Generate(seed)
		if !replays(s) {
			continue
		}
		played++
		first, again := Play(t, s, Options{}), Play(t, s, Options{})
		require.Equal(t, first.Streams, again.Streams, "seed %d", seed)
		require.Equal(t, first.Failure, again.Failure, "seed %d", seed)
		require.NotEmpty(t, first.Streams, "seed %d", seed)
	}
}

// replayed is how many seeds TestReplays plays.
const replayed = 60

// replays says that a schedule replays to the last request. One that kills the process at a step need not: that is in
// the middle of what other goroutines do at the same moment of virtual time, so that the ledger may have one commit
// more or less, and more or less may be on its way to the service.
func replays(s Schedule) bool {
	return !slices.ContainsFunc(s.Runs, func(r Run) bool { return r.End.At.Nth > 0 })
}
