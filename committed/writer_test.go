package committed_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// managedwriter keeps one asleep for 20 s after each connection, to let queued
		// writes drain; it can't be told to stop.
		goleak.IgnoreAnyFunction("cloud.google.com/go/bigquery/storage/managedwriter.(*connection).getStream.func1"),
		goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"),
	)
}

const table = "projects/p/datasets/d/tables/t"

// idSchema is a table with one required column, id.
func idSchema() *storagepb.TableSchema {
	return &storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{
		{Name: "id", Type: storagepb.TableFieldSchema_INT64, Mode: storagepb.TableFieldSchema_REQUIRED},
	}}
}

// row is the row with this id.
func row(id int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(id))
}

func rowID(t testing.TB, b []byte) int64 {
	_, _, n := protowire.ConsumeTag(b)
	v, m := protowire.ConsumeVarint(b[n:])
	require.Positive(t, m)
	return int64(v)
}

func position(i int64) []byte {
	if i == 0 {
		return nil
	}
	return binary.BigEndian.AppendUint64(nil, uint64(i))
}

func at(p []byte) int64 {
	if p == nil {
		return 0
	}
	return int64(binary.BigEndian.Uint64(p))
}

// numbers is a replayable source: its row i is base+i, the position after it is i+1.
type numbers struct{ base int64 }

func (s numbers) batch(from, to int64) committed.Batch {
	b := committed.Batch{After: position(from), Position: position(to)}
	for i := from; i < to; i++ {
		b.Rows = append(b.Rows, row(s.base+i))
	}
	return b
}

func (s numbers) replay(_ context.Context, r committed.Range) (committed.Replayed, error) {
	return committed.Replayed{Rows: s.batch(at(r.Before), at(r.After)).Rows}, nil
}

func batch(from, to int64) committed.Batch { return numbers{}.batch(from, to) }

// bench is an emulator with a writer on it.
type bench struct {
	seen // what the writer's events told, of all its openings
	t    testing.TB
	srv  *emulator.Server
	path string
	led  *ledger.Ledger
	w    *committed.Writer
	opt  committed.Options

	patience time.Duration // of ctx
}

func newBench(t testing.TB, opt committed.Options, emu emulator.Options) *bench {
	return newBenchAt(t, filepath.Join(t.TempDir(), "test.ledger"), opt, emu)
}

func newBenchAt(t testing.TB, path string, opt committed.Options, emu emulator.Options) *bench {
	if emu.Tables == nil {
		emu.Tables = map[string]*storagepb.TableSchema{table: idSchema()}
	}
	srv, err := emulator.Start(emu)
	require.NoError(t, err)
	t.Cleanup(func() { _ = srv.Close() })
	opt.ClientOptions = srv.ClientOptions()
	if opt.Backoff == (retry.Policy{}) {
		opt.Backoff = retry.Policy{Initial: time.Millisecond, Max: 20 * time.Millisecond, Multiplier: 2}
	}
	if opt.CreateRate == 0 {
		opt.CreateRate, opt.CreateBurst = 1e6, 1e6
	}
	b := &bench{t: t, srv: srv, path: path, opt: opt, patience: 30 * time.Second}
	b.opt.Events = b.listen(opt.Events)
	b.open()
	t.Cleanup(b.close)
	return b
}

// slow is a backoff that keeps a partition waiting after its first failure.
func slow() retry.Policy { return retry.Policy{Initial: time.Hour, Max: time.Hour} }

func (b *bench) open() {
	var err error
	b.led, err = ledger.Open(b.path, &ledger.Options{SegmentBytes: 1 << 20})
	require.NoError(b.t, err)
	b.w, err = committed.Open(b.ctx(), b.led, b.opt)
	require.NoError(b.t, err)
}

func (b *bench) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // what is open stays
	_ = b.w.Close(ctx)
	require.NoError(b.t, b.led.Close())
}

// reopen is a restart that leaves open what is open.
func (b *bench) reopen() { b.close(); b.open() }

func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), b.patience)
	b.t.Cleanup(cancel)
	return ctx
}

func (b *bench) config(name string, frozen bool) committed.PartitionConfig {
	s, err := committed.NewSchema(table, idSchema(), nil)
	require.NoError(b.t, err)
	cfg := committed.PartitionConfig{Table: table, Name: name, Schema: s, Encoder: 1}
	if !frozen {
		cfg.Replay = numbers{}.replay
	}
	return cfg
}

func (b *bench) partition(name string, frozen bool) *committed.Partition {
	p, err := b.w.Partition(b.ctx(), b.config(name, frozen))
	require.NoError(b.t, err)
	return p
}

// requireRows checks that the table holds the ids 0 to n-1, each once and in order.
func (b *bench) requireRows(n int64) {
	b.t.Helper()
	got := b.srv.Rows(table)
	require.Len(b.t, got, int(n))
	for i, r := range got {
		require.Equal(b.t, int64(i), rowID(b.t, r.Data), "row %d", i)
	}
}

// ids are the ids of a table's rows, in the order of their arrival.
func (b *bench) ids() []int64 {
	var ids []int64
	for _, r := range b.srv.Rows(table) {
		ids = append(ids, rowID(b.t, r.Data))
	}
	return ids
}

// append hands over the batches [from, to) of ten rows each.
func (b *bench) append(p *committed.Partition, from, to int64) []*committed.Result {
	b.t.Helper()
	var results []*committed.Result
	for i := from; i < to; i++ {
		r, err := p.Append(b.ctx(), batch(i*10, i*10+10))
		require.NoError(b.t, err)
		results = append(results, r)
	}
	return results
}

// appendUntil is append to a partition that stops meanwhile, perhaps before it took them all.
func (b *bench) appendUntil(stop error, p *committed.Partition, from, to int64) []*committed.Result {
	b.t.Helper()
	var results []*committed.Result
	for i := from; i < to; i++ {
		r, err := p.Append(b.ctx(), batch(i*10, i*10+10))
		if err != nil {
			require.ErrorIs(b.t, err, stop)
			break
		}
		results = append(results, r)
	}
	return results
}

// requireLanded waits until each has landed.
func (b *bench) requireLanded(results []*committed.Result) []committed.Ack {
	b.t.Helper()
	acks := make([]committed.Ack, len(results))
	for i, r := range results {
		var err error
		acks[i], err = r.Wait(b.ctx())
		require.NoError(b.t, err, "batch %d", i)
	}
	return acks
}

// requireStopped waits until the partition has stopped, and checks with what.
func (b *bench) requireStopped(p *committed.Partition, with error) *committed.Error {
	b.t.Helper()
	select {
	case <-p.Stopped():
	case <-b.ctx().Done():
		require.Fail(b.t, "the partition did not stop", "%v", with)
	}
	require.ErrorIs(b.t, p.Err(), with)
	var e *committed.Error
	require.ErrorAs(b.t, p.Err(), &e)
	require.Equal(b.t, p.Key(), e.Key)
	return e
}

// stream is the table's n-th stream that a writer made, counted from 0.
func (b *bench) stream(n int) emulator.StreamInfo {
	b.t.Helper()
	all := b.srv.Streams(table)[1:] // the first is the default stream
	require.Greater(b.t, len(all), n)
	return all[n]
}

// requireSound checks the ledger's own invariants.
func (b *bench) requireSound() {
	b.t.Helper()
	v, err := b.led.Check()
	require.NoError(b.t, err)
	require.Empty(b.t, v)
}

// What breaks if it fails: everything.
func TestWriteAndResume(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		t.Run(fmt.Sprintf("frozen %v", frozen), func(t *testing.T) {
			b := newBench(t, committed.Options{}, emulator.Options{})
			p := b.partition("a", frozen)
			var results []*committed.Result
			for i := int64(0); i < 100; i++ {
				r, err := p.Append(b.ctx(), batch(i*10, i*10+10))
				require.NoError(t, err)
				results = append(results, r)
			}
			for i, r := range results {
				ack, err := r.Wait(b.ctx())
				require.NoError(t, err)
				require.EqualValues(t, i*10, ack.Offset)
			}
			b.requireRows(1000)
			b.reopen()
			p = b.partition("a", frozen)
			require.EqualValues(t, 1000, at(p.Position()))
			r, err := p.Append(b.ctx(), batch(1000, 1001))
			require.NoError(t, err)
			require.NoError(t, r.Stored(b.ctx()))
			require.NoError(t, p.Close(b.ctx()))
			b.requireRows(1001)
		})
	}
}
