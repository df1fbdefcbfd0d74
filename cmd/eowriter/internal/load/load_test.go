package load

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		os.Exit(childMain(text))
	}
	goleak.VerifyTestMain(m,
		// The client library's: sleeps for 20 s per connection, also after Close; and a worker that is never ended.
		goleak.IgnoreAnyFunction("cloud.google.com/go/bigquery/storage/managedwriter.(*connection).getStream.func1"),
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

const table = "projects/p/datasets/d/tables/t"

func schema(t *testing.T) *storagepb.TableSchema {
	t.Helper()
	s, err := rows.ParseSchema([]byte(`[{"name": "n", "type": "INTEGER"}, {"name": "s", "type": "STRING"}]`))
	require.NoError(t, err)
	return s
}

func startEmulator(t *testing.T, opt emulator.Options) *emulator.Server {
	t.Helper()
	opt.Tables = map[string]*storagepb.TableSchema{table: schema(t)}
	s, err := emulator.Start(opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func options(s *emulator.Server, dir string, names ...string) Options {
	opt := Options{
		Table: table, Ledger: filepath.Join(dir, "ledger"), BatchRows: 10, BatchBytes: 1 << 20, Window: 4, Parallel: 2,
		ClientOptions: s.ClientOptions(),
	}
	for _, name := range names {
		opt.Files = append(opt.Files, filepath.Join(dir, name))
	}
	return opt
}

// write puts n rows from start on into a file.
func write(t *testing.T, dir, name string, start, n int, more ...string) {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"n\": %d}\n", start+i)
	}
	b.WriteString(strings.Join(more, "\n"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(b.String()), 0o600))
}

// numbers are the column n of the table's rows, by stream and in order.
func numbers(t *testing.T, s *emulator.Server) map[string][]int64 {
	t.Helper()
	by := map[string][]int64{}
	for _, row := range s.Rows(table) {
		values, err := row.Values()
		require.NoError(t, err)
		by[row.Stream] = append(by[row.Stream], values["n"].(int64))
	}
	return by
}

// requireRuns wants every stream to hold a run of numbers without gap, and all of them n.
func requireRuns(t *testing.T, s *emulator.Server, n int) {
	t.Helper()
	total := 0
	for _, list := range numbers(t, s) {
		for i := range list {
			require.Equal(t, list[0]+int64(i), list[i])
		}
		total += len(list)
	}
	require.Equal(t, n, total)
}

// With everything going wrong that the emulator knows, each row must land once and in order, and each must be counted
// once: the report is what people believe.
func TestRunUnderFaults(t *testing.T) {
	s := startEmulator(t, emulator.Options{Seed: 3, Faults: []emulator.Fault{
		{Kind: emulator.ResetAfter, Every: 7, Count: 5},
		{Kind: emulator.CloseBefore, Every: 11, Count: 4},
		{Kind: emulator.InternalEach, Every: 13, Count: 4},
		{Kind: emulator.StaleEnd, Every: 2, Count: 3},
	}})
	dir := t.TempDir()
	write(t, dir, "a", 0, 300)
	write(t, dir, "b", 1000, 200)
	write(t, dir, "empty", 0, 0)
	r, err := Run(context.Background(), options(s, dir, "a", "b", "empty"))
	require.NoError(t, err)
	requireRuns(t, s, 500)
	require.Equal(t, int64(500), r.RowsRead)
	require.Equal(t, int64(500), r.RowsAppended+r.RowsConfirmed)
	require.Equal(t, r.RowsConfirmed, r.RowsSettled)
	require.NotZero(t, r.RowsSettled, "reset-after makes answers ambiguous")
	require.NotZero(t, r.Replays)

	again, err := Run(context.Background(), options(s, dir, "a", "b"))
	require.NoError(t, err)
	require.Equal(t, int64(0), again.RowsAppended)
	require.Equal(t, int64(500), again.RowsConfirmed)
	require.Equal(t, int64(0), again.RowsSettled)
}

// A row that can't be loaded must stop the other files too, each at a batch that has landed, and the next run must load
// what is left of all.
func TestBadRowStopsAll(t *testing.T) {
	s := startEmulator(t, emulator.Options{})
	dir := t.TempDir()
	write(t, dir, "bad", 0, 25, `{"n": 25, "unknown": "secret"}`, "")
	write(t, dir, "good", 1000, 5000)
	opt := options(s, dir, "bad", "good")
	r, err := Run(context.Background(), opt)
	require.ErrorContains(t, err, "bad: line 26: unknown: ")
	require.NotContains(t, err.Error(), "secret")
	require.Equal(t, r.RowsRead, r.RowsAppended)
	requireRuns(t, s, int(r.RowsAppended))
	require.GreaterOrEqual(t, r.RowsAppended, int64(25))

	write(t, dir, "bad", 0, 30)
	_, err = Run(context.Background(), opt)
	require.NoError(t, err)
	requireRuns(t, s, 5030)
}

// Interrupted before or in the middle, a load must say so and keep its word.
func TestRunInterrupted(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a", 0, 2000)
	ctx, cancel := context.WithCancel(context.Background())
	var once sync.Once
	s := startEmulator(t, emulator.Options{OnAppend: func(r emulator.Request) {
		if r.Offset == 50 {
			once.Do(cancel)
		}
	}})
	opt := options(s, dir, "a")
	opt.BatchRows, opt.Window = 1, 1
	r, err := Run(ctx, opt)
	require.ErrorIs(t, err, ErrInterrupted)
	require.GreaterOrEqual(t, r.RowsAppended, int64(51))
	require.Equal(t, r.RowsRead, r.RowsAppended)
	requireRuns(t, s, int(r.RowsAppended))

	r, err = Run(ctx, opt)
	require.ErrorIs(t, err, ErrInterrupted)
	require.Equal(t, int64(0), r.RowsAppended)
}

// A wrong endpoint must be an error that says so, not a load that never begins.
func TestServiceOutOfReach(t *testing.T) {
	s := startEmulator(t, emulator.Options{})
	dir := t.TempDir()
	write(t, dir, "a", 0, 1)
	opt := options(s, dir, "a")
	require.NoError(t, s.Close())
	opt.contact = 300 * time.Millisecond
	_, err := Run(context.Background(), opt)
	require.NotErrorIs(t, err, ErrInterrupted)
	require.ErrorContains(t, err, "get the schema of projects/p/datasets/d/tables/t")
	require.ErrorContains(t, err, "connection refused")
}

// Where nobody looks at a screen there must be plain lines and no control characters; on a terminal a bar.
func TestDisplay(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			c := new(counts)
			d := newDisplay(Progress{Out: &out, Terminal: terminal}, c)
			ctx, cancel := context.WithCancel(context.Background())
			stop := d.start(ctx, []*input{{path: "a", size: 1000}})
			synctest.Wait() // it looks at the counts when it starts
			over := d.waitFor("no schema of %s yet", "p.d.t")
			time.Sleep(6 * time.Second) // fake time: at least one tick
			synctest.Wait()             // until nobody writes to out
			require.Contains(t, out.String(), "no schema of p.d.t yet")
			require.NotContains(t, out.String(), "rows", "there is nothing to count")
			over()
			c.appended.Store(77)
			c.lines.Store(10e6)
			c.consumed.Store(500)
			c.inFlight.Store(3)
			c.waiting.Store(&waiting{"a\x1b", 5, time.Second})
			time.Sleep(6 * time.Second) // fake time: at least one tick
			cancel()
			synctest.Wait()
			d.file("a: landed")
			stop()
			text := out.String()
			require.Contains(t, text, "77 rows")
			require.Contains(t, text, "3 in flight, 0 replays")
			require.Contains(t, text, `"a\x1b": the service doesn't take it; tried 5 times`)
			require.Contains(t, text, "stopping: 3 batches in flight")
			require.Equal(t, !terminal, strings.Contains(text, "a: landed"))
			require.Equal(t, terminal, strings.Contains(text, "\r"))
			if !terminal {
				require.NotContains(t, text, "\x1b")
				require.Contains(t, text, "2.0 MB/s")
			}
		})
	}
}

// Two files in one partition would be taken for one that has changed.
func TestPlanRefusesOneNameTwice(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "x"), 0o700))
	write(t, dir, "a", 0, 1)
	write(t, dir, "x/a", 0, 1)
	_, err := plan(Options{Table: table, Files: []string{filepath.Join(dir, "a"), filepath.Join(dir, "x/a")}})
	require.ErrorIs(t, err, ErrUsage)
	inputs, err := plan(Options{Table: table, Prefix: "p/", Files: []string{filepath.Join(dir, "a"), source.Stdin}})
	require.NoError(t, err)
	require.Equal(t, "p/a", inputs[0].key.Name)
	require.Equal(t, "p/-", inputs[1].key.Name)
	require.True(t, inputs[0].replayable())
	require.False(t, inputs[1].replayable())
}
