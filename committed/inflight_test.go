package committed_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// inFlight is how many appends are in flight when the fifth of them fails.
const inFlight = 64

// failing is a way for the fifth append to fail.
type failing struct {
	name  string
	fault []emulator.Fault
	fifth func(b *bench)                        // done by the service right before it judges the fifth append
	rows  func(committed.Batch) committed.Batch // what the fifth batch is instead
	opt   committed.Options
	emu   emulator.Options

	stops   error // what the partition stops with; nil: it recovers
	foreign int   // rows of somebody else behind ours, when it has stopped
	applied int   // batches that the service has when it has stopped
	mended  bool  // the next start lands everything; else it stops with the same
	epochs  int   // streams in the end
}

// onFifth arms a fault for the fifth append: the probe and four appends pass.
func onFifth(f emulator.Fault) []emulator.Fault {
	f.After, f.Count = 5, 1
	return []emulator.Fault{f}
}

func answering(kind emulator.Kind, c codes.Code, text string) []emulator.Fault {
	return onFifth(emulator.Fault{Kind: kind, Error: status.New(c, text)})
}

func storageError(kind emulator.Kind, c codes.Code, code storagepb.StorageError_StorageErrorCode) []emulator.Fault {
	st, err := status.New(c, "Injected.").WithDetails(&storagepb.StorageError{Code: code})
	if err != nil {
		panic(err)
	}
	return onFifth(emulator.Fault{Kind: kind, Error: st})
}

func recoverable() []failing {
	with := func(name string, f ...emulator.Fault) failing { return failing{name: name, fault: f, epochs: 1} }
	var all []failing
	for _, k := range []emulator.Kind{
		emulator.CloseBefore, emulator.CloseAfter, emulator.ErrorBefore, emulator.ErrorAfter, emulator.Abort,
		emulator.ResetBefore, emulator.ResetAfter, emulator.GoAwayBefore, emulator.GoAwayAfter,
	} {
		all = append(all, with(string(k), onFifth(emulator.Fault{Kind: k})...))
	}
	for _, k := range []emulator.Kind{emulator.ErrorBefore, emulator.ErrorAfter, emulator.Abort, emulator.CloseAfter} {
		for _, c := range []codes.Code{codes.Internal, codes.ResourceExhausted, codes.Unavailable, codes.Aborted,
			codes.DeadlineExceeded, codes.Canceled, codes.Unknown} {
			all = append(all, with(fmt.Sprintf("%s with %v", k, c), answering(k, c, "Injected.")...))
		}
		all = append(all, with(string(k)+" with a key service away",
			storageError(k, codes.Internal, storagepb.StorageError_KMS_SERVICE_ERROR)...))
	}
	stalled := with("stall until the answer is overdue", onFifth(emulator.Fault{Kind: emulator.Stall})...)
	stalled.opt.AnswerTimeout = 100 * time.Millisecond
	extra := storageError(emulator.ErrorBefore, codes.InvalidArgument, storagepb.StorageError_SCHEMA_MISMATCH_EXTRA_FIELDS)
	large := failing{
		name: "too large", epochs: 2, emu: emulator.Options{SoftLimit: 1500},
		rows: func(b committed.Batch) committed.Batch { return padded(b, 200) },
	}
	huge := large
	huge.name, huge.epochs = "too large, and its halves too", 4
	huge.rows = func(b committed.Batch) committed.Batch { return padded(b, 400) }
	return append(all, stalled, large, huge,
		with("reset of all connections", onFifth(emulator.Fault{Kind: emulator.ResetAfter, All: true})...),
		with("short stall", onFifth(emulator.Fault{Kind: emulator.Stall, Delay: 20 * time.Millisecond})...),
		with("interval close", emulator.Fault{Kind: emulator.Intervals, Every: 5}),
		with("INTERNAL every fifth", emulator.Fault{Kind: emulator.InternalEach, Every: 5}),
		with("extra fields for a while", extra...),
		with("stale end after reconnect", append(onFifth(emulator.Fault{Kind: emulator.CloseAfter}),
			emulator.Fault{Kind: emulator.StaleEnd, Lag: 3, Checks: 2, Count: 2})...),
		with("connections refused after a break", append(onFifth(emulator.Fault{Kind: emulator.CloseBefore}),
			emulator.Fault{Kind: emulator.DropConnect, After: 1, Count: 3})...),
		with("quota of connections after a break", append(onFifth(emulator.Fault{Kind: emulator.CloseBefore}),
			emulator.Fault{Kind: emulator.DropConnect, After: 1, Count: 3, Error: status.New(codes.ResourceExhausted, "Injected.")})...),
		with("every fifth append applied and lost", emulator.Fault{Kind: emulator.CloseAfter, After: 1, Every: 5}),
	)
}

// padded is a batch with rows of n bytes: a varint may be as long as it likes to a
// service that checks the size first.
func padded(b committed.Batch, n int) committed.Batch {
	rows := make([][]byte, len(b.Rows))
	for i, r := range b.Rows {
		// An unknown field is ignored (case 43): here field 2, of n bytes.
		rows[i] = append(append(append([]byte{}, r...), 0x12, byte(n&0x7f|0x80), byte(n>>7)), make([]byte, n)...)
	}
	b.Rows = rows
	return b
}

func stopping() []failing {
	bare := answering(emulator.ErrorBefore, codes.InvalidArgument, "Injected.")
	all := []failing{
		{name: "finalized by somebody else", fault: onFifth(emulator.Fault{Kind: emulator.Finalize}), stops: committed.ErrFenced, applied: 4},
		{name: "expired", fault: onFifth(emulator.Fault{Kind: emulator.Expire}), stops: committed.ErrInDoubt, applied: 4},
		{name: "row errors", stops: committed.ErrRefused, applied: 4,
			rows: func(b committed.Batch) committed.Batch { b.Rows[7] = []byte{}; return b }},
		{name: "bare INVALID_ARGUMENT", fault: bare, stops: committed.ErrBlocked, applied: 4, mended: true},
		{name: "bare INVALID_ARGUMENT ends the connection", fault: answering(emulator.Abort, codes.InvalidArgument, "Injected."),
			stops: committed.ErrBlocked, applied: 4, mended: true},
		{name: "permission denied after applying", fault: answering(emulator.CloseAfter, codes.PermissionDenied, "Injected."),
			stops: committed.ErrBlocked, applied: 5, mended: true},
		{name: "table not found", fault: storageError(emulator.Abort, codes.NotFound, storagepb.StorageError_TABLE_NOT_FOUND),
			stops: committed.ErrBlocked, applied: 4, mended: true},
		{name: "foreign rows in the middle", fifth: foreign(3), stops: committed.ErrConflict, applied: 4, foreign: 3},
		{name: "foreign rows while the connection was broken", fault: onFifth(emulator.Fault{Kind: emulator.CloseBefore}),
			fifth: foreign(3), stops: committed.ErrConflict, applied: 4, foreign: 3},
	}
	for _, c := range []codes.Code{codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition, codes.Unimplemented, codes.DataLoss} {
		all = append(all, failing{name: c.String(), fault: answering(emulator.Abort, c, "Injected."),
			stops: committed.ErrBlocked, applied: 4, mended: true})
	}
	return all
}

// foreign has somebody else write n rows.
func foreign(n int64) func(*bench) {
	return func(b *bench) {
		_, err := b.srv.AppendForeign(b.stream(0).Name, batch(1e6, 1e6+n).Rows)
		if err != nil {
			b.t.Error(err)
		}
	}
}

// flight opens a partition and appends inFlight batches of ten rows. The service
// reads none before all are on their way.
func (f failing) flight(t *testing.T, frozen bool) (*bench, *committed.Partition, []*committed.Result) {
	all := make(chan struct{})
	var b *bench
	var once sync.Once
	var appends int
	opt, emu := f.opt, f.emu
	opt.WindowRequests = inFlight
	opt.Events.Sent = func(ledger.Key, ledger.Intent, bool) {
		if appends++; appends == inFlight {
			close(all)
		}
	}
	emu.Faults = f.fault
	emu.OnAppend = func(r emulator.Request) {
		if r.Offset < 1<<40 { // not the probe
			<-all
		}
		if r.Offset == 40 && f.fifth != nil {
			once.Do(func() { f.fifth(b) })
		}
	}
	b = newBench(t, opt, emu)
	cfg := b.config("a", frozen)
	if !frozen {
		cfg.Replay = f.replay
	}
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	var results []*committed.Result
	for i := int64(0); i < inFlight; i++ {
		r, err := p.Append(b.ctx(), f.batch(i))
		require.NoError(t, err)
		results = append(results, r)
	}
	return b, p, results
}

// batch is the batch i, from 0.
func (f failing) batch(i int64) committed.Batch {
	b := batch(i*10, i*10+10)
	if i == 4 && f.rows != nil {
		return f.rows(b)
	}
	return b
}

func (f failing) replay(_ context.Context, r committed.Range) (committed.Replayed, error) {
	return committed.Replayed{Rows: f.batch(at(r.Before) / 10).Rows}, nil
}

func bothModes(t *testing.T, f failing, test func(t *testing.T, frozen bool)) {
	for _, frozen := range []bool{false, true} {
		t.Run(fmt.Sprintf("%s, frozen %v", f.name, frozen), func(t *testing.T) { test(t, frozen) })
	}
}

// If it fails, an append that fails with others behind it loses or duplicates rows,
// or puts them out of order.
func TestFifthAppendFailsAndAllLand(t *testing.T) {
	for _, f := range recoverable() {
		bothModes(t, f, func(t *testing.T, frozen bool) {
			b, p, results := f.flight(t, frozen)
			epoch, offset := uint64(1), int64(0)
			for i, ack := range b.requireLanded(results) {
				if ack.Epoch != epoch {
					require.Greater(t, ack.Epoch, epoch, "batch %d", i)
					epoch, offset = ack.Epoch, 0
				}
				require.Equal(t, b.stream(int(epoch-1)).Name, ack.Stream)
				require.EqualValues(t, 10, ack.Rows)
				if i != 4 || f.rows == nil { // a batch that was split says where its last part is
					require.Equal(t, offset, ack.Offset, "batch %d", i)
				}
				offset = ack.Offset + ack.Rows
				if i == 4 && f.rows != nil {
					offset = b.offsetAfter(ack.Stream, 49)
				}
			}
			b.requireRows(inFlight * 10)
			require.EqualValues(t, inFlight*10, at(p.Position()))
			require.Len(t, b.srv.Streams(table)[1:], f.epochs)
			require.False(t, f.rows == nil && len(b.srv.FaultCounts()) == 0, "nothing went wrong")
			require.Len(t, b.take().seals, f.epochs-1)
			b.requireSound()
			b.reopen()
			p = b.partition("a", frozen)
			require.Empty(t, p.Found())
			require.EqualValues(t, inFlight*10, at(p.Position()))
		})
	}
}

// offsetAfter is the offset after the row with an id.
func (b *bench) offsetAfter(stream string, id int64) int64 {
	for _, r := range b.srv.Rows(table) {
		if r.Stream == stream && rowID(b.t, r.Data) == id {
			return r.Offset + 1
		}
	}
	return -1
}

// If it fails, a partition goes on where it must not, or it forgets something when
// it stops.
func TestFifthAppendFailsAndStops(t *testing.T) {
	for _, f := range stopping() {
		bothModes(t, f, func(t *testing.T, frozen bool) {
			b, p, results := f.flight(t, frozen)
			b.requireStopped(p, f.stops)
			landed := 0
			for i, r := range results {
				ack, err := r.Wait(b.ctx())
				if err == nil {
					require.Equal(t, i, landed, "batch %d landed, one before it didn't", i)
					require.EqualValues(t, i*10, ack.Offset)
					landed++
					continue
				}
				require.ErrorIs(t, err, f.stops)
				require.NoError(t, r.Stored(b.ctx()), "every intent was durable")
			}
			require.LessOrEqual(t, landed, f.applied)
			_, err := p.Append(b.ctx(), batch(640, 650))
			require.ErrorIs(t, err, f.stops)
			want := f.applied*10 + f.foreign
			require.Len(t, b.ids(), want)
			b.requireSound()

			b.srv.ClearFaults()
			b.reopen()
			_, open, err := b.led.Partition(p.Key())
			require.NoError(t, err)
			require.Len(t, open, inFlight-landed)
			f.again(t, b, frozen, want)
		})
	}
}

// again starts anew after the stop.
func (f failing) again(t *testing.T, b *bench, frozen bool, rows int) {
	cfg := b.config("a", frozen)
	if !frozen {
		cfg.Replay = f.replay
	}
	p, err := b.w.Partition(b.ctx(), cfg)
	switch {
	case f.mended:
		require.NoError(t, err)
		require.NoError(t, p.Drain(b.ctx()))
		b.requireRows(inFlight * 10)
		return
	case f.stops == committed.ErrRefused: // not marked: it stops when the fifth batch is sent again
		if err == nil { // perhaps before it was handed out
			b.requireStopped(p, f.stops)
		} else {
			require.ErrorIs(t, err, f.stops)
		}
	default:
		require.ErrorIs(t, err, f.stops)
		require.ErrorContains(t, err, "found by an earlier run")
	}
	require.Len(t, b.ids(), rows)
	b.requireSound()
}
