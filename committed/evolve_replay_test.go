package committed_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// If it fails, a crash in the middle of a change leaves batches that are sent under the wrong writer
// schema, or not at all.
func TestCrashWithOpenBatchesOfTwoSchemas(t *testing.T) {
	// A replayable one that is opened with the old schema is encoded anew for it: values of the new column are
	// the source's to refuse.
	for _, c := range []struct{ frozen, wide bool }{{false, true}, {true, false}, {true, true}} {
		t.Run(fmt.Sprintf("frozen %v, opened with the new one %v", c.frozen, c.wide), func(t *testing.T) {
			b := newBench(t, committed.Options{Backoff: slow()}, emulator.Options{Faults: []emulator.Fault{{Kind: emulator.CloseBefore, After: 2}}})
			f := b.follow("a", c.frozen)
			f.append(note) // lands
			b.requireLanded(f.sent)
			f.append(note)
			f.append(note)
			require.NoError(t, b.srv.AlterTable(table, wideSchema()))
			_, err := f.p.Refresh(b.ctx())
			require.NoError(t, err)
			from := f.next
			f.append(note)
			f.append(note)
			for _, r := range f.sent {
				require.NoError(t, r.Stored(b.ctx()))
			}
			b.close()
			b.srv.ClearFaults()
			b.opt.Backoff.Initial, b.opt.Backoff.Max = time.Millisecond, time.Millisecond
			b.open()
			cfg := b.config("a", c.frozen)
			if c.wide {
				cfg.Schema = b.schema(wideSchema())
			}
			if !c.frozen {
				cfg.Replay = noted(from).replay
			}
			f.p, err = b.w.Partition(b.ctx(), cfg)
			require.NoError(t, err)
			require.Len(t, f.p.Found(), 4)
			if !c.wide {
				_, err = f.p.Refresh(b.ctx())
				require.NoError(t, err)
			}
			f.sent, f.schema = nil, nil
			f.append(note)
			b.requireNotes(f.landed(), from)
			b.requireSound()
		})
	}
}

// noted is a source whose rows have a note from one on.
func noted(from int64) *source {
	return &source{spoil: func(r *committed.Replayed) error {
		for i, row := range r.Rows {
			if id := rowIDOf(row); id >= from {
				r.Rows[i] = protowire.AppendString(protowire.AppendTag(row, 2, protowire.BytesType), fmt.Sprintf("n%d", id))
			}
		}
		return nil
	}}
}

func rowIDOf(row []byte) int64 {
	_, _, n := protowire.ConsumeTag(row)
	v, _ := protowire.ConsumeVarint(row[n:])
	return int64(v)
}

// If it fails, a source whose table lost a column while batches were open can't write any more, or its rows go
// under the writer schema that they were bound with: values in wrong columns.
func TestReplayWithThePresentEncoder(t *testing.T) {
	column := func(name string) *storagepb.TableFieldSchema {
		return &storagepb.TableFieldSchema{Name: name, Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_NULLABLE}
	}
	before, after := idSchema(), idSchema()
	before.Fields = append(before.Fields, column("gone"), column("note"))
	after.Fields = append(after.Fields, column("note")) // where gone was on the wire
	b := newBench(t, committed.Options{Backoff: slow()}, emulator.Options{
		Tables: map[string]*storagepb.TableSchema{table: before},
		Faults: []emulator.Fault{{Kind: emulator.CloseBefore, After: 2}},
	})
	// encode is the source's encoder: what it reads stays the same.
	encode := func(s *committed.Schema, from, to int64) committed.Batch {
		enc, err := rows.Compile(s.Table())
		require.NoError(t, err)
		batch := committed.Batch{After: position(from), Position: position(to), Schema: s}
		var read [][]byte
		for id := from; id < to; id++ {
			gone := ""
			if has(s, "gone") {
				gone = `, "gone": "x"`
			}
			row, err := enc.Append(nil, fmt.Appendf(nil, `{"id": %d, "note": "n%d"%s}`, id, id, gone))
			require.NoError(t, err)
			batch.Rows, read = append(batch.Rows, row), append(read, position(id))
		}
		batch.Digest = ledger.DigestOf(read)
		return batch
	}
	cfg := b.config("a", false)
	cfg.Schema = b.schema(before)
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	var results []*committed.Result
	for i := int64(0); i < 40; i += 10 {
		r, err := p.Append(b.ctx(), encode(cfg.Schema, i, i+10))
		require.NoError(t, err)
		require.NoError(t, r.Stored(b.ctx()))
		results = append(results, r)
	}
	b.requireLanded(results[:1])
	b.close()
	b.srv.ClearFaults()
	require.NoError(t, b.srv.AlterTable(table, after))
	b.opt.Backoff.Initial, b.opt.Backoff.Max = time.Millisecond, time.Millisecond
	b.open()

	cfg.Schema = b.schema(after)
	cfg.Replay = func(_ context.Context, r committed.Range) (committed.Replayed, error) {
		again := encode(r.Schema, at(r.Before), at(r.After))
		return committed.Replayed{Rows: again.Rows, Digest: again.Digest}, nil
	}
	p, err = b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	r, err := p.Append(b.ctx(), encode(cfg.Schema, 40, 50))
	require.NoError(t, err)
	b.requireLanded([]*committed.Result{r})
	all := b.values(50)
	b.requireNotes(all, 0)
	require.Equal(t, "x", all[9]["gone"])
	require.NotContains(t, all[10], "gone")
	require.Empty(t, b.take().waits[1:], "but for the one before the crash")
	require.Len(t, b.srv.Streams(table)[1:], 2, "the rest is bound anew")
	b.requireSound()
}
