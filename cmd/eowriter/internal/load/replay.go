package load

import (
	"context"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
)

// replay reads batches of an earlier run again. The writer asks for one at a time, in ascending order.
type replay struct {
	l      *loader
	name   string
	reader *source.Replayer
}

func newReplay(l *loader, in *input) *replay {
	return &replay{l: l, name: source.Name(in.path), reader: source.NewReplayer(in.path)}
}

// close is called when the partition is closed: nobody asks any more.
func (r *replay) close() { r.reader.Close() }

// rows is the partition's Replay. The file was verified up to beyond this range already, but it may have changed
// since: the digest, which the writer compares before it sends anything, has the last word.
func (r *replay) rows(ctx context.Context, want committed.Range) (committed.Replayed, error) {
	before, err := source.ParsePosition(want.Before)
	if err != nil {
		return committed.Replayed{}, err
	}
	after, err := source.ParsePosition(want.After)
	if err != nil {
		return committed.Replayed{}, err
	}
	b := new(arena)
	b.reset()
	err = r.reader.Lines(before, after, func(line []byte, number int64) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.add(r.l.enc, line); err != nil {
			return badRow(r.name, number, err)
		}
		b.sum.Write(line)
		return nil
	})
	if err != nil {
		return committed.Replayed{}, err
	}
	b.cut()
	return committed.Replayed{Rows: b.rows, Digest: b.digest()}, nil
}
