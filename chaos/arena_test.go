package chaos_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

// What every test here writes.
const (
	batchRows = 5
	sourceEnd = 40 * batchRows // of each partition
)

var (
	shape      = workload.Shape{Partitions: 2, Rows: sourceEnd, BatchRows: batchRows}
	partitions = shape.Names()
)

// arena is a service that outlives its writers, and all that they told.
type arena struct {
	t      testing.TB
	opt    emulator.Options
	srv    *emulator.Server
	script workload.Script // of the next run
	log    *workload.Log
	seen   *workload.Witness

	forgotten map[string]bool // partitions that were written from the start again: see expect

	died *kills // told of each child that was killed; may be nil

	onAppend atomic.Pointer[func(emulator.Request)]
	onNote   func(workload.Note) // told of each note of a run here, in its order; may be nil

	mu     sync.Mutex // guards the child that runs
	proc   *os.Process
	exited <-chan struct{}
}

func newArena(t testing.TB, s workload.Script, opt emulator.Options) *arena {
	s.Shape = shape
	a := &arena{t: t, script: s, log: workload.NewLog(), forgotten: map[string]bool{}}
	dir := folder(t)
	var err error
	a.script.Record = filepath.Join(dir, "record")
	a.seen, err = workload.NewWitness(a.script.Record)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.seen.Close() })
	a.script.Ledger = filepath.Join(dir, "test.ledger")
	if a.script.Upto == 0 {
		a.script.Upto = sourceEnd
	}
	a.opt = opt
	a.opt.Tables = map[string]*storagepb.TableSchema{workload.Table: workload.TableSchema()}
	a.opt.OnAppend = func(r emulator.Request) {
		a.seen.Append(r)
		if f := a.onAppend.Load(); f != nil {
			(*f)(r)
		}
	}
	a.serve()
	t.Cleanup(func() { _ = a.srv.Close() })
	return a
}

// serve starts the service.
func (a *arena) serve() {
	var err error
	a.srv, err = emulator.Start(a.opt)
	require.NoError(a.t, err)
	a.script.Endpoint = a.srv.Addr()
}

// folder returns a new folder, in memory where that is possible: a killed process
// loses nothing that it wrote, so the many syncs only cost time here.
func folder(t testing.TB) string {
	name, err := os.MkdirTemp("/dev/shm", "eowriter-chaos-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(name) })
	return name
}

// crash runs a child that must die at a point.
func (a *arena) crash(at workload.Point) {
	a.t.Helper()
	s := a.script
	started := make(chan struct{}) // closed when the child is known
	if at.Step == committed.B4 {
		a.killAtApply(at, started)
	} else {
		s.Kill = at
	}
	killed, err := s.Child([]string{os.Args[0]}, func(p *os.Process, exited <-chan struct{}) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.proc, a.exited = p, exited
		close(started)
	}, a.log.Add)
	a.onAppend.Store(nil)
	require.NoError(a.t, err, "the child that was to die at %v", at)
	require.True(a.t, killed, "the child ended without having reached %v", at)
	a.died.killed(at)
}

// killAtApply has the service kill the child at B4: when it has an append in hand,
// which is applied for a writer that is dead (done) or not at all.
func (a *arena) killAtApply(at workload.Point, started <-chan struct{}) {
	var n atomic.Int64
	kill := func(r emulator.Request) {
		if r.Offset >= workload.ProbeOffset || n.Add(1) != int64(at.Nth) {
			return
		}
		if !at.Done {
			a.srv.Inject(emulator.Fault{Kind: emulator.CloseBefore, Stream: r.Stream, Count: 1})
		}
		<-started
		a.mu.Lock()
		proc, exited := a.proc, a.exited
		a.mu.Unlock()
		_ = proc.Kill()
		<-exited
	}
	a.onAppend.Store(&kill)
}

// run runs the writer here and returns why partitions stopped.
func (a *arena) run() map[string]error {
	ctx, cancel := context.WithTimeout(context.Background(), workload.RunTime)
	defer cancel()
	var mu sync.Mutex // guards log and onNote
	failed := a.script.Run(ctx, a.srv.ClientOptions(), func(n workload.Note) {
		mu.Lock()
		defer mu.Unlock()
		a.log.Add(n)
		if a.onNote != nil {
			a.onNote(n)
		}
	})
	require.NoError(a.t, ctx.Err(), "the run hung: %v", failed)
	require.NoError(a.t, failed[""])
	return failed
}

// history is what happened so far.
func (a *arena) history() chaos.History {
	h := chaos.History{
		Input: map[string]int64{}, Table: tableRows(a.t, a.srv),
		Positions: map[string]int64{}, Epochs: map[string]uint64{},
	}
	a.log.AddTo(&h)
	require.NoError(a.t, a.seen.AddTo(&h))
	for _, p := range partitions {
		h.Input[p] = sourceEnd
	}
	if _, err := os.Stat(a.script.Ledger); err != nil {
		return h
	}
	require.NoError(a.t, openToRead(a.t, a.script.Ledger).AddTo(&h))
	return h
}

// requireSound checks that nothing is wrong so far.
func (a *arena) requireSound() {
	a.t.Helper()
	require.Empty(a.t, a.findings(a.history()))
}

// findings are what is wrong, but for the duplicates of forgotten partitions.
func (a *arena) findings(h chaos.History) (wrong []chaos.Finding) {
	for _, f := range h.Judge() {
		if f.Kind != chaos.Duplicated || !a.forgotten[f.Partition] {
			wrong = append(wrong, f)
		}
	}
	return wrong
}

// requireComplete checks that all is there, that the ledger knows it, and that a
// further run appends nothing.
func (a *arena) requireComplete() {
	a.t.Helper()
	h := a.history()
	h.Final = true
	require.Empty(a.t, a.findings(h))
	for _, r := range h.Table {
		require.True(a.t, h.Epochs[r.Stream] > 0 || a.forgotten[r.Partition], "stream %s has rows and the ledger does not know it", r.Stream)
	}
	led := openToRead(a.t, a.script.Ledger)
	require.Empty(a.t, led.Violations)
	require.Len(a.t, led.Partitions, len(partitions))
	for _, p := range led.Partitions {
		stream, known := a.srv.Stream(p.Stream)
		require.True(a.t, known)
		require.Equal(a.t, stream.End, p.Acked, "what partition %s has acknowledged is not what the service has", p.Key.Name)
		require.Equal(a.t, p.Acked, p.Next, "partition %s has open intents", p.Key.Name)
		require.EqualValues(a.t, sourceEnd, p.Rows+p.Dead, "rows acknowledged for partition %s over all its streams, and dead letters", p.Key.Name)
		require.Equal(a.t, workload.Position(sourceEnd), p.Position)
	}
	before := a.srv.Stats().Rows
	require.Empty(a.t, a.run())
	require.Equal(a.t, before, a.srv.Stats().Rows, "a further run appended rows")
}

// requireRetired checks that all is there, that the partitions are forgotten, and that
// nobody can write to their streams any more.
func (a *arena) requireRetired() {
	a.t.Helper()
	h := a.history()
	h.Final = true
	require.Empty(a.t, a.findings(h))
	led := openToRead(a.t, a.script.Ledger)
	require.Empty(a.t, led.Violations)
	require.Empty(a.t, led.Partitions)
	known := map[string]bool{}
	for _, r := range led.Retired {
		stream, _ := a.srv.Stream(r.Stream)
		require.True(a.t, stream.Finalized)
		require.Equal(a.t, stream.End, r.Rows)
		known[r.Stream] = true
	}
	for _, r := range h.Table {
		require.True(a.t, known[r.Stream], "stream %s has rows and the ledger does not know it", r.Stream)
	}
}

// settle waits until the service has let go of what a dead writer had sent.
func (a *arena) settle() {
	require.Eventually(a.t, func() bool { return a.srv.Stats().Calls == 0 }, 10*time.Second, time.Millisecond)
}

// openToRead reads a closed ledger.
func openToRead(t testing.TB, path string) workload.State {
	s, err := workload.ReadLedger(path)
	require.NoError(t, err)
	return s
}

// tableRows is what the table holds.
func tableRows(t testing.TB, srv *emulator.Server) []chaos.Row {
	rows, err := shape.Table(srv.Rows(workload.Table))
	require.NoError(t, err)
	return rows
}

// boundOf is the position, in rows, up to which a partition has bound batches.
func boundOf(t testing.TB, p ledger.Partition, open []ledger.Intent) int64 {
	n, err := workload.BoundOf(p, open)
	require.NoError(t, err)
	return n
}
