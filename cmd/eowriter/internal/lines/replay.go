package lines

import (
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
)

// Again is a batch that is read a second time, for a partition's Replay. Give it the lines between the two positions in
// order, and take what Replayed returns.
type Again struct {
	want  committed.Range
	enc   *rows.Encoder
	none  bool // no row may become a dead letter
	batch Batch
	lines []byte // of the rows, for their dead letters
	ends  []int
	bad   error // the first line that is refused
}

// Again begins to read a batch once more. maxRow is as in Batch; none says that no row of the partition may become a dead letter.
func (e *Encodings) Again(want committed.Range, maxRow int, none bool) (*Again, error) {
	enc, err := e.again(want.Schema)
	if err != nil {
		return nil, err
	}
	a := &Again{want: want, enc: enc, none: none && !want.Letters, batch: Batch{MaxRow: maxRow}}
	a.batch.Reset()
	return a, nil
}

// Add takes a line that isn't blank, with its newline, or the beginning of one that is unfit. where says for people which it is.
func (a *Again) Add(line []byte, unfit *Unfit, where func() string) {
	a.batch.sum.Write(line)
	var refused error
	if unfit != nil {
		refused = unfit
	} else {
		refused = a.batch.add(a.enc, line)
	}
	switch {
	case refused != nil:
		if a.bad == nil {
			a.bad = &BadLine{where(), refused}
		}
		a.batch.bury(line, refused)
	case !a.none:
		a.lines = append(a.lines, text(line)...)
		a.ends = append(a.ends, len(a.lines))
	}
}

// Replayed is what the lines have become.
func (a *Again) Replayed() (committed.Replayed, error) {
	// Lines that were refused when the batch was bound are no rows of it, and in the ledger.
	n := int64(len(a.batch.ends))
	if a.bad != nil && (a.want.Rows >= 0 && a.want.Rows != n || a.want.Rows < 0 && a.none) {
		return committed.Replayed{}, a.bad
	}
	a.batch.cut()
	return committed.Replayed{Rows: a.batch.rows, Digest: a.batch.Digest(), Dead: a.batch.dead, Originals: split(a.lines, a.ends)}, nil
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
