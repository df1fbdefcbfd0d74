package load

import (
	"context"
	"errors"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tableschema"
	"github.com/eowriter/eowriter/committed/rows"
)

// A table's schema changes while files are loaded. A file follows its partition's Schema, and when a line is refused for
// something that another schema could mend, the service is asked first, not for every line. From the next batch on the
// rows are encoded with the new schema; a batch never has rows of two.

// askAgain is how long after the service was asked about its schema a refused line is believed to be bad.
const askAgain = 5 * time.Second

// turn is where a file's rows begin to be encoded with another schema.
type turn struct {
	offset   int64
	encoding *encoding
}

// adopt takes an encoding for the batches from here on.
func (f *file) adopt(e *encoding) {
	f.encoding = e
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turns = append(f.turns, turn{f.in.file.Position().Offset, e})
}

// encodedWith returns the encoding of the batch that begins at an offset: one of this run's, or else, as the writer has
// those of earlier runs encoded anew, the one that the partition was opened with. Safe for concurrent use.
func (f *file) encodedWith(offset int64) *encoding {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.turns[0].encoding
	for _, t := range f.turns[1:] {
		if t.offset <= offset {
			e = t.encoding
		}
	}
	return e
}

// follow takes over the partition's Schema, if that has changed.
func (f *file) follow() error {
	s := f.p.Schema()
	if s == f.known || f.l.encodings.fixed {
		return nil
	}
	e, err := f.l.encodings.of(s.Table(), s)
	if err != nil {
		return err
	}
	f.known = s
	f.change(e)
	return nil
}

// change takes an encoding, if it is another one, and says so.
func (f *file) change(e *encoding) (changed bool) {
	if e == f.encoding {
		return false
	}
	f.adopt(e)
	f.l.display.say("%s: the table's schema has changed; rows from line %d on are encoded for it", source.Name(f.in.path), f.in.file.Line())
	return true
}

// doubted says whether the service is to be asked for its schema before a line is believed to be bad.
func (f *file) doubted(refused error) bool {
	e := &f.l.encodings
	if e.fixed || f.asked || !curable(refused) {
		return false
	}
	if e.newest() != f.encoding || f.l.opt.MaxDead.None() {
		return true // another file was told; or the load would stop
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Since(e.asked) >= askAgain
}

// ask finds out whether there is another schema than the present one, and takes it.
func (f *file) ask(ctx context.Context) error {
	e := &f.l.encodings
	if newest := e.newest(); newest != f.encoding {
		f.change(newest)
		return nil
	}
	e.mu.Lock()
	e.asked = time.Now()
	e.mu.Unlock()
	next, err := f.refresh(ctx)
	if err == nil {
		f.asked = !f.change(next)
	}
	return err
}

// refresh asks the service for the schema.
func (f *file) refresh(ctx context.Context) (*encoding, error) {
	if !f.encodedWith(0).own {
		s, err := f.p.Refresh(ctx)
		if err != nil {
			return nil, err
		}
		f.known = s
		return f.l.encodings.of(s.Table(), s)
	}
	// The writer doesn't follow a descriptor that isn't its own.
	ts, err := tableschema.Get(ctx, f.l.opt.Table, f.l.opt.ClientOptions)
	if err != nil {
		return nil, err
	}
	return f.l.encodings.of(ts, nil)
}

// curable says whether another schema of the table could make a row of what err refused.
func curable(err error) bool {
	var refused *rows.Error
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Kind {
	case rows.Syntax, rows.InvalidUTF8, rows.DuplicateField, rows.TooDeep:
		return false
	}
	return true
}
