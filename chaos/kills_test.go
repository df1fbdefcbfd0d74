package chaos_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
	"github.com/stretchr/testify/require"
)

// seed chooses what the tests here leave to chance. A test that fails prints it.
var seed = flag.Uint64("seed", rand.Uint64(), "chooses the occurrences of steps at which writers are killed")

// atLeast is how often writers must be killed before, and how often after each step.
const atLeast = 20

// kills counts how often writers were killed at each step, so that one at which by some
// mistake none is killed is noticed.
type kills struct {
	mu           sync.Mutex             // guards what follows
	expected     int                    // tests
	tests        int                    // that ran
	at           map[workload.Point]int // without Nth
	inRecoveries int
}

// newKills requires enough kills before and after each step of some letters, if all the
// tests that were expected ran.
func newKills(t *testing.T, letters string) *kills {
	t.Logf("the moments are chosen by -args -seed=%d", *seed)
	k := &kills{at: map[workload.Point]int{}}
	t.Cleanup(func() {
		var table strings.Builder
		few := false
		for _, s := range slices.Concat(committed.Steps, committed.Endings, []committed.Step{workload.H2}) {
			if strings.ContainsRune(letters, rune(s[0])) {
				before, after := k.at[workload.Point{Step: s}], k.at[workload.Point{Step: s, Done: true}]
				fmt.Fprintf(&table, "%s  %4d before  %4d after\n", s, before, after)
				few = few || min(before, after) < atLeast
			}
		}
		t.Logf("killed, in %d tests, and %d times in recoveries:\n%s", k.tests, k.inRecoveries, &table)
		if all := k.tests == k.expected && !testing.Short() && !raceEnabled; all {
			require.False(t, few, "writers were killed less than %d times at some of the steps", atLeast)
		}
	})
	return k
}

// expect announces a test.
func (k *kills) expect() { k.expected++ }

// killed notes that a writer was killed at a point.
func (k *kills) killed(at workload.Point) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if at.Step == "" {
		k.inRecoveries++
		return
	}
	at.Nth = 0
	k.at[at]++
}

// ran notes that a test has passed.
func (k *kills) ran() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tests++
}
