package committed_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// soon bounds what must not depend on the service.
const soon = 5 * time.Second

// If it fails, Close loses what was accepted, or leaves a batch unresolved.
func TestCloseDrains(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{Faults: []emulator.Fault{{Kind: emulator.CloseAfter, Every: 7, Count: 5}}})
	var results []*committed.Result
	var partitions []*committed.Partition
	for i := range int64(4) {
		p := b.partition(fmt.Sprint(i), i%2 == 0)
		partitions = append(partitions, p)
		for k := range int64(20) {
			r, err := p.Append(b.ctx(), numbers{base: i << 32}.batch(k, k+1))
			require.NoError(t, err)
			results = append(results, r)
		}
	}
	require.NoError(t, b.w.Close(b.ctx()))
	for _, r := range results {
		select {
		case <-r.Done():
		default:
			require.Fail(t, "Close returned before a batch had landed")
		}
		_, err := r.Wait(b.ctx())
		require.NoError(t, err)
	}
	for _, p := range partitions {
		require.EqualValues(t, 20, at(p.Position()))
		_, err := p.Append(b.ctx(), batch(20, 21))
		require.ErrorIs(t, err, committed.ErrClosed)
		require.NotErrorIs(t, err, committed.ErrUnknown, "nothing is unknown: everything has landed")
	}
	require.Len(t, b.ids(), 80)
	_, err := b.w.Partition(b.ctx(), b.config("0", true))
	require.ErrorIs(t, err, committed.ErrClosed)
	_, err = b.w.TableSchema(b.ctx(), table)
	require.Error(t, err)
	require.NoError(t, b.w.Close(b.ctx()), "again")
	_, open, err := b.led.Partition(partitions[0].Key())
	require.NoError(t, err)
	require.Empty(t, open)
}

// If it fails, closing a partition in good order looks like a failure, or it can't be used twice.
func TestClosePartition(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	p := b.partition("a", true)
	_, err := b.w.Partition(b.ctx(), b.config("a", true))
	require.ErrorIs(t, err, committed.ErrOpen)
	b.append(p, 0, 3)
	require.NoError(t, p.Close(b.ctx()))
	b.requireRows(30)
	_, err = p.Append(b.ctx(), batch(30, 40))
	require.ErrorIs(t, err, committed.ErrClosed)
	require.NoError(t, p.Close(b.ctx()), "closing again is harmless")
	require.ErrorIs(t, p.Retire(b.ctx()), committed.ErrClosed, "its successor may be open")

	p = b.partition("a", true)
	require.EqualValues(t, 30, at(p.Position()))
	b.requireLanded(b.append(p, 3, 5))
	b.requireRows(50)
	require.EqualValues(t, 1, b.srv.Stats().Creates)
}

// If it fails, a batch whose fate was left open by Close is lost or lands twice.
func TestCloseInTheMiddle(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		for _, kind := range []emulator.Kind{emulator.CloseBefore, emulator.CloseAfter, emulator.ErrorBefore, emulator.ErrorAfter, emulator.Stall} {
			t.Run(fmt.Sprintf("%s, frozen %v", kind, frozen), func(t *testing.T) {
				b := newBench(t, committed.Options{}, emulator.Options{Faults: []emulator.Fault{{Kind: kind, After: 6}}})
				p := b.partition("a", frozen)
				results := b.append(p, 0, 20)
				b.requireLanded(results[:5])
				require.NoError(t, results[19].Stored(b.ctx()))
				before := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
				defer cancel()
				require.ErrorIs(t, b.w.Close(ctx), context.DeadlineExceeded)
				require.Less(t, time.Since(before), soon)
				open := 0
				for _, r := range results[5:] {
					if _, err := r.Wait(b.ctx()); err != nil {
						require.ErrorIs(t, err, committed.ErrUnknown)
						require.NoError(t, r.Stored(b.ctx()))
						open++
					}
				}
				require.Positive(t, open)
				_, err := p.Append(b.ctx(), batch(200, 210))
				require.Error(t, err)
				b.srv.ClearFaults()
				b.reopen()
				p = b.partition("a", frozen)
				require.Len(t, p.Found(), open)
				require.Len(t, p.Recovered(), open)
				for _, r := range p.Recovered() {
					require.NoError(t, r.Stored(b.ctx()))
				}
				b.requireLanded(p.Recovered())
				require.EqualValues(t, 200, at(p.Position()))
				b.requireLanded(b.append(p, 20, 22))
				b.requireRows(220)
				b.requireSound()
			})
		}
	}
}

// If it fails, a service that is away keeps a program from ending.
func TestCloseWhileTheServiceIsDown(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	p, idle := b.partition("a", true), b.partition("idle", true)
	b.requireLanded(b.append(p, 0, 1))
	require.NoError(t, b.srv.Close())
	results := b.append(p, 1, 4)
	require.NoError(t, results[2].Stored(b.ctx()))
	opening := make(chan error)
	go func() {
		_, err := b.w.Partition(b.ctx(), b.config("new", true))
		opening <- err
	}()
	before := time.Now()
	require.ErrorIs(t, b.w.Close(ended()), context.Canceled)
	require.Less(t, time.Since(before), soon)
	_, err := results[0].Wait(b.ctx())
	require.ErrorIs(t, err, committed.ErrUnknown)
	require.Error(t, <-opening)
	_, err = idle.Append(b.ctx(), batch(0, 10))
	require.ErrorIs(t, err, committed.ErrClosed)
}

// If it fails, a result is reported durable before it is, or the two futures block each other.
func TestStoredComesBeforeLanded(t *testing.T) {
	b, resume := stalled(t, committed.Options{})
	p := b.partition("a", true)
	r := b.append(p, 0, 1)[0]
	require.NoError(t, r.Stored(b.ctx()))
	_, open, err := b.led.Partition(p.Key())
	require.NoError(t, err)
	require.Len(t, open, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = r.Wait(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, p.Drain(ctx), context.DeadlineExceeded)
	resume()
	_, err = r.Wait(b.ctx())
	require.NoError(t, err)
	require.NoError(t, r.Stored(ended()), "what is known needs no waiting")
	require.NoError(t, p.Drain(b.ctx()))
	_, open, err = b.led.Partition(p.Key())
	require.NoError(t, err)
	require.Empty(t, open, "landed means that the ledger says so")
}

// If it fails, a partition whose ledger can't write goes on sending (invariant 7).
func TestLedgerTakesNoWrite(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	p, other := b.partition("a", false), b.partition("b", false)
	b.requireLanded(b.append(p, 0, 2))
	require.NoError(t, b.led.Close())
	r := b.append(p, 2, 3)[0]
	e := b.requireStopped(p, committed.ErrUnknown)
	require.ErrorIs(t, e, ledger.ErrClosed)
	require.ErrorIs(t, r.Stored(b.ctx()), committed.ErrUnknown)
	_, err := r.Wait(b.ctx())
	require.ErrorIs(t, err, committed.ErrUnknown)
	b.requireRows(20)
	require.NoError(t, other.Err())
	require.ErrorIs(t, b.w.Close(b.ctx()), committed.ErrUnknown)
	b.open()
	p = b.partition("a", false)
	require.EqualValues(t, 20, at(p.Position()))
	b.requireLanded(b.append(p, 2, 3))
	b.requireRows(30)
}

// If it fails, an acknowledgement that was not written is reported as landed.
func TestLedgerFailsBeforeTheAcknowledgement(t *testing.T) {
	b, resume := stalled(t, committed.Options{})
	p := b.partition("a", true)
	results := b.append(p, 0, 3)
	require.NoError(t, results[2].Stored(b.ctx()))
	require.NoError(t, b.led.Close())
	resume()
	b.requireStopped(p, committed.ErrUnknown)
	for _, r := range results {
		require.NoError(t, r.Stored(b.ctx()))
		_, err := r.Wait(b.ctx())
		require.ErrorIs(t, err, committed.ErrUnknown)
	}
	require.Error(t, b.w.Close(b.ctx()))
	b.open()
	p = b.partition("a", true)
	require.NoError(t, p.Drain(b.ctx()))
	b.requireRows(30)
}

// If it fails, a partition can be opened in a way that its open batches can't be sent again.
func TestWrongMode(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	for _, frozen := range []bool{true, false} {
		name := fmt.Sprint(frozen)
		require.NoError(t, b.partition(name, frozen).Close(b.ctx()))
		_, err := b.w.Partition(b.ctx(), b.config(name, !frozen))
		require.ErrorContains(t, err, "the ledger has it as")
		require.NoError(t, b.partition(name, frozen).Close(b.ctx()))
	}
}

func TestWrongConfig(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	for name, spoil := range map[string]func(*committed.PartitionConfig){
		"no schema":                     func(c *committed.PartitionConfig) { c.Schema = nil },
		"schema is of another table":    func(c *committed.PartitionConfig) { c.Table += "2" },
		"1 to 200 bytes":                func(c *committed.PartitionConfig) { c.Name = "" },
		"of UTF-8":                      func(c *committed.PartitionConfig) { c.Name = "\xff" },
		"no control characters":         func(c *committed.PartitionConfig) { c.Name = "a\nb" },
		"a partition's name is 1 to 20": func(c *committed.PartitionConfig) { c.Name = fmt.Sprintf("%0201d", 1) },
	} {
		cfg := b.config("a", true)
		spoil(&cfg)
		_, err := b.w.Partition(b.ctx(), cfg)
		require.ErrorContains(t, err, name)
	}
	require.Zero(t, b.srv.Stats().Creates)
}

// If it fails, a retired partition leaves a stream that can be written to, or its name can't be used again.
func TestRetire(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	p := b.partition("a", true)
	r := b.append(p, 0, 3)
	require.NoError(t, p.Retire(b.ctx()))
	b.requireLanded(r)
	require.ErrorIs(t, p.Err(), committed.ErrRetired)
	_, err := p.Append(b.ctx(), batch(30, 40))
	require.ErrorIs(t, err, committed.ErrRetired)
	require.True(t, b.stream(0).Finalized)
	_, _, err = b.led.Partition(p.Key())
	require.ErrorIs(t, err, ledger.ErrNoPartition)

	p = b.partition("a", false) // in another mode, if one likes
	require.Nil(t, p.Position())
	acks := b.requireLanded(b.append(p, 0, 1))
	require.EqualValues(t, 1, acks[0].Epoch)
	require.Equal(t, b.stream(1).Name, acks[0].Stream)
	require.Len(t, b.ids(), 40)
}

// If it fails, a crash in the middle of retiring leaves a partition that can't be opened.
func TestRetireInterrupted(t *testing.T) {
	for _, kind := range []emulator.Kind{emulator.FinalizeLost, emulator.CloseBefore} {
		b := newBench(t, committed.Options{}, emulator.Options{})
		p := b.partition("a", true)
		b.requireLanded(b.append(p, 0, 3))
		b.srv.Inject(emulator.Fault{Kind: kind})
		if kind == emulator.CloseBefore { // then it is interrupted before the seal
			b.append(p, 3, 4)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, p.Retire(ctx), context.DeadlineExceeded)
		b.srv.ClearFaults()
		b.reopen()
		p = b.partition("a", true)
		if kind == emulator.CloseBefore {
			require.NoError(t, p.Drain(b.ctx()))
			require.EqualValues(t, 40, at(p.Position()))
			b.requireRows(40)
			continue
		}
		require.Nil(t, p.Position(), "the retiring was finished, and the partition made anew")
		b.requireLanded(b.append(p, 0, 1))
		require.Len(t, b.ids(), 40)
		require.True(t, b.stream(0).Finalized)
	}
}

// If it fails, a finalize whose answer was lost is taken for somebody else's.
func TestRetireWithALostAnswer(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{Faults: []emulator.Fault{{Kind: emulator.FinalizeLost, Count: 3}}})
	p := b.partition("a", true)
	b.append(p, 0, 3)
	require.NoError(t, p.Retire(b.ctx()))
	b.requireRows(30)
}

// If it fails, retiring waits for ever for a partition that has stopped.
func TestRetireOfAStoppedPartition(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	p := b.partition("a", true)
	foreign(3)(b)
	b.append(p, 0, 1)
	require.ErrorIs(t, p.Retire(b.ctx()), committed.ErrConflict)
	require.False(t, b.stream(0).Finalized)
	require.False(t, errors.Is(p.Err(), committed.ErrRetired))
}
