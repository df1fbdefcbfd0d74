package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// note is what a span was told.
type note struct {
	mu     sync.Mutex
	shared int
	steps  []committed.Step
	ended  []error
}

func (n *note) Shared(appends int) { n.mu.Lock(); n.shared = appends; n.mu.Unlock() }

func (n *note) Step(s committed.Step) { n.mu.Lock(); n.steps = append(n.steps, s); n.mu.Unlock() }

func (n *note) End(err error) { n.mu.Lock(); n.ended = append(n.ended, err); n.mu.Unlock() }

// told are events that note everything. Its counts are for the test to read when all has landed.
type told struct {
	mu                                  sync.Mutex
	spans                               []*note
	accepted, duplicate, stored, landed int
	bytes                               int64
}

func (o *told) events() Events {
	locked := func(f func()) { o.mu.Lock(); defer o.mu.Unlock(); f() }
	return Events{
		Begin: func(context.Context, ledger.Key, int) Span {
			s := &note{}
			locked(func() { o.spans = append(o.spans, s) })
			return s
		},
		Accepted: func(_ ledger.Key, duplicate bool) {
			locked(func() {
				o.accepted++
				if duplicate {
					o.duplicate++
				}
			})
		},
		Stored: func(ledger.Key, time.Duration) { locked(func() { o.stored++ }) },
		Landed: func(_ ledger.Key, bytes int64, _ time.Duration) { locked(func() { o.landed++; o.bytes += bytes }) },
	}
}

// If it fails, metrics count other appends than there were, or a trace has the steps of another append.
func TestEvents(t *testing.T) {
	o := &told{}
	opt := testOptions()
	opt.Events, opt.Linger = o.events(), time.Minute
	g := newRig(t, opt, emulator.Options{})
	g.append(span("a", 0, 1))
	g.append(span("a", 0, 1)) // a duplicate
	g.refused(span("a", 7, 8), eowriterv1.Reason_REASON_POSITION)
	g.srv.Inject(emulator.Fault{Kind: emulator.Stall})
	pending := []*Pending{g.accept(span("a", 1, 2))}
	until(t, "the first to be on its way", func() bool { return g.state("a").InFlight == 1 })
	pending = append(pending, g.accept(span("a", 2, 3)), g.accept(span("a", 3, 4))) // they share a batch
	g.srv.ClearFaults()
	g.srv.ResetConnections()
	for _, p := range pending {
		_, err := p.Wait(ctx(), landed)
		require.NoError(t, err)
	}
	g.drained()
	once := []committed.Step{committed.B1, committed.B2, committed.B3, committed.B5, committed.B6, committed.B7}
	for n, want := range []struct {
		shared int
		steps  []committed.Step
	}{{1, once}, {0, nil}, {0, nil}, {1, nil}, {2, once}, {2, once}} {
		s := o.spans[n]
		require.Equal(t, want.shared, s.shared, "append %d", n)
		if n == 3 { // it was sent again
			require.Equal(t, once[:3], s.steps[:3])
			require.Contains(t, s.steps[3:], committed.B3)
			require.Equal(t, once[4:], s.steps[len(s.steps)-2:])
		} else {
			require.Equal(t, want.steps, s.steps, "append %d", n)
		}
		require.Len(t, s.ended, 1, "append %d", n)
		require.Equal(t, n == 2, s.ended[0] != nil, "append %d", n)
	}
	require.Equal(t, []int{5, 1, 4, 4}, []int{o.accepted, o.duplicate, o.stored, o.landed})
	require.Positive(t, o.bytes)
}

// If it fails, metrics of what is open, stopped or halted are wrong.
func TestStats(t *testing.T) {
	opt := testOptions()
	g := newRig(t, opt, emulator.Options{})
	g.append(span("a", 0, 1))
	g.append(span("b", 0, 1))
	g.srv.Inject(emulator.Fault{Kind: emulator.Stall})
	before := time.Now()
	_, err := g.accept(span("a", 1, 3)).Wait(ctx(), stored)
	require.NoError(t, err)
	none := span("a", 0, 1)
	none.Key.Table = "projects/p/datasets/d/tables/none"
	g.refused(none, eowriterv1.Reason_REASON_NO_TABLE)
	until(t, "the append to be on its way", func() bool { return g.state("a").InFlight == 1 })
	s, err := g.in.Stats()
	require.NoError(t, err)
	require.Len(t, s.Tables, 1, "a table that isn't there is none")
	table := s.Tables[0]
	require.False(t, table.Oldest.Before(before))
	require.False(t, table.Moved.After(table.Oldest))
	table.Oldest, table.Moved = time.Time{}, time.Time{}
	require.Equal(t, TableStats{Table: testTable, Open: 1, Intents: 1, InFlight: 1}, table)
	require.Equal(t, 2, s.States[eowriterv1.State_STATE_OPEN])
	require.Equal(t, map[Cause]int{NoTable: 1}, s.Stopped)
	require.Equal(t, 1, s.Appends)
	require.Positive(t, s.Bytes)

	g.srv.ClearFaults()
	g.srv.ResetConnections()
	g.drained()
	g.srv.Inject(emulator.Fault{Kind: emulator.Finalize, Count: 1}) // somebody else does
	_, err = g.accept(span("a", 3, 4)).Wait(ctx(), landed)
	require.Error(t, err)
	until(t, "the partition to be halted", func() bool { return g.state("a").State == eowriterv1.State_STATE_HALTED })
	g.crash()
	g.open()
	s, err = g.in.Stats()
	require.NoError(t, err)
	require.Equal(t, map[Cause]int{Fenced: 1}, s.Stopped, "also after a restart")
	require.Equal(t, 1, s.States[eowriterv1.State_STATE_HALTED])
}

// If it fails, nobody is told that a log's partition is halted.
func TestStatsOfFiles(t *testing.T) {
	s, table := &Stats{Stopped: map[Cause]int{}}, &TableStats{}
	updated := time.Now()
	part := &ledger.Partition{Mode: ledger.Replayable, Updated: updated}
	(&Ingest{}).countFile(part, s, table)
	require.Empty(t, s.Stopped)
	require.Equal(t, updated, table.Moved)
	part.Halt = &ledger.Halt{Cause: ledger.Conflict}
	(&Ingest{}).countFile(part, s, table)
	require.Equal(t, map[Cause]int{Conflict: 1}, s.Stopped)
}

// If it fails, values of rows can be in the log: the service's words have them.
func TestLoggable(t *testing.T) {
	words := status.Error(codes.InvalidArgument, "bad value: secret")
	denied := status.Error(codes.PermissionDenied, "no access")
	for _, err := range []error{
		words, fmt.Errorf("open: %w", words),
		&committed.Error{Kind: committed.ErrRefused, Class: retry.RowErrors, Detail: "row 0: secret"},
		&committed.Error{Kind: committed.ErrBlocked, Class: retry.Blocked, Err: words},
		fmt.Errorf("again: %w", &committed.Error{Kind: committed.ErrBlocked, Class: retry.Blocked, Err: words}),
	} {
		require.Contains(t, err.Error(), "secret")
		require.NotContains(t, Loggable(err), "secret")
		require.Contains(t, Loggable(err), "see the partition's state")
	}
	for _, err := range []error{denied, errors.New("no access"), &committed.Error{Kind: committed.ErrBlocked, Class: retry.Blocked, Err: denied}} {
		require.True(t, strings.Contains(Loggable(err), "no access"), "what to mend must be there")
	}
	require.Equal(t, Unreached, causeOf(status.Error(codes.Unavailable, "x")))
	require.Equal(t, Blocked, causeOf(denied))
}
