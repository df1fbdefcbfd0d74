package committed_test

import (
	"context"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// say resolves a partition with a person's word.
func (b *bench) say(landed int64) {
	b.t.Helper()
	part, _, err := b.led.Partition(ledger.Key{Table: table, Name: "a"})
	require.NoError(b.t, err)
	done := make(chan error)
	b.led.Resolve(part.ID, part.Epoch, &ledger.Resolution{Landed: landed}, func(err error) { done <- err })
	require.NoError(b.t, <-done)
}

// skip has the first open batch skipped.
func (b *bench) skip() {
	b.t.Helper()
	part, open, err := b.led.Partition(ledger.Key{Table: table, Name: "a"})
	require.NoError(b.t, err)
	done := make(chan error)
	b.led.Skip(part.ID, part.Epoch, open[0].Number, "skipped by Ada", func(err error) { done <- err })
	require.NoError(b.t, <-done)
}

// newUnanswered writes three batches. The first has landed and is acknowledged, the second has
// landed and nobody knows, the third is bound. The writer is closed then.
func newUnanswered(t testing.TB, frozen bool) (b *bench, stream string) {
	b = newBench(t, committed.Options{Backoff: slow()}, emulator.Options{})
	p := b.partition("a", frozen)
	b.requireLanded(b.append(p, 0, 1))
	stream = b.stream(0).Name
	b.srv.Inject(emulator.Fault{Kind: emulator.ErrorAfter, Stream: stream, Count: 1})
	b.srv.Inject(emulator.Fault{Kind: emulator.Stall, Stream: stream})
	for _, r := range b.append(p, 1, 3) {
		require.NoError(b.t, r.Stored(b.ctx()))
	}
	require.Eventually(b.t, func() bool { return len(b.srv.Rows(table)) == 20 }, 10*time.Second, time.Millisecond)
	b.close()
	b.srv.ClearFaults()
	b.opt.Backoff = retry.Policy{Initial: time.Millisecond, Max: 20 * time.Millisecond, Multiplier: 2}
	return b, stream
}

// newLost is newUnanswered, and then the stream is gone: the partition is halted in doubt.
func newLost(t testing.TB, frozen bool) *bench {
	b, stream := newUnanswered(t, frozen)
	require.NoError(b.t, b.srv.ExpireStream(stream))
	b.open()
	_, err := b.w.Partition(b.ctx(), b.config("a", frozen))
	require.ErrorIs(b.t, err, committed.ErrInDoubt)
	return b
}

// If it fails, a person's word about a stream that is gone does not count, counts for other
// batches than it was about, or costs or doubles rows.
func TestResolvedWithAWord(t *testing.T) {
	bothModes(t, failing{name: "word"}, func(t *testing.T, frozen bool) {
		b := newLost(t, frozen)
		b.say(20)
		b.reopen()
		b.take()
		p := b.partition("a", frozen)
		require.EqualValues(t, 30, at(p.Position()))
		require.NoError(t, p.Drain(b.ctx()))
		got := b.take()
		require.Len(t, got.landed, 2)
		require.Equal(t, []int64{0}, got.sent, "the third, on a new stream")
		require.Len(t, got.seals, 1)
		require.Equal(t, ledger.Resolved, got.seals[0].Reason)
		b.requireLanded(b.append(p, 3, 4))
		b.requireRows(40)
		b.requireSound()
	})
}

// If it fails, what a person says has not landed is not sent again.
func TestResolvedAsNotLanded(t *testing.T) {
	b := newLost(t, true)
	b.say(10) // which is wrong of the second batch: it comes twice, which shows that it was sent
	b.reopen()
	p := b.partition("a", true)
	require.NoError(t, p.Drain(b.ctx()))
	require.Len(t, b.ids(), 40)
	require.EqualValues(t, 10, b.ids()[20])
	part, _, err := b.led.Partition(p.Key())
	require.NoError(t, err)
	require.Nil(t, part.Resolution)
	require.EqualValues(t, 30, part.Rows)
}

// If it fails, a batch that the service refuses for ever can't be got rid of without losing it, or takes
// others with it.
func TestSkipped(t *testing.T) {
	for name, c := range map[string]struct{ frozen, originals bool }{
		"replayable": {false, true}, "without originals": {false, false}, "frozen": {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newDirtyBench(t, committed.Options{}, emulator.Options{})
			s := dirty{version: 1, originals: c.originals}
			p, err := b.w.Partition(b.ctx(), s.config(b, c.frozen, 1))
			require.NoError(t, err)
			for i := int64(0); i < 40; i += 10 { // the first has a row that the encoder refuses, and one that the service refuses
				batch, _ := s.read(i, i+10)
				if _, err = p.Append(b.ctx(), batch); err != nil {
					break
				}
			}
			b.requireStopped(p, committed.ErrRefused)
			const first = 0
			b.skip()
			b.reopen()
			b.take()
			p, err = b.w.Partition(b.ctx(), s.config(b, c.frozen, 1000))
			require.NoError(t, err)
			require.NoError(t, p.Drain(b.ctx()))
			require.Equal(t, ledger.Skipped, b.take().seals[0].Reason)
			from := at(p.Position())
			b.requireLanded(s.append(b, p, from, 60))

			part, _, err := b.led.Partition(p.Key())
			require.NoError(t, err)
			letters, err := b.led.Letters(part.ID, 0, 1<<30)
			require.NoError(t, err)
			dead := map[int64]bool{}
			skipped := 0
			for _, l := range letters {
				i := at(l.Before) + l.Row
				require.False(t, dead[i])
				dead[i] = true
				if l.Reason == "skipped by Ada" {
					skipped++
					require.EqualValues(t, first, at(l.Before))
					if c.originals {
						require.Equal(t, line(i), l.Content)
					} else {
						require.Equal(t, s.row(i), l.Content)
					}
				} else {
					require.True(t, s.dead(i))
				}
			}
			require.Positive(t, skipped)
			var want []int64
			for i := range int64(60) {
				if !dead[i] {
					want = append(want, i)
				}
			}
			require.Equal(t, want, b.ids(), "all others have landed, in order")
			for i := int64(first); i < first+10; i++ {
				require.True(t, dead[i], "row %d of the batch that was skipped", i)
			}
			b.requireSound()
		})
	}
}

// If it fails, a batch that had landed becomes dead letters as well, or nobody learns that it was not skipped.
func TestSkippedAndLanded(t *testing.T) {
	b, _ := newUnanswered(t, true)
	b.open()
	b.skip()
	b.take()
	p := b.partition("a", true)
	require.NoError(t, p.Drain(b.ctx()))
	landed := b.take().landed
	require.Len(t, landed, 2)
	require.True(t, landed[0].Unskipped)
	require.False(t, landed[1].Unskipped)
	part, _, err := b.led.Partition(p.Key())
	require.NoError(t, err)
	require.Zero(t, part.Dead)
	b.requireRows(30)
}

// If it fails, people who ask what a start would do are told something else, or asking changes something.
func TestVerify(t *testing.T) {
	key := ledger.Key{Table: table, Name: "a"}
	denied := status.New(codes.PermissionDenied, "Injected.")
	for name, c := range map[string]struct {
		do      func(*bench, string)
		verdict recovery.Verdict
		end     int64
		landed  int
		err     string
	}{
		"fits":        {func(b *bench, s string) {}, recovery.Acked, 20, 1, ""},
		"conflict":    {func(b *bench, s string) { foreign(3)(b) }, recovery.Conflict, 23, 0, "beyond stream"},
		"fenced":      {func(b *bench, s string) { _, _ = b.srv.FinalizeStream(s) }, recovery.Fenced, -1, 0, "finalized"},
		"gone":        {func(b *bench, s string) { _ = b.srv.ExpireStream(s) }, recovery.InDoubt, -1, 0, "NotFound"},
		"no table":    {func(b *bench, s string) { _ = b.srv.DropTable(table) }, recovery.Blocked, -1, 0, "NotFound"},
		"denied":      {func(b *bench, s string) { b.srv.Inject(emulator.Fault{Kind: emulator.Abort, Error: denied}) }, recovery.Blocked, -1, 0, "Injected."},
		"unavailable": {func(b *bench, s string) { _ = b.srv.Close() }, recovery.Again, -1, 0, ""},
		"silent": {func(b *bench, s string) { b.srv.Inject(emulator.Fault{Kind: emulator.Stall}) },
			recovery.Again, -1, 0, ""},
		"a lag that ends": {func(b *bench, s string) {
			b.srv.Inject(emulator.Fault{Kind: emulator.StaleEnd, Lag: 15, Checks: 3})
		}, recovery.Acked, 20, 1, ""},
		"a lag that lasts": {func(b *bench, s string) {
			b.srv.Inject(emulator.Fault{Kind: emulator.StaleEnd, Lag: 15, Checks: 1000})
		}, recovery.AskAgain, 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, stream := newUnanswered(t, true)
			c.do(b, stream)

			led, err := ledger.OpenReadOnly(b.path)
			require.NoError(t, err)
			w, err := committed.Open(b.ctx(), led, b.opt)
			require.NoError(t, err)
			patience := 30 * time.Second
			if c.verdict == recovery.Again {
				patience = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			before := len(b.srv.Streams(table))
			v, err := w.Verify(ctx, key, nil)
			require.NoError(t, err)
			require.Equal(t, c.verdict, v.Verdict, "%v", v.Err)
			require.Equal(t, c.end, v.End)
			require.Equal(t, c.landed, v.Landed)
			if c.err != "" {
				require.ErrorContains(t, v.Err, c.err)
			}
			require.Len(t, v.Open, 2)
			require.Len(t, b.srv.Streams(table), before)
			require.NoError(t, w.Close(b.ctx()))
			require.NoError(t, led.Close())
		})
	}
}

// If it fails, who closes the writer leaves a verification behind, which goes on asking for ever, or over clients
// that nobody closes.
func TestVerifyWhileClosing(t *testing.T) {
	key := ledger.Key{Table: table, Name: "a"}
	b, _ := newUnanswered(t, true)
	b.srv.Inject(emulator.Fault{Kind: emulator.Stall})
	led, err := ledger.OpenReadOnly(b.path)
	require.NoError(t, err)
	w, err := committed.Open(b.ctx(), led, b.opt)
	require.NoError(t, err)
	before := b.srv.Stats().Appends
	verified := make(chan error)
	go func() {
		_, err := w.Verify(context.Background(), key, nil)
		verified <- err
	}()
	require.Eventually(t, func() bool { return b.srv.Stats().Appends > before }, 30*time.Second, time.Millisecond)
	require.NoError(t, w.Close(b.ctx()))
	require.ErrorIs(t, <-verified, committed.ErrClosed)
	_, err = w.Verify(context.Background(), key, nil)
	require.ErrorIs(t, err, committed.ErrClosed)
	require.NoError(t, led.Close())
}

// If it fails, a batch with more rows than a seal can name can't be skipped: the batches of a load may
// have a million.
func TestSkippedLarge(t *testing.T) {
	bothModes(t, failing{name: "large"}, func(t *testing.T, frozen bool) {
		const n = ledger.MaxRejected + 50_000
		b := newBench(t, committed.Options{Backoff: slow()}, emulator.Options{})
		p := b.partition("a", frozen)
		b.srv.Inject(emulator.Fault{Kind: emulator.ErrorBefore})
		for _, next := range []committed.Batch{batch(0, n), batch(n, n+10)} {
			r, err := p.Append(b.ctx(), next)
			require.NoError(t, err)
			require.NoError(t, r.Stored(b.ctx()))
		}
		// A request that is still on its way would land once the fault is gone.
		refused := func() bool { return b.srv.FaultCounts()[string(emulator.ErrorBefore)] > 0 && p.InFlight() == 0 }
		require.Eventually(t, refused, 30*time.Second, time.Millisecond)
		b.close()
		b.srv.ClearFaults()
		b.opt.Backoff = retry.Policy{Initial: time.Millisecond, Max: 20 * time.Millisecond, Multiplier: 2}
		b.open()
		b.skip()
		p = b.partition("a", frozen)
		require.NoError(t, p.Drain(b.ctx()))
		part, _, err := b.led.Partition(p.Key())
		require.NoError(t, err)
		require.EqualValues(t, n, part.Dead)
		require.EqualValues(t, 10, part.Rows)
		letters, err := b.led.Letters(part.ID, n-1, 1<<30)
		require.NoError(t, err)
		require.Len(t, letters, 1)
		require.Equal(t, row(n-1), letters[0].Content)
		require.Len(t, b.ids(), 10)
		b.requireSound()
	})
}
