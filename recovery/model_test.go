package recovery

import (
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	modelFull = flag.Bool("model.full", false, "search the models of TestModel within their full bounds")
	modelPlay = flag.String("model.play", "", "play this history of the model that -run names, as a violation prints it")
)

// explore searches a model through, or plays the history that was asked for.
func explore(t *testing.T, b bounds) {
	t.Helper()
	r := &search{bounds: &b, sample: 256}
	if *modelPlay != "" {
		v := &violation{what: "as asked for"}
		for _, word := range strings.Fields(*modelPlay) {
			m, err := parseMove(word)
			require.NoError(t, err)
			v.history = append(v.history, m)
		}
		t.Log(r.tell(v))
		return
	}
	began := time.Now()
	v := r.run()
	t.Logf("%d states, %d moves, at most %d from the first; %d let go on well; %d MiB of states at most waiting; %v",
		len(r.parent), r.taken, r.depth, r.well, r.widest>>20, time.Since(began).Round(time.Millisecond))
	if v != nil {
		t.Fatal(r.tell(v))
	}
	require.Greater(t, len(r.parent), 10)
}

// TestModel searches all states within bounds. If it fails, it prints a shortest history
// to a state that must not be: a row twice in the table or out of order, one acknowledged
// or told to have landed that is not there, a contract of the machine broken, a stop
// though nobody meddled, or an end that is none.
func TestModel(t *testing.T) {
	weather := bounds{rows: 3, batch: 2, window: 2, delays: 2, crashes: 2, errors: unlimited, breaks: unlimited}
	for _, m := range []struct {
		name string
		with func(b *bounds)
		full func(b *bounds) // nil: the bounds are full already
	}{
		{name: "weather", with: func(b *bounds) { b.rows, b.batch, b.window, b.crashes = 4, 3, 3, unlimited }},
		{name: "rotation", with: func(b *bounds) { b.ages, b.lags = 1, unlimited }},
	} {
		t.Run(m.name, func(t *testing.T) {
			b := weather
			m.with(&b)
			if *modelFull && m.full != nil {
				m.full(&b)
			}
			explore(t, b)
		})
	}
}

// TestModelHistory searches the eight histories of ../shared/reliability.md
func TestModelHistory(t *testing.T) {
	for name, b := range map[string]bounds{
		"1": {rows: 2, batch: 1, window: 1, push: true, crashes: 1, reverts: 1},
		"2": {rows: 3, batch: 2, window: 2, bad: 1 << 1, breaks: 1, delays: 1},
		"3": {rows: 2, batch: 1, window: 1, bad: 1 << 0, reverts: 1},
		"4": {rows: 1, batch: 1, window: 1, restores: 2},
		"5": {rows: 1, batch: 1, window: 1, ages: 1, restores: 1},
		"6": {rows: 2, batch: 1, window: 1, push: true, ages: 1, copies: 1, crashes: 1},
		"7": {rows: 1, batch: 1, window: 1, restores: 1, expiries: 1},
		"8": {rows: 1, batch: 1, window: 1, crashes: 1, lags: 1},
	} {
		t.Run(name, func(t *testing.T) {
			b.trusting = true
			explore(t, b)
		})
	}
}
