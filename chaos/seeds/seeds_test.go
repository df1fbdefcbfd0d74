package seeds

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var (
	firstSeed    = flag.Uint64("seed", 0, "the first seed of TestSeeds; 0: a new one, which is printed")
	howMany      = flag.Int("seeds", 0, "how many seeds TestSeeds plays; 0: 2,000, and 300 with -race")
	scheduleFile = flag.String("schedule", "", "a schedule that TestReplay plays")
	scheduleDir  = flag.String("schedules", filepath.Join(os.TempDir(), "eowriter-schedules"), "where TestSeeds saves schedules that fail")
)

// players is how many schedules are played at a time, if the processors allow: a bubble seldom has work for two.
const players = 4

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// TestSeeds plays seed after seed. If it fails, some mixture of faults, ends, silences and moved ledgers breaks the
// promise of exactly once, or gets a partition stuck: it prints the seed, its smallest schedule, and how to play it
// again.
func TestSeeds(t *testing.T) {
	first, n := *firstSeed, *howMany
	if first == 0 {
		first = uint64(rand.Uint32())
	}
	if n == 0 {
		n = seedsInCI
	}
	t.Logf("%d seeds: go test ./chaos/seeds -run TestSeeds -seeds %d -seed %d", n, n, first)
	covered := newCoverage()
	t.Cleanup(func() {
		t.Log(covered.table())
		if n >= coveringSeeds && !t.Failed() {
			for _, what := range mustHappen() {
				assert.GreaterOrEqual(t, covered.n[what], happensAtLeast, "%s did not happen", what)
			}
		}
	})
	var next sync.Mutex // guards seed and failures
	seed, failures := first, 0
	take := func() (uint64, bool) {
		next.Lock()
		defer next.Unlock()
		if played := seed - first; played > 0 && played%1000 == 0 {
			t.Logf("%d seeds", played)
		}
		seed++
		return seed - 1, seed-first <= uint64(n) && failures < 3
	}
	for i := range players {
		t.Run(fmt.Sprint("player ", i), func(t *testing.T) {
			t.Parallel()
			for seed, more := take(); more; seed, more = take() {
				s := Generate(seed)
				slow := time.AfterFunc(2*time.Minute, func() {
					fmt.Fprintf(os.Stderr, "seed %d takes long: if nothing comes of it, it hangs outside of virtual time\n", seed)
				})
				o := Play(t, s, Options{})
				slow.Stop()
				covered.merge(o.Covered)
				if o.Failure != nil {
					t.Error(found(t, s, o))
					next.Lock()
					failures++
					next.Unlock()
				}
			}
		})
	}
}

// found shrinks a schedule that fails, saves it, and returns the report.
func found(t *testing.T, s Schedule, o Outcome) string {
	smallest := shrink(s, 200, func(s Schedule) bool {
		again := Play(t, s, Options{})
		return again.Failure != nil && again.Failure.Kind == o.Failure.Kind
	})
	file, err := smallest.save(*scheduleDir)
	if err != nil {
		t.Log(err)
	}
	var text strings.Builder
	report(&text, s, o.Failure, o.Events, "")
	if again := Play(t, smallest, Options{}); again.Failure != nil {
		fmt.Fprintf(&text, "\nthe smallest schedule that was found:\n")
		report(&text, smallest, again.Failure, again.Events, file)
	}
	return text.String()
}

// TestFound plays the schedules that once broke the writer, or what we thought of it. If it fails, a bug is back.
func TestFound(t *testing.T) {
	files, err := filepath.Glob("testdata/found/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			s, err := readSchedule(file)
			require.NoError(t, err)
			if o := Play(t, s, Options{}); o.Failure != nil {
				var text strings.Builder
				report(&text, s, o.Failure, o.Events, file)
				t.Error(text.String())
			}
		})
	}
}

// TestReplay plays the schedule that -schedule names and prints all that happens.
func TestReplay(t *testing.T) {
	if *scheduleFile == "" {
		t.Skip("needs -schedule FILE")
	}
	s, err := readSchedule(*scheduleFile)
	require.NoError(t, err)
	o := Play(t, s, Options{AllEvents: true})
	t.Log("all events:\n" + strings.Join(o.Events, "\n"))
	if o.Failure != nil {
		t.Errorf("%s in run %d: %s", o.Failure.Kind, o.Failure.Run, o.Failure.Detail)
	}
}
