package load

import (
	"context"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
)

// replay reads batches that are bound again. The writer asks for one at a time, and of an earlier run in ascending order.
type replay struct {
	f      *file
	name   string
	reader *source.Replayer
}

func newReplay(f *file) *replay {
	return &replay{f: f, name: source.Name(f.in.path), reader: source.NewReplayer(f.in.path)}
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
	enc, err := r.f.l.encodings.again(want.Schema)
	if err != nil {
		return committed.Replayed{}, err
	}
	none := r.f.l.opt.MaxDead.None() && !want.Letters
	b := new(arena)
	b.reset()
	var lines []byte // of the rows, for their dead letters
	var ends []int
	var bad error // the first line that the encoder refuses
	err = r.reader.Lines(before, after, func(line []byte, number int64) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.sum.Write(line)
		if err := b.add(enc, line); err != nil {
			if bad == nil {
				bad = &badLine{r.name, number, err}
			}
			b.bury(line, err)
		} else if !none {
			lines = append(lines, text(line)...)
			ends = append(ends, len(lines))
		}
		return nil
	})
	if err != nil {
		return committed.Replayed{}, err
	}
	// Lines that were refused when the batch was bound are no rows of it, and in the ledger.
	if bad != nil && (want.Rows >= 0 && want.Rows != int64(len(b.ends)) || want.Rows < 0 && none) {
		return committed.Replayed{}, bad
	}
	b.cut()
	return committed.Replayed{Rows: b.rows, Digest: b.digest(), Dead: b.dead, Originals: split(lines, ends)}, nil
}

// split cuts text at the ends; nil if there are none.
func split(text []byte, ends []int) (parts [][]byte) {
	start := 0
	for _, end := range ends {
		parts = append(parts, text[start:end:end])
		start = end
	}
	return parts
}
