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

// TestModel searches every state that a model reaches within its bounds. If it fails, it
// prints a shortest history to a state that must not be: a row twice in the table or out
// of order; one acknowledged, or told to have landed, that is not there; a contract
// broken; a stop though nobody meddled; an owner that has come to no end and does nothing.
//
// Each model is searched through. Those that are larger in full say so; -model.full
// searches them so.
func TestModel(t *testing.T) {
	for _, m := range []struct {
		name string
		with func(*bounds)
		full func(*bounds) // nil: it is
	}{
		{name: "weather", with: func(b *bounds) {
			b.rows, b.batch, b.window, b.crashes, b.ages, b.lags = 4, 3, 3, unlimited, 0, 0
		}},
		{name: "rotation", with: func(b *bounds) { b.ages = unlimited }},
		{name: "too large", with: func(b *bounds) { b.limit = 1 }},
		{name: "dead letters", with: func(b *bounds) { b.bad = 1 << 1 }},
		{name: "taken", with: func(b *bounds) { b.lags, b.finalize, b.expiries = 0, 1, 1 }},
		{name: "skipped", with: func(b *bounds) { b.lags, b.skips = 0, 1 }},
		{name: "resolved", with: func(b *bounds) { b.lags, b.expiries, b.words = 0, 2, unlimited }},
		{
			name: "restored",
			with: func(b *bounds) { b.crashes, b.lags, b.restores, b.expiries = 1, 0, 1, 1 },
			full: func(b *bounds) { b.crashes, b.lags = 2, unlimited },
		},
		{
			name: "restored, pushed",
			with: func(b *bounds) { b.crashes, b.lags, b.restores, b.push = 1, 0, 1, true },
			full: func(b *bounds) { b.crashes, b.lags, b.expiries = 2, unlimited, 1 },
		},
		{
			name: "restored, with orders",
			with: func(b *bounds) {
				b.rows, b.delays, b.crashes, b.errors, b.lags, b.restores, b.expiries, b.skips, b.words = 2, 1, 1, 0, 0, 1, 1, 1, 1
			},
			full: func(b *bounds) { b.rows, b.delays, b.crashes = 3, 2, 2 },
		},
		{
			name: "restored, with a second word",
			with: func(b *bounds) {
				b.rows, b.batch, b.delays, b.crashes, b.ages, b.errors, b.lags, b.restores, b.expiries, b.words = 2, 1, 0, 1, 0, 0, 0, 1, 1, 2
			},
		},
		{
			name: "rolled back",
			with: func(b *bounds) { b.crashes, b.lags, b.reverts, b.expiries = 1, 0, 1, 1 },
			full: func(b *bounds) { b.crashes, b.lags = 2, unlimited },
		},
		{
			name: "copied",
			with: func(b *bounds) {
				b.rows, b.delays, b.crashes, b.errors, b.breaks, b.lags, b.copies = 2, 1, 1, 0, 0, 0, 1
			},
			full: func(b *bounds) { b.rows, b.delays, b.crashes, b.errors, b.breaks = 3, 2, 2, unlimited, unlimited },
		},
	} {
		t.Run(m.name, func(t *testing.T) {
			b := bounds{rows: 3, batch: 2, window: 2, delays: 2, crashes: 2, ages: 1, lags: unlimited, errors: unlimited, breaks: unlimited}
			m.with(&b)
			if *modelFull && m.full != nil {
				m.full(&b)
			}
			explore(t, b)
		})
	}
}

// TestModelHistory searches the smallest models in which the eight histories that broke
// earlier designs would be found: with the rule that excludes one taken out of the machine
// (chaos/mutants/testdata/history-*.patch), its search prints that history, or one to the
// same end. The ledger takes every write here, so that what counts is what comes of it. If
// one fails, the rule has been lost.
func TestModelHistory(t *testing.T) {
	for _, h := range []struct {
		name string
		bounds
	}{
		// Backup; A lands; the backup in its place; B is bound before the probe; a restart takes A's rows for B's.
		{"1", bounds{rows: 2, batch: 1, window: 1, push: true, crashes: 1, reverts: 1}},
		// AB and C are sent; B is refused; A and C are bound anew in place, and land; the old C arrives.
		{"2", bounds{rows: 3, batch: 2, window: 2, bad: 1 << 1, breaks: 1, delays: 1}},
		// A is refused; backup; B lands at its offset; the backup in its place takes B's rows for A's.
		{"3", bounds{rows: 2, batch: 1, window: 1, bad: 1 << 0, reverts: 1}},
		// Backup with A open; restored and taken over, A lands; restored and taken over again, A lands.
		{"4", bounds{rows: 1, batch: 1, window: 1, restores: 2}},
		// Sealed; backup; A lands on the successor; the backup makes another successor, A lands.
		{"5", bounds{rows: 1, batch: 1, window: 1, ages: 1, restores: 1}},
		// Sealed; copied; both reach the successor and take it for theirs.
		{"6", bounds{rows: 2, batch: 1, window: 1, push: true, ages: 1, copies: 1, crashes: 1}},
		// Backup; A lands; the backup in its place; the stream expires; A lands on a new one.
		{"7", bounds{rows: 1, batch: 1, window: 1, restores: 1, expiries: 1}},
		// A is acknowledged; crash; the probe's view lags: no conflict.
		{"8", bounds{rows: 1, batch: 1, window: 1, crashes: 1, lags: 1}},
	} {
		t.Run(h.name, func(t *testing.T) {
			h.trusting = true
			explore(t, h.bounds)
		})
	}
}

// TestModelExclusions admits what the models above keep apart, one by one: each does harm. If
// it fails, the design excludes more than its model does: keep less apart, and promise more.
func TestModelExclusions(t *testing.T) {
	for _, e := range []struct {
		name string
		bounds
	}{
		{"overlapping", bounds{rows: 1, batch: 1, window: 1, ages: 1, copies: 1, admitted: overlapping}},
		{"rolled past", bounds{rows: 1, batch: 1, window: 1, reverts: 1, expiries: 1, admitted: rolledPast}},
		{"expired unseen", bounds{rows: 1, batch: 1, window: 1, copies: 1, expiries: 1, admitted: expiredUnseen}},
		{"rolled on the way", bounds{rows: 2, batch: 1, window: 1, push: true, delays: 1, breaks: 1, reverts: 1, admitted: rolledOnTheWay}},
		{"told on the way", bounds{rows: 1, batch: 1, window: 1, delays: 1, restores: 1, expiries: 1, words: 1, admitted: toldOnTheWay}},
		{"rolled fast", bounds{rows: 2, batch: 1, window: 1, push: true, crashes: 1, lags: 1, reverts: 1, admitted: rolledFast}},
	} {
		t.Run(e.name, func(t *testing.T) {
			e.trusting = true
			r := &search{bounds: &e.bounds}
			v := r.run()
			require.NotNil(t, v, "no harm among %d states", len(r.parent))
			require.Contains(t, v.what, "rows {")
			t.Log(r.tell(v))
			e.admitted = 0
			explore(t, e.bounds)
		})
	}
}

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
	if underRace {
		r.most = 3_000 // it is one goroutine, so no race is missed
	}
	began := time.Now()
	if *modelFull {
		r.progress = func() {
			t.Logf("%d states up to %d moves from the first, %v", len(r.parent), r.depth, time.Since(began).Round(time.Second))
		}
	}
	v := r.run()
	t.Logf("%d states, %d moves, up to %d from the first; %d let go on well; up to %d MiB of states waiting; %v",
		len(r.parent), r.taken, r.depth, r.well, r.widest>>20, time.Since(began).Round(time.Millisecond))
	if v != nil {
		t.Fatal(r.tell(v))
	}
	if r.most > 0 {
		return
	}
	for kind, allowed := range b.allowed() {
		require.Equal(t, allowed, r.kinds[kind] > 0, "%s: allowed and never happened, or the other way round", moveNames[kind])
	}
}
