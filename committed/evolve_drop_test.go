package committed_test

import (
	"context"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// If it fails, a dropped column stops a caller who follows the schema.
func TestDroppedColumnIsFollowed(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{
		Tables:      map[string]*storagepb.TableSchema{table: wideSchema()},
		Propagation: emulator.Propagation{DropGrace: time.Hour},
	})
	cfg := b.config("a", true)
	cfg.Schema = b.schema(wideSchema())
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	f := &follower{b: b, p: p}
	f.append(note)
	b.requireLanded(f.sent)
	require.NoError(t, b.srv.AlterTable(table, idSchema()))
	f.append(note) // its values go nowhere: the service's grace
	b.requireLanded(f.sent)
	require.False(t, has(p.Schema(), "note"))
	f.append(note)
	all := f.landed()
	require.NotContains(t, all[20], "note")
	require.EqualValues(t, 2, b.srv.Stats().CallsEver)
}

// If it fails, a column that is dropped soon after it was added is written to until the service refuses.
func TestColumnAddedAndDropped(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{Propagation: emulator.Propagation{DropGrace: time.Hour}})
	f := b.follow("a", true)
	for _, to := range []*storagepb.TableSchema{wideSchema(), idSchema()} {
		require.NoError(t, b.srv.AlterTable(table, to))
		eventually(t, "the service tells", func() bool {
			f.append(note)
			b.requireLanded(f.sent)
			return proto.Equal(to, f.p.Schema().Table())
		})
		f.append(note) // on a connection of the new schema
		b.requireLanded(f.sent)
	}
	require.NotContains(t, f.landed()[f.next-1], "note")
	got := b.take()
	require.Len(t, got.schemas, 2)
	require.Empty(t, got.waits)
}

// If it fails, batches with a dropped column are waited for without end (case 70), are lost,
// or nobody is told which column it is.
func TestDroppedColumnInTheData(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{
		Tables:      map[string]*storagepb.TableSchema{table: wideSchema()},
		Propagation: emulator.Propagation{DropGrace: -1},
	})
	cfg := b.config("a", true)
	cfg.Schema = b.schema(wideSchema())
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	f := &follower{b: b, p: p}
	f.append(note)
	b.requireLanded(f.sent)
	require.NoError(t, b.srv.AlterTable(table, idSchema()))
	f.append(note)
	e := b.requireStopped(p, committed.ErrBlocked)
	require.Contains(t, e.Error(), "columns that the table doesn't have: note: give it columns of these names")
	require.EqualValues(t, 10, e.Offset)
	b.values(10)
	waits := len(b.take().waits)
	require.True(t, waits >= 40 && waits <= 45, "%d: the bound begins anew with a new schema", waits)
	require.False(t, has(p.Schema(), "note"), "the partition looked while it waited")

	// Everything is kept: the next start finds the batch, and the same reason.
	b.reopen()
	p = b.partition("a", true)
	require.Len(t, p.Found(), 1)
	require.Contains(t, b.requireStopped(p, committed.ErrBlocked).Error(), "columns that the table doesn't have: note")
	b.requireSound()
}

// If it fails, a stream that is replaced after a column was dropped is probed under the old schema for
// ever, or with a row of one schema under another: id has the dropped column's place on the wire.
func TestProbeAfterDroppedColumn(t *testing.T) {
	before := idSchema()
	before.Fields = append([]*storagepb.TableFieldSchema{{
		Name: "note", Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_REQUIRED,
	}}, before.Fields...)
	var probes []int64 // bytes of the probes' rows
	emu := emulator.Options{Tables: map[string]*storagepb.TableSchema{table: before}, OnAppend: func(r emulator.Request) {
		if r.Offset == 1<<62 {
			probes = append(probes, r.Bytes)
		}
	}}
	inBubble(t, committed.Options{StreamAge: time.Hour}, emu, func(t *testing.T, b *bench) {
		cfg := b.config("a", true)
		cfg.Schema = b.schema(before)
		p, err := b.w.Partition(b.ctx(), cfg)
		require.NoError(t, err)
		f := &follower{b: b, p: p}
		f.append(note)
		b.requireLanded(f.sent)
		time.Sleep(30 * time.Minute) // nobody is connected any more
		require.NoError(t, b.srv.AlterTable(table, idSchema()))
		time.Sleep(time.Hour)
		require.EqualValues(t, 1, b.srv.Stats().Finalizes)
		require.Equal(t, []recovery.WaitKind{recovery.Propagation}, b.take().waits)
		require.False(t, has(p.Schema(), "note"))
		require.NoError(t, p.Err())
		f.append(note)
		require.NotContains(t, f.landed()[10], "note")
		require.Equal(t, []int64{4, 2, 2}, probes, "both columns at first, then id alone")
	})
}

// If it fails, a source that is read again can't get past a column that was dropped while batches with
// it were open, or rows whose values have no column any more are written without a word.
func TestDroppedColumnOfAReplayableSource(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{
		Tables:      map[string]*storagepb.TableSchema{table: wideSchema()},
		Propagation: emulator.Propagation{DropGrace: -1},
	})
	// encode gives every third row a note, where there is such a column; else that row is refused.
	encode := func(s *committed.Schema, from, to int64) (batch committed.Batch) {
		batch.After, batch.Position, batch.Schema = position(from), position(to), s
		var read [][]byte
		for id := from; id < to; id++ {
			read = append(read, position(id+1))
			switch {
			case id%3 != 0:
				batch.Rows = append(batch.Rows, row(id))
			case has(s, "note"):
				batch.Rows = append(batch.Rows, append(row(id), noteRow([]byte("x"))...))
			default:
				batch.Dead = append(batch.Dead, ledger.Dead{Row: id - from, Reason: "note: no such column", Content: position(id + 1)})
			}
		}
		batch.Digest = ledger.DigestOf(read)
		return batch
	}
	cfg := b.config("a", false)
	cfg.Schema, cfg.MaxDead = b.schema(wideSchema()), 100
	cfg.Replay = func(_ context.Context, r committed.Range) (committed.Replayed, error) {
		again := encode(r.Schema, at(r.Before), at(r.After))
		return committed.Replayed{Rows: again.Rows, Digest: again.Digest, Dead: again.Dead}, nil
	}
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	var results []*committed.Result
	for i := int64(0); i < 60; i += 10 {
		if i == 20 {
			b.requireLanded(results)
			require.NoError(t, b.srv.AlterTable(table, idSchema()))
		}
		r, err := p.Append(b.ctx(), encode(p.Schema(), i, i+10))
		require.NoError(t, err)
		results = append(results, r)
	}
	b.requireLanded(results)
	var want []int64
	for id := range int64(60) {
		if id < 20 || id%3 != 0 {
			want = append(want, id)
		}
	}
	require.Equal(t, want, b.ids())
	part, _, err := b.led.Partition(p.Key())
	require.NoError(t, err)
	require.EqualValues(t, 60, part.Rows+part.Dead)
	require.EqualValues(t, len(want), part.Rows)
	require.Len(t, b.srv.Streams(table)[1:], 2)
	b.requireSound()
}
