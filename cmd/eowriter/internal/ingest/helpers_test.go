package ingest

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// managedwriter keeps one asleep for 20 s after each connection; it can't be told to stop.
		goleak.IgnoreAnyFunction("cloud.google.com/go/bigquery/storage/managedwriter.(*connection).getStream.func1"),
		goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"),
	)
}

const (
	stored = eowriterv1.Acknowledge_ACKNOWLEDGE_STORED
	landed = eowriterv1.Acknowledge_ACKNOWLEDGE_LANDED
)

const testTable = "projects/p/datasets/d/tables/t"

func testKey(name string) ledger.Key { return ledger.Key{Table: testTable, Name: name} }

func parse(t require.TestingT, text string) *storagepb.TableSchema {
	s, err := rows.ParseSchema([]byte(text))
	require.NoError(t, err)
	return s
}

const testSchema = `[{"name": "n", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "p", "type": "STRING"}, {"name": "short", "type": "STRING", "maxLength": 3}, {"name": "day", "type": "DATE"}]`

// rig is an emulator with an Ingest on it.
type rig struct {
	t    require.TestingT
	srv  *emulator.Server
	path string
	opt  Options
	wopt committed.Options
	led  *ledger.Ledger
	w    *committed.Writer
	in   *Ingest
}

// testOptions are quick to try again.
func testOptions() Options {
	opt := Defaults()
	opt.Reopen = retry.Policy{Initial: time.Millisecond, Max: 20 * time.Millisecond, Multiplier: 2}
	opt.OpenWait = 30 * time.Second
	opt.Linger = time.Millisecond
	return opt
}

func newRig(t *testing.T, opt Options, emu emulator.Options) *rig {
	g := startRig(t, t.TempDir(), opt, emu)
	t.Cleanup(g.end)
	return g
}

func startRig(t require.TestingT, dir string, opt Options, emu emulator.Options) *rig {
	if emu.Tables == nil {
		emu.Tables = map[string]*storagepb.TableSchema{testTable: parse(t, testSchema)}
	}
	srv, err := emulator.Start(emu)
	require.NoError(t, err)
	g := &rig{t: t, srv: srv, path: filepath.Join(dir, "l"), opt: opt}
	g.wopt = committed.Options{
		ClientOptions: srv.ClientOptions(), CreateRate: 1e6, CreateBurst: 1e6,
		Backoff: retry.Policy{Initial: time.Millisecond, Max: 20 * time.Millisecond, Multiplier: 2},
	}
	g.open()
	return g
}

func (g *rig) open() {
	var err error
	g.led, err = ledger.Open(g.path, &ledger.Options{SegmentBytes: 16 << 20})
	require.NoError(g.t, err)
	g.w, err = committed.Open(context.Background(), g.led, g.wopt)
	require.NoError(g.t, err)
	g.in, err = New(g.led, g.w, g.opt)
	require.NoError(g.t, err)
}

// crash ends everything without letting anything land.
func (g *rig) crash() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := g.in.Close(ctx)
	require.NoError(g.t, err)
	_ = g.w.Close(ctx)
	require.NoError(g.t, g.led.Close())
}

func (g *rig) end() {
	g.crash()
	require.NoError(g.t, g.srv.Close())
}

func ctx() context.Context { return context.Background() }

// object is row n of a partition.
func object(partition string, n int) []byte {
	return fmt.Appendf(nil, `{"n": %d, "p": %q}`, n, partition)
}

// pos is the position after n rows.
func pos(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("after %d", n)
}

// span appends rows [from, to) of a partition with the positions around them.
func span(partition string, from, to int) Append {
	a := Append{Key: testKey(partition), Expected: pos(from), Position: pos(to)}
	for n := from; n < to; n++ {
		a.Rows = append(a.Rows, object(partition, n))
	}
	return a
}

func (g *rig) accept(a Append) *Pending {
	p, err := g.in.Accept(ctx(), a)
	require.NoError(g.t, err)
	return p
}

func (g *rig) append(a Append) *eowriterv1.AppendResponse {
	r, err := g.accept(a).Wait(ctx(), landed)
	require.NoError(g.t, err)
	return r
}

// refused wants an append to be refused for a reason, and returns the error.
func (g *rig) refused(a Append, reason eowriterv1.Reason) *Error {
	_, err := g.in.Accept(ctx(), a)
	return requireReason(g.t, err, reason)
}

func requireReason(t require.TestingT, err error, reason eowriterv1.Reason) *Error {
	var refused *Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, reason, refused.Reason, "%v", err)
	return refused
}

// table returns the numbers of a partition's rows, in the order of the table.
func (g *rig) table(partition string) (numbers []int) {
	for _, row := range g.srv.Rows(testTable) {
		v, err := row.Values()
		require.NoError(g.t, err)
		if n, _ := cmp.Or(v["n"], v["N"]).(int64); v["p"] == partition {
			numbers = append(numbers, int(n))
		}
	}
	return numbers
}

func (g *rig) state(partition string) *eowriterv1.Partition {
	s, err := g.in.Partition(testKey(partition))
	require.NoError(g.t, err)
	return s
}

// upTo is 0, 1, … n-1.
func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// until waits for what another goroutine does; the time limit is only for a test that fails.
func until(t require.TestingT, what string, happened func() bool) {
	for end := time.Now().Add(30 * time.Second); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			require.FailNow(t, "waited in vain for "+what)
		}
	}
}

// drained wants everything to land.
func (g *rig) drained() {
	until(g.t, "everything to land", func() bool {
		left, err := g.in.Drain(ctx(), "", "")
		require.NoError(g.t, err)
		return len(left) == 0
	})
	violations, err := g.led.Check()
	require.NoError(g.t, err)
	require.Empty(g.t, violations)
	require.Zero(g.t, g.in.budget.bytes)
	require.Zero(g.t, g.in.budget.appends)
}
