package load

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed/rows"
)

// DryReport is what a dry run found, and the object that --json prints of it.
type DryReport struct {
	RowsRead    int64 `json:"rows_read"`
	RowsRefused int64 `json:"rows_refused"`
	// Refused are the reasons, the most frequent first.
	Refused []Refused `json:"refused"`
	// OtherRefused counts rows whose reason was met after the first 1000.
	OtherRefused  int64            `json:"other_refused,omitempty"`
	FieldsIgnored map[string]int64 `json:"fields_ignored,omitempty"`
	Error         string           `json:"error,omitempty"`
}

// Refused are rows that the encoder refuses for one reason.
type Refused struct {
	Kind   string `json:"kind"`
	Column string `json:"column,omitempty"` // as in items.price; empty: the row as a whole
	Reason string `json:"reason"`
	Rows   int64  `json:"rows"`
	File   string `json:"file"` // where the first of them is, of those in one file
	Line   int64  `json:"line"`
}

// maxReasons bounds what rows can make a dry run remember.
const maxReasons = 1000

// dryRun counts what is refused.
type dryRun struct {
	mu     sync.Mutex // guards all
	report DryReport
	by     map[rows.Error]int // index in report.Refused, by kind, column and reason
}

// DryRun encodes the rows of all files, whole, with the given schema or the service's, and reports what the encoder
// refuses. It sends nothing and uses no ledger.
func DryRun(ctx context.Context, opt Options) (DryReport, error) {
	d := dryRun{report: DryReport{Refused: []Refused{}}, by: map[rows.Error]int{}}
	l := &loader{opt: opt, encodings: newEncodings(&opt)}
	l.display = newDisplay(opt.Progress, &l.counts)
	err := l.dryRun(ctx, &d)
	d.report.FieldsIgnored = l.encodings.Ignored()
	slices.SortStableFunc(d.report.Refused, func(a, b Refused) int { return int(b.Rows - a.Rows) })
	return d.report, interrupted(ctx, err)
}

func (l *loader) dryRun(ctx context.Context, d *dryRun) error {
	inputs, err := plan(l.opt)
	if err != nil {
		return err
	}
	if err := l.first(ctx); err != nil {
		return err
	}
	enc := l.encodings.Newest().Enc
	return l.each(inputs, func(in *input) error { return d.file(ctx, in.path, enc) })
}

func (d *dryRun) file(ctx context.Context, path string, enc *rows.Encoder) error {
	f, err := source.Open(path, nil)
	if err != nil {
		return err
	}
	defer f.Close()
	var read int64
	defer func() { d.read(read) }()
	var row []byte
	for ctx.Err() == nil {
		line, err := f.Peek()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		read++
		if row, err = enc.Append(row[:0], line); err != nil {
			d.refused(f, err)
		}
		f.Advance()
	}
	return ctx.Err()
}

func (d *dryRun) read(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.report.RowsRead += n
}

func (d *dryRun) refused(f *source.File, err error) {
	var bad *rows.Error
	if !errors.As(err, &bad) {
		bad = &rows.Error{Reason: err.Error()} // the encoder has no other errors
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.report.RowsRefused++
	key := rows.Error{Kind: bad.Kind, Column: bad.Column, Reason: bad.Reason}
	at, known := d.by[key]
	switch {
	case known:
		d.report.Refused[at].Rows++
	case len(d.by) == maxReasons:
		d.report.OtherRefused++
	default:
		d.by[key] = len(d.report.Refused)
		d.report.Refused = append(d.report.Refused, Refused{
			Kind: bad.Kind.String(), Column: bad.Column, Reason: bad.Reason, Rows: 1, File: f.Name(), Line: f.Line(),
		})
	}
}
