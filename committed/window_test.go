package committed_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/stretchr/testify/require"
)

// stalled is a bench whose service reads no append before resume is called.
func stalled(t *testing.T, opt committed.Options) (b *bench, resume func()) {
	hold := make(chan struct{})
	resume = sync.OnceFunc(func() { close(hold) })
	b = newBench(t, opt, emulator.Options{OnAppend: func(r emulator.Request) {
		if r.Offset < 1<<40 {
			<-hold
		}
	}})
	t.Cleanup(resume)
	return b, resume
}

// bound is how far the ledger has bound a partition's rows.
func (b *bench) bound(p *committed.Partition) int64 {
	part, _, err := b.led.Partition(p.Key())
	require.NoError(b.t, err)
	return part.Next
}

// If it fails, a batch that can never land is bound, and blocks the partition for good.
func TestRefusedBeforeAnythingIsBound(t *testing.T) {
	b := newBench(t, committed.Options{MaxRequestBytes: 2000}, emulator.Options{})
	frozen, replayable := b.partition("frozen", true), b.partition("replayable", false)
	b.requireLanded(b.append(frozen, 0, 1))
	b.requireLanded(b.append(replayable, 0, 1))
	large := batch(10, 20)
	large.Rows = slices.Clone(large.Rows)
	large.Rows[3] = make([]byte, 2000)
	for _, c := range []struct {
		name  string
		p     *committed.Partition
		batch committed.Batch
		want  error
	}{
		{"empty", frozen, committed.Batch{After: position(10), Position: position(20)}, committed.ErrEmpty},
		{"too large", frozen, large, committed.ErrTooLarge},
		{"too many rows", frozen, batch(10, 1000), committed.ErrTooLarge},
		{"after a gap", frozen, batch(20, 30), committed.ErrOutOfOrder},
		{"again", frozen, batch(0, 10), committed.ErrOutOfOrder},
		{"empty, replayable", replayable, committed.Batch{After: position(10), Position: position(20)}, committed.ErrEmpty},
		{"too large, replayable", replayable, large, committed.ErrTooLarge},
		{"after a gap, replayable", replayable, batch(20, 30), committed.ErrOutOfOrder},
		{"without a position, replayable", replayable, committed.Batch{After: position(10), Rows: large.Rows[:1]}, committed.ErrOutOfOrder},
		{"that doesn't move, replayable", replayable, committed.Batch{After: position(10), Position: position(10), Rows: large.Rows[:1]}, committed.ErrOutOfOrder},
	} {
		r, err := c.p.Append(b.ctx(), c.batch)
		require.Nil(t, r, c.name)
		require.ErrorIs(t, err, c.want, c.name)
		require.ErrorContains(t, err, c.p.Key().Name, c.name)
		require.EqualValues(t, 10, at(c.p.Position()), c.name)
		require.EqualValues(t, 10, b.bound(c.p), c.name)
	}
	// The room that they took was given back, and the partition goes on.
	for i := int64(1); i < 100; i++ {
		b.append(frozen, i, i+1)
	}
	require.NoError(t, frozen.Drain(b.ctx()))
	require.EqualValues(t, 1000, b.bound(frozen))
	b.requireSound()
}

// If it fails, a batch of exactly the limit is refused, or one too large is sent.
func TestLargestBatchFitsTheRequest(t *testing.T) {
	const limit = 100_000
	b := newBench(t, committed.Options{MaxRequestBytes: limit}, emulator.Options{SoftLimit: limit})
	p := b.partition("a", true)
	landed := 0
	for size := limit - 2000; size < limit; size += 7 {
		big := committed.Batch{Rows: padded(committed.Batch{Rows: [][]byte{row(0)}}, 1000).Rows}
		for n := len(big.Rows[0]); n < size; n += 1009 {
			big.Rows = append(big.Rows, big.Rows[0])
		}
		r, err := p.Append(b.ctx(), big)
		if err != nil {
			require.ErrorIs(t, err, committed.ErrTooLarge)
			continue
		}
		_, err = r.Wait(b.ctx())
		require.NoError(t, err)
		landed++
	}
	require.Positive(t, landed)
	require.Empty(t, b.take().seals, "a batch was found too large by the service")
}

// If it fails, a caller whose context has ended is told that nothing was bound although it was, and offers the rows a
// second time: a context bounds the wait for room, and never takes an offset back.
func TestAppendWithAnEndedContext(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	for _, frozen := range []bool{true, false} {
		p := b.partition(fmt.Sprint(frozen), frozen)
		r, err := p.Append(ended(), batch(0, 10))
		if err != nil {
			require.Nil(t, p.Position(), "nothing was bound")
			require.NoError(t, p.Drain(b.ctx()))
			require.Zero(t, b.bound(p))
			continue
		}
		b.requireLanded([]*committed.Result{r})
	}
	b.requireSound()
}

// If it fails, memory is not bounded: more batches are open than the window has room for.
func TestWindowOfRequests(t *testing.T) {
	b, resume := stalled(t, committed.Options{WindowRequests: 8})
	p := b.partition("a", false)
	results := b.append(p, 0, 8)
	ctx, cancel := context.WithCancel(context.Background())
	refused := make(chan error)
	go func() {
		_, err := p.Append(ctx, batch(80, 90))
		refused <- err
	}()
	select {
	case err := <-refused:
		require.Fail(t, "it did not wait", "%v", err)
	case <-results[7].Done():
		require.Fail(t, "landed")
	default:
	}
	cancel()
	require.ErrorIs(t, <-refused, context.Canceled)
	require.EqualValues(t, 80, at(p.Position()))
	require.NoError(t, results[7].Stored(b.ctx()))
	require.EqualValues(t, 80, b.bound(p))

	// One that waits gets the first room there is.
	var r *committed.Result
	go func() {
		var err error
		r, err = p.Append(b.ctx(), batch(80, 90))
		refused <- err
	}()
	resume()
	require.NoError(t, <-refused)
	b.requireLanded(append(results, r))
	b.requireRows(90)
}

// If it fails, the bytes of the open batches are not bounded, or a batch larger than
// the window never gets in.
func TestWindowOfBytes(t *testing.T) {
	b, resume := stalled(t, committed.Options{WindowBytes: 90})
	p := b.partition("a", false)
	first := b.append(p, 0, 2) // 40 bytes each
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := p.Append(ctx, batch(20, 30))
	require.ErrorIs(t, err, context.Canceled)
	_, err = p.Append(ctx, batch(20, 21)) // it would fit
	require.NoError(t, err)
	go resume()
	b.requireLanded(first)
	r, err := p.Append(b.ctx(), batch(21, 500)) // waits until it is alone
	require.NoError(t, err)
	_, err = r.Wait(b.ctx())
	require.NoError(t, err)
	b.requireRows(500)
}

// If it fails, each run of a program that dies before anything has landed adds a window to what is open: the ledger grows
// as long as the service hangs.
func TestWindowOverRuns(t *testing.T) {
	for _, opt := range []committed.Options{{WindowRequests: 4}, {WindowBytes: 160}} {
		b, resume := stalled(t, opt)
		for _, frozen := range []bool{true, false} {
			for range 5 {
				p := b.partition(fmt.Sprint(frozen), frozen)
				for n := at(p.Position()); ; n += 10 {
					if r, err := p.Append(ended(), batch(n, n+10)); err != nil {
						require.ErrorIs(t, err, context.Canceled)
						break
					} else {
						require.NoError(t, r.Stored(b.ctx()))
					}
				}
				require.EqualValues(t, 40, b.bound(p))
				b.reopen()
			}
		}
		resume()
		for _, frozen := range []bool{true, false} {
			p := b.partition(fmt.Sprint(frozen), frozen)
			require.Len(t, p.Recovered(), 4)
			b.requireLanded(b.append(p, 4, 45)) // there is room again
			require.EqualValues(t, 450, b.bound(p))
		}
		b.requireSound()
	}
}

// If it fails, concurrent callers tear batches apart or lose some; the order of the
// rows must be the order of the calls, which is the order of the offsets.
func TestConcurrentCallers(t *testing.T) {
	b := newBench(t, committed.Options{WindowRequests: 16}, emulator.Options{
		Faults: []emulator.Fault{{Kind: emulator.CloseAfter, Every: 50, Count: 10}},
	})
	p := b.partition("a", true)
	var callers sync.WaitGroup
	const n, each = 16, 40
	offsets := make([][]int64, n)
	for c := range int64(n) {
		callers.Go(func() {
			for i := range int64(each) {
				from := (c*each + i) * 10
				r, err := p.Append(b.ctx(), committed.Batch{Rows: numbers{}.batch(from, from+10).Rows})
				if err != nil {
					b.t.Error(err)
					return
				}
				ack, err := r.Wait(b.ctx())
				if err != nil {
					b.t.Error(err)
					return
				}
				offsets[c] = append(offsets[c], ack.Offset)
			}
		})
	}
	callers.Wait()
	ids := b.ids()
	require.Len(t, ids, n*each*10)
	for c := range offsets {
		require.Len(t, offsets[c], each)
		for i, off := range offsets[c] {
			require.Zero(t, off%10)
			for k := range int64(10) {
				require.EqualValues(t, int64(c*each+i)*10+k, ids[off+k], "each batch is whole and where its result says")
			}
		}
		require.IsIncreasing(t, offsets[c])
	}
	b.requireSound()
}

// If it fails, rows of a caller who positions its batches are bound out of order.
func TestConcurrentCallersWithPositions(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	p := b.partition("a", false)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() { // all want to append the same batches
			for at(p.Position()) < 500 {
				from := at(p.Position())
				if _, err := p.Append(b.ctx(), batch(from, from+5)); err != nil {
					require.ErrorIs(t, err, committed.ErrOutOfOrder)
				}
			}
		})
	}
	callers.Wait()
	require.NoError(t, p.Drain(b.ctx()))
	b.requireRows(int64(len(b.ids())))
	require.GreaterOrEqual(t, len(b.ids()), 500)
}

// If it fails, an operator takes batches that wait to be sent for batches that are on their way, or the other way round.
func TestProgress(t *testing.T) {
	b, resume := stalled(t, committed.Options{})
	p := b.partition("p", true)
	require.Empty(t, p.Progress())
	b.append(p, 0, 3)
	require.Eventually(t, func() bool { return p.InFlight() == 3 }, time.Minute, time.Millisecond)
	progress := p.Progress()
	_, open, err := b.led.Partition(p.Key())
	require.NoError(t, err)
	require.Len(t, open, 3)
	for _, in := range open {
		require.Equal(t, committed.B3, progress[in.Number])
	}
	resume()
	require.NoError(t, p.Drain(b.ctx()))
	require.Empty(t, p.Progress())
}
