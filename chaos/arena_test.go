package chaos

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

// arena is a service that outlives its writers, and all that they told.
type arena struct {
	t      testing.TB
	srv    *emulator.Server
	script script // of the next run
	told   []Told

	stored    map[string]int64           // rows that results said are durable
	reasons   map[string][]ledger.Reason // why streams were sealed
	forgotten map[string]bool            // partitions that were written from the start again: see expect

	onAppend atomic.Pointer[func(emulator.Request)]
	onNote   func(note) // told of each note of a run here, in its order; may be nil

	mu     sync.Mutex // guards the child that runs
	proc   *os.Process
	exited <-chan struct{}
}

func newArena(t testing.TB, s script, opt emulator.Options) *arena {
	a := &arena{t: t, script: s, stored: map[string]int64{},
		reasons: map[string][]ledger.Reason{}, forgotten: map[string]bool{}}
	opt.Tables = map[string]*storagepb.TableSchema{table: tableSchema()}
	opt.OnAppend = func(r emulator.Request) {
		if f := a.onAppend.Load(); f != nil {
			(*f)(r)
		}
	}
	var err error
	a.srv, err = emulator.Start(opt)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.srv.Close() })
	a.script.Endpoint = a.srv.Addr()
	a.script.Ledger = filepath.Join(folder(t), "test.ledger")
	if a.script.Upto == 0 {
		a.script.Upto = sourceEnd
	}
	return a
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
func (a *arena) crash(at point) {
	a.t.Helper()
	s := a.script
	if at.Step == committed.B4 {
		a.killAtApply(at)
	} else {
		s.Kill = at
	}
	notes, killed, stderr := s.child(a.t, func(p *os.Process, exited <-chan struct{}) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.proc, a.exited = p, exited
	})
	a.onAppend.Store(nil)
	require.Empty(a.t, stderr, "the child that was to die at %v", at)
	require.True(a.t, killed, "the child ended without having reached %v", at)
	a.learn(notes)
}

// killAtApply has the service kill the child at B4: when it has an append in hand,
// which is applied for a writer that is dead (done) or not at all.
func (a *arena) killAtApply(at point) {
	var n atomic.Int64
	kill := func(r emulator.Request) {
		if r.Offset >= probeOffset || n.Add(1) != int64(at.Nth) {
			return
		}
		if !at.Done {
			a.srv.Inject(emulator.Fault{Kind: emulator.CloseBefore, Stream: r.Stream, Count: 1})
		}
		a.mu.Lock()
		proc, exited := a.proc, a.exited
		a.mu.Unlock()
		_ = proc.Kill()
		<-exited
	}
	a.onAppend.Store(&kill)
}

// probeOffset is where probes are, and no rows.
const probeOffset = 1 << 62

// run runs the writer here and returns why partitions stopped.
func (a *arena) run() map[string]error {
	ctx, cancel := context.WithTimeout(context.Background(), childTime)
	defer cancel()
	var mu sync.Mutex // guards notes
	var notes []note
	failed := a.script.run(ctx, a.srv.ClientOptions(), func(n note) {
		mu.Lock()
		defer mu.Unlock()
		notes = append(notes, n)
		if a.onNote != nil {
			a.onNote(n)
		}
	})
	require.NoError(a.t, ctx.Err(), "the run hung: %v", failed)
	require.NoError(a.t, failed[""])
	a.learn(notes)
	return failed
}

// learn adds what a run told.
func (a *arena) learn(notes []note) {
	for _, n := range notes {
		switch n.Kind {
		case resumed:
			require.GreaterOrEqual(a.t, n.From, a.stored[n.Partition], "partition %s resumes before rows that were stored", n.Partition)
		case stored:
			a.stored[n.Partition] = n.To
		case landed, found:
			a.told = append(a.told, Told{Partition: n.Partition, From: n.From, To: n.To, Stream: n.Stream, Offset: n.Offset})
		case sealed:
			a.reasons[n.Partition] = append(a.reasons[n.Partition], ledger.Reason(n.Reason))
		}
	}
}

// history is what happened so far.
func (a *arena) history() History {
	h := History{
		Input: map[string]int64{}, Table: tableRows(a.t, a.srv), Told: a.told,
		Positions: map[string]int64{}, Epochs: map[string]uint64{},
	}
	for _, p := range partitions {
		h.Input[p] = sourceEnd
	}
	if _, err := os.Stat(a.script.Ledger); err != nil {
		return h
	}
	led := openToRead(a.t, a.script.Ledger)
	for _, p := range led.partitions {
		h.Positions[p.Key.Name], h.Epochs[p.Stream] = rowsAt(p.Position), p.Epoch
	}
	for _, d := range led.dead {
		partition, i := deadRow(a.t, d)
		h.Dead = append(h.Dead, Dead{partition, i})
	}
	for _, r := range led.retired {
		h.Epochs[r.Stream] = r.Epoch
	}
	return h
}

// requireSound checks that nothing is wrong so far.
func (a *arena) requireSound() {
	a.t.Helper()
	require.Empty(a.t, a.findings(a.history()))
}

// findings are what is wrong, but for the duplicates of forgotten partitions.
func (a *arena) findings(h History) (wrong []Finding) {
	for _, f := range h.Judge() {
		if f.Kind != Duplicated || !a.forgotten[f.Partition] {
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
	require.Empty(a.t, led.violations)
	require.Len(a.t, led.partitions, len(partitions))
	for _, p := range led.partitions {
		stream, known := a.srv.Stream(p.Stream)
		require.True(a.t, known)
		require.Equal(a.t, stream.End, p.Acked, "what partition %s has acknowledged is not what the service has", p.Key.Name)
		require.Equal(a.t, p.Acked, p.Next, "partition %s has open intents", p.Key.Name)
		require.EqualValues(a.t, sourceEnd, p.Rows+p.Dead, "rows acknowledged for partition %s over all its streams, and dead letters", p.Key.Name)
		require.EqualValues(a.t, sourceEnd, rowsAt(p.Position))
	}
	before := a.srv.Stats().Rows
	require.Empty(a.t, a.run())
	require.Equal(a.t, before, a.srv.Stats().Rows, "a further run appended rows")
}

// settle waits until the service has let go of what a dead writer had sent.
func (a *arena) settle() {
	require.Eventually(a.t, func() bool { return a.srv.Stats().Calls == 0 }, 10*time.Second, time.Millisecond)
}

// ledgerState is what a closed ledger holds.
type ledgerState struct {
	identity   ledger.Identity
	partitions []ledger.Partition
	open       map[string][]ledger.Intent // by partition's name
	retired    []ledger.Retired
	violations []ledger.Violation
	dead       []ledger.Dead // letters, and what open intents have
}

// openToRead reads a ledger without opening it for writing, which would count.
func openToRead(t testing.TB, path string) ledgerState {
	led, err := ledger.OpenReadOnly(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, led.Close()) }()
	s := ledgerState{identity: led.Identity(), open: map[string][]ledger.Intent{}}
	s.partitions, err = led.Partitions()
	require.NoError(t, err)
	for _, p := range s.partitions {
		_, s.open[p.Key.Name], err = led.Partition(p.Key)
		require.NoError(t, err)
		letters, err := led.Letters(p.ID, 0, 1<<30)
		require.NoError(t, err)
		for _, l := range letters {
			s.dead = append(s.dead, l.Dead)
		}
		for _, in := range s.open[p.Key.Name] {
			s.dead = append(s.dead, in.Dead...)
		}
	}
	s.retired, err = led.Retired()
	require.NoError(t, err)
	s.violations, err = led.Check()
	require.NoError(t, err)
	return s
}
