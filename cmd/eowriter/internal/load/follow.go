package load

import (
	"context"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/doubt"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
)

// A table's schema changes while files are loaded. A file follows its partition's Schema, and when a line is refused for
// something that another schema could mend, the service is asked first, not for every line. From the next batch on the
// rows are encoded with the new schema; a batch never has rows of two.

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
	f.encoding = e
	f.l.display.say("%s: the table's schema has changed; rows from line %d on are encoded for it", source.Name(f.in.path), f.in.file.Line())
	return true
}

// doubted says whether the service is to be asked for its schema before a line is believed to be bad.
func (f *file) doubted(refused error) bool {
	e := f.l.encodings
	d, curable := doubt.Of(refused)
	if e.fixed || f.asked || !curable {
		return false
	}
	// Another file may have been told; and before the load stops it is worth asking in any case.
	return e.newest() != f.encoding || f.l.opt.MaxDead.None() || e.asking.Worth(d)
}

// ask finds out whether there is another schema than the present one, and takes it.
func (f *file) ask(ctx context.Context, refused error) error {
	e := f.l.encodings
	d, _ := doubt.Of(refused)
	end, err := e.asking.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if newest := e.newest(); newest != f.encoding {
		f.change(newest)
		return nil
	}
	if !f.l.opt.MaxDead.None() && !e.asking.Worth(d) {
		f.asked = true // another file was answered meanwhile
		return nil
	}
	next, err := f.refresh(ctx)
	if err != nil {
		return err
	}
	e.asking.Answered(d)
	f.asked = !f.change(next)
	return nil
}

// refresh asks the service for the schema.
func (f *file) refresh(ctx context.Context) (*encoding, error) {
	s, err := f.p.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	f.known = s
	return f.l.encodings.of(s.Table(), s)
}
