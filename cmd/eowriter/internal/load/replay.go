package load

import (
	"context"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
)

// replay reads batches that are bound again. The writer asks for one at a time, and of an earlier run in ascending order.
type replay struct {
	f      *file
	reader *source.Replayer
}

func newReplay(f *file) *replay { return &replay{f: f, reader: source.NewReplayer(f.in.path)} }

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
	again, err := r.f.l.encodings.Again(want, 0, r.f.l.opt.MaxDead.None())
	if err != nil {
		return committed.Replayed{}, err
	}
	err = r.reader.Lines(before, after, func(line []byte, number int64) error {
		again.Add(line, nil, func() string { return source.Where(r.f.in.path, number) })
		return ctx.Err()
	})
	if err != nil {
		return committed.Replayed{}, err
	}
	return again.Replayed()
}
