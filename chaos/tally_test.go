package chaos_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// tally counts the ends that a family of tests expected, so that one which by some
// mistake never leads to, say, a conflict is noticed.
type tally struct {
	mu    sync.Mutex // guards what follows
	tests int
	ends  map[error]int // by what a partition was to stop with; nil: it was to complete
}

// newTally requires each of the ends, if all the tests of the family ran, and as many
// as given.
func newTally(t *testing.T, tests int, ends ...error) *tally {
	y := &tally{ends: map[error]int{}}
	t.Cleanup(func() {
		t.Logf("%d tests, ends: %v", y.tests, y.ends)
		for _, end := range ends {
			if y.tests == tests {
				require.NotZero(t, y.ends[end], "no partition had to end with %v", end)
			}
		}
	})
	return y
}

// count counts a test with what each partition of its is to end with.
func (y *tally) count(want map[string]error) map[string]error {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.tests++
	for _, p := range partitions {
		y.ends[want[p]]++
	}
	return want
}
