package committed_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// If it fails, a crash in the middle of a change leaves batches that are sent under the wrong writer
// schema, or not at all.
func TestCrashWithOpenBatchesOfTwoSchemas(t *testing.T) {
	for _, c := range []struct{ frozen, wide bool }{{false, false}, {false, true}, {true, false}, {true, true}} {
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
