package committed_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// If it fails, rows that somebody else wrote pass for ours: silent loss (invariant 6).
func TestForeignRowsBeforeTheFirst(t *testing.T) {
	for _, n := range []int64{1, 9, 10, 11} {
		b := newBench(t, committed.Options{}, emulator.Options{})
		p := b.partition("a", true)
		foreign(n)(b)
		results := b.appendUntil(committed.ErrConflict, p, 0, 3)
		e := b.requireStopped(p, committed.ErrConflict)
		require.Equal(t, b.stream(0).Name, e.Stream)
		require.EqualValues(t, 1, e.Epoch)
		require.ErrorContains(t, e, "the service has the stream's end at")
		require.ErrorContains(t, e, "find out who else writes")
		for _, r := range results {
			_, err := r.Wait(b.ctx())
			require.ErrorIs(t, err, committed.ErrConflict)
		}
		b.requireSound()
	}
}

// If it fails, foreign rows that are as many as ours pass for ours: only that the
// fifth append was never sent before tells. What is behind it in flight lands.
func TestForeignRowsAsManyAsOurs(t *testing.T) {
	bothModes(t, failing{name: "as many", fifth: foreign(10)}, func(t *testing.T, frozen bool) {
		f := failing{fifth: foreign(10)}
		b, p, results := f.flight(t, frozen)
		e := b.requireStopped(p, committed.ErrConflict)
		require.EqualValues(t, 40, e.Offset)
		_, err := results[4].Wait(b.ctx())
		require.ErrorIs(t, err, committed.ErrConflict)
		require.NotContains(t, b.ids(), int64(40))
		_, open, err := b.led.Partition(p.Key())
		require.NoError(t, err)
		require.Contains(t, []int64{0, 10, 20, 30, 40}, open[0].Start, "nothing from the fifth on was acknowledged")
		b.requireSound()

		// A mere restart, as a supervisor does it, must not make them pass for ours: from
		// disk the fifth "may have been sent", and the stream ends where it would.
		for range 2 {
			b.reopen()
			b.take()
			_, err = b.w.Partition(b.ctx(), b.config("a", frozen))
			require.ErrorIs(t, err, committed.ErrConflict)
			require.ErrorContains(t, err, "found by an earlier run")
			require.ErrorContains(t, err, "eowriter ledger resolve")
			require.Zero(t, b.take(), "nothing is sent, nothing acknowledged")
		}
		part, still, err := b.led.Partition(p.Key())
		require.NoError(t, err)
		require.Equal(t, open, still, "everything is kept")
		require.Equal(t, ledger.Conflict, part.Halt.Cause)
		require.EqualValues(t, 40, part.Halt.Offset)

		// Resolving is a person's word that what the stream's end covers is ours.
		b.resolve(part)
		p = b.partition("a", frozen)
		require.NoError(t, p.Drain(b.ctx()))
		got := b.take()
		require.Len(t, got.landed, len(open))
		require.True(t, got.landed[0].Duplicate)
		require.NotContains(t, got.sent, int64(40))
		require.EqualValues(t, inFlight*10, at(p.Position()))
	})
}

// resolve takes a halt back, as `eowriter ledger resolve` does.
func (b *bench) resolve(p ledger.Partition) {
	b.t.Helper()
	done := make(chan error)
	b.led.Resolve(p.ID, p.Epoch, nil, func(err error) { done <- err })
	require.NoError(b.t, <-done)
}

// If it fails, a resolved partition is trusted whatever its stream holds: the probe
// must decide anew, and what doesn't fit must stop and mark it again.
func TestResolvedAndStillInConflict(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	b.requireLanded(b.append(b.partition("a", true), 0, 3))
	b.close()
	foreign(3)(b)
	b.open()
	b.take()
	for i := range 3 {
		_, err := b.w.Partition(b.ctx(), b.config("a", true))
		require.ErrorIs(t, err, committed.ErrConflict)
		require.Equal(t, 1, b.take().probes, "start %d", i)
		_, err = b.w.Partition(b.ctx(), b.config("a", true))
		require.ErrorContains(t, err, "found by an earlier run")
		require.Zero(t, b.take())
		part, _, err := b.led.Partition(ledger.Key{Table: table, Name: "a"})
		require.NoError(t, err)
		b.resolve(part)
	}
	require.Len(t, b.ids(), 33)
	b.requireSound()
}

// If it fails, a stop that a person has mended needs a second person: what may simply
// be tried again is not to be marked.
func TestBlockedIsNotMarked(t *testing.T) {
	refused := status.New(codes.PermissionDenied, "Injected.")
	b := newBench(t, committed.Options{}, emulator.Options{})
	p := b.partition("a", true)
	b.srv.Inject(emulator.Fault{Kind: emulator.Abort, Error: refused, Count: 1})
	b.append(p, 0, 1)
	b.requireStopped(p, committed.ErrBlocked)
	part, _, err := b.led.Partition(p.Key())
	require.NoError(t, err)
	require.Nil(t, part.Halt)
}

// If it fails, the same happens with a start instead of an append (invariant 2).
func TestForeignRowsBeforeTheStart(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	p := b.partition("a", true)
	b.requireLanded(b.append(p, 0, 3))
	b.close()
	foreign(10)(b)
	b.open()
	_, err := b.w.Partition(b.ctx(), b.config("a", true))
	require.ErrorIs(t, err, committed.ErrConflict)
	require.Len(t, b.ids(), 40)
	b.requireSound()
	// Refused, so it isn't open, and can be asked for again: with the same end.
	_, err = b.w.Partition(b.ctx(), b.config("a", true))
	require.ErrorIs(t, err, committed.ErrConflict)
}

// If it fails, a partition goes on although the service has fewer rows than it acknowledged,
// or it gives up while that is but a lagging view.
func TestFewerRowsThanAcknowledged(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	p := b.partition("a", true)
	b.requireLanded(b.append(p, 0, 3))
	b.close()
	b.take()
	b.srv.Inject(emulator.Fault{Kind: emulator.StaleEnd, Lag: 2, Checks: 3, Count: 1})
	b.open()
	p = b.partition("a", true)
	got := b.take()
	require.Len(t, got.waits, 3)
	require.Empty(t, got.seals)
	b.requireLanded(b.append(p, 3, 5))
	b.close()

	// For good: then Finalize's count decides, and it shows that nothing is missing.
	b.srv.Inject(emulator.Fault{Kind: emulator.StaleEnd, Lag: 2, Checks: 1000, Count: 1})
	b.open()
	p = b.partition("a", true)
	require.Len(t, b.take().seals, 1)
	b.requireLanded(b.append(p, 5, 7))
	b.requireRows(70)
}

// If it fails, a stream that ended without us is written to, or replaced without proof.
func TestStreamIsGoneBetweenStarts(t *testing.T) {
	end := map[error]func(*emulator.Server, string) error{
		committed.ErrFenced:  func(s *emulator.Server, name string) error { _, err := s.FinalizeStream(name); return err },
		committed.ErrInDoubt: (*emulator.Server).ExpireStream,
	}
	for want, end := range end {
		b := newBench(t, committed.Options{}, emulator.Options{})
		p := b.partition("a", true)
		b.requireLanded(b.append(p, 0, 3))
		b.srv.Inject(emulator.Fault{Kind: emulator.CloseBefore})
		results := b.append(p, 3, 5) // they stay open
		for _, r := range results {
			require.NoError(t, r.Stored(b.ctx()))
		}
		b.close()
		b.srv.ClearFaults()
		require.NoError(t, end(b.srv, b.stream(0).Name))
		b.open()
		_, err := b.w.Partition(b.ctx(), b.config("a", true))
		require.ErrorIs(t, err, want)
		b.requireRows(30)
		_, open, err := b.led.Partition(p.Key())
		require.NoError(t, err)
		require.Len(t, open, 2, "everything is kept")
	}
}

// If it fails, a partition without traffic for days can't be used any more although
// nothing can have been lost.
func TestStreamExpiresWithNothingOpen(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	p := b.partition("a", true)
	b.requireLanded(b.append(p, 0, 3))
	b.close()
	require.NoError(t, b.srv.ExpireStream(b.stream(0).Name))
	b.open()
	p = b.partition("a", true)
	require.EqualValues(t, 30, at(p.Position()))
	acks := b.requireLanded(b.append(p, 3, 4))
	require.EqualValues(t, 2, acks[0].Epoch)
	require.EqualValues(t, 0, acks[0].Offset)
	b.requireRows(40)
	retired, err := b.led.Retired()
	require.NoError(t, err)
	require.Len(t, retired, 1)
	require.Equal(t, ledger.Expired, retired[0].Reason)
	// While the partition is open its connection tells.
	require.NoError(t, p.Close(b.ctx()))
}

// copyLedger copies a closed ledger, as a backup does.
func copyLedger(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(to+".segments"))
	require.NoError(t, filepath.WalkDir(filepath.Dir(from), func(path string, d os.DirEntry, err error) error {
		rest, ours := cutPrefix(path, from)
		if err != nil || !ours {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(to+rest, 0o700)
		}
		src, err := os.Open(path)
		if err != nil {
			return err
		}
		defer src.Close()
		dst, err := os.OpenFile(to+rest, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(dst, src)
		return errors.Join(err, dst.Close())
	}))
}

func cutPrefix(path, prefix string) (string, bool) {
	if len(path) < len(prefix) || path[:len(prefix)] != prefix {
		return "", false
	}
	return path[len(prefix):], true
}

// If it fails, a ledger that was restored from a backup in its place binds other
// batches to offsets that are taken: silent loss (histories 1 and 3). The first
// answer after the restore is lost, so that ALREADY_EXISTS has to be judged.
func TestRestoredInPlace(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	b.requireLanded(b.append(b.partition("a", true), 0, 3))
	b.close()
	backup := filepath.Join(t.TempDir(), "backup")
	copyLedger(t, b.path, backup)
	b.open()
	b.requireLanded(b.append(b.partition("a", true), 3, 6))
	b.close()

	companion, err := os.ReadFile(b.path + ".incarnation")
	require.NoError(t, err)
	copyLedger(t, backup, b.path)
	require.NoError(t, os.WriteFile(b.path+".incarnation", companion, 0o600))
	b.open()
	b.srv.Inject(emulator.Fault{Kind: emulator.CloseAfter, Count: 1})
	_, err = b.w.Partition(b.ctx(), b.config("a", true))
	require.ErrorIs(t, err, committed.ErrConflict)
	b.requireRows(60)
	require.False(t, b.stream(0).Finalized, "what doesn't fit isn't touched")
}

// If it fails, a restored ledger whose stream still fits is either refused or trusted:
// it must take the stream over, so that appends on their way can't land later.
func TestRestoredWithAnOpenBatchThatLanded(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		b := newBench(t, committed.Options{}, emulator.Options{})
		p := b.partition("a", frozen)
		b.requireLanded(b.append(p, 0, 3))
		b.srv.Inject(emulator.Fault{Kind: emulator.Abort})
		r := b.append(p, 3, 5)
		require.NoError(t, r[1].Stored(b.ctx()))
		b.close() // 3 and 4 are open
		b.srv.ClearFaults()
		backup := filepath.Join(t.TempDir(), "backup")
		copyLedger(t, b.path, backup)
		b.open()
		p = b.partition("a", frozen)
		require.NoError(t, p.Drain(b.ctx())) // now they have landed
		b.close()
		b.take()

		companion, err := os.ReadFile(b.path + ".incarnation")
		require.NoError(t, err)
		copyLedger(t, backup, b.path)
		require.NoError(t, os.WriteFile(b.path+".incarnation", companion, 0o600))
		b.open()
		b.srv.Inject(emulator.Fault{Kind: emulator.CloseAfter, Count: 2})
		p = b.partition("a", frozen)
		require.Len(t, p.Found(), 2)
		b.requireLanded(b.append(p, 5, 7))
		require.NoError(t, p.Drain(b.ctx()))
		b.requireRows(70)
		got := b.take()
		require.Len(t, got.seals, 1)
		require.Equal(t, ledger.TakeOver, got.seals[0].Reason)
		require.Len(t, got.landed, 4)
		require.True(t, got.landed[0].Duplicate && got.landed[1].Duplicate)
		require.True(t, b.stream(0).Finalized)
		b.requireSound()
	}
}

// If it fails, two copies of a ledger both write: duplicates (invariant 8, history 4).
func TestMovedLedgerTakesOverAndTheOldOneIsFenced(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		b := newBench(t, committed.Options{}, emulator.Options{})
		p := b.partition("a", frozen)
		b.requireLanded(b.append(p, 0, 3))
		b.srv.Inject(emulator.Fault{Kind: emulator.CloseBefore})
		require.NoError(t, b.append(p, 3, 4)[0].Stored(b.ctx()))
		b.close()
		b.srv.ClearFaults()
		old := b.path
		b.path = filepath.Join(t.TempDir(), "moved.ledger")
		copyLedger(t, old, b.path)

		b.open()
		p = b.partition("a", frozen)
		require.Len(t, p.Found(), 1)
		acks := b.requireLanded(b.append(p, 4, 6))
		require.EqualValues(t, 2, acks[0].Epoch)
		b.requireRows(60)
		b.reopen() // no second time
		b.take()
		p = b.partition("a", frozen)
		require.Empty(t, b.take().seals)
		b.requireLanded(b.append(p, 6, 7))
		b.close()

		b.path, old = old, b.path
		b.open()
		_, err := b.w.Partition(b.ctx(), b.config("a", frozen))
		require.ErrorIs(t, err, committed.ErrFenced)
		require.ErrorContains(t, err, "go on with the newer one")
		b.close()

		b.path = old // which goes on
		b.open()
		b.requireLanded(b.append(b.partition("a", frozen), 7, 8))
		b.requireRows(80)
	}
}

// If it fails, copies that run one after the other both write: only the first may.
func TestCopiesOneAfterTheOther(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	b.requireLanded(b.append(b.partition("a", true), 0, 3))
	b.close()
	original := b.path
	copies := []string{filepath.Join(t.TempDir(), "1"), filepath.Join(t.TempDir(), "2")}
	for _, c := range copies {
		copyLedger(t, original, c)
	}
	b.path = copies[0]
	b.open()
	b.requireLanded(b.append(b.partition("a", true), 3, 4))
	b.close()
	for _, b.path = range []string{copies[1], original} {
		b.open()
		_, err := b.w.Partition(b.ctx(), b.config("a", true))
		require.ErrorIs(t, err, committed.ErrFenced)
		b.close()
	}
	b.requireRows(40)
	b.path = copies[0]
	b.open()
}

// If it fails, a copy that runs beside the original writes too (newest takes over, the other is fenced).
func TestCopyWhileTheOriginalRuns(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	b.requireLanded(b.append(b.partition("a", true), 0, 3))
	b.close()
	other := &bench{t: t, srv: b.srv, path: filepath.Join(t.TempDir(), "copy"), opt: b.opt, patience: b.patience}
	copyLedger(t, b.path, other.path)
	b.open()
	p := b.partition("a", true)
	b.requireLanded(b.append(p, 3, 4))
	other.open()
	defer other.close()
	_, err := other.w.Partition(b.ctx(), b.config("a", true))
	require.ErrorIs(t, err, committed.ErrConflict, "the original has written since")
	b.requireLanded(b.append(p, 4, 5))
	b.requireRows(50)
}

// If it fails, a fault that only a person can mend is tried for ever, or is not told.
func TestBlockedWhileOpening(t *testing.T) {
	refused := status.New(codes.PermissionDenied, "Permission 'TABLES_UPDATE_DATA' denied on resource 'it' (or it may not exist).")
	for _, kind := range []emulator.Kind{emulator.RefuseCreate, emulator.DropConnect} {
		b := newBench(t, committed.Options{}, emulator.Options{Faults: []emulator.Fault{{Kind: kind, Error: refused}}})
		_, err := b.w.Partition(b.ctx(), b.config("a", true))
		require.ErrorIs(t, err, committed.ErrBlocked)
		require.ErrorContains(t, err, "Permission 'TABLES_UPDATE_DATA' denied")
		b.srv.ClearFaults()
		b.requireLanded(b.append(b.partition("a", true), 0, 1))
		b.requireRows(10)
	}
}

// If it fails, an append that comes while a stop waits for the ledger is accepted and
// forgotten: whoever waits for its result waits for ever.
func TestAppendWhileStopping(t *testing.T) {
	judge, judged := make(chan struct{}), make(chan struct{}, 10)
	busy, goOn := make(chan struct{}), make(chan struct{})
	b := newBench(t, committed.Options{Events: committed.Events{Step: func(e committed.StepEvent) {
		switch {
		case e.Key.Name == "busy" && e.Step == committed.B2 && e.Done:
			close(busy) // the ledger calls nobody else back meanwhile
			<-goOn
		case e.Key.Name == "a" && e.Step == committed.B5 && e.Done:
			judged <- struct{}{}
		}
	}}}, emulator.Options{OnAppend: func(r emulator.Request) {
		if r.Offset == 0 {
			<-judge
		}
	}})
	p, other := b.partition("a", true), b.partition("busy", true)
	<-judged // the probe
	foreign(3)(b)
	append1 := func(p *committed.Partition) *committed.Result {
		r, err := p.Append(b.ctx(), committed.Batch{Rows: batch(0, 10).Rows})
		require.NoError(t, err)
		return r
	}
	results := []*committed.Result{append1(p)}
	require.NoError(t, results[0].Stored(b.ctx()))
	append1(other)
	<-busy
	results = append(results, append1(p)) // its intent is on its way
	close(judge)
	<-judged // the partition stops when that intent is durable
	select {
	case <-p.Stopped():
		require.Fail(t, "stopped before the ledger's answer")
	default:
	}
	late := make(chan error)
	for range 2 {
		go func() {
			_, err := p.Append(b.ctx(), committed.Batch{Rows: batch(0, 10).Rows})
			late <- err
		}()
	}
	close(goOn)
	b.requireStopped(p, committed.ErrConflict)
	require.ErrorIs(t, <-late, committed.ErrConflict)
	require.ErrorIs(t, <-late, committed.ErrConflict)
	for _, r := range results {
		_, err := r.Wait(b.ctx())
		require.ErrorIs(t, err, committed.ErrConflict)
		require.NoError(t, r.Stored(b.ctx()))
	}
	require.ErrorIs(t, p.Close(b.ctx()), committed.ErrConflict)
	b.requireSound()
}
