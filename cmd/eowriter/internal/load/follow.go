package load

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed/rows"
	"golang.org/x/time/rate"
)

// A table's schema changes while files are loaded. A file follows its partition's Schema, and when a line is refused for
// something that another schema could mend, the service is asked first, not for every line. From the next batch on the
// rows are encoded with the new schema; a batch never has rows of two.

// Bounds on asking the service for its schema because of refused lines: garbage must not slow the load down.
const (
	askAgain   = 5 * time.Second // after it was asked about a column, lines refused for that are believed to be bad
	askRate    = 1               // a second, and
	askBurst   = 20              // at first
	maxDoubted = 1000            // columns that are remembered
)

// doubt is what a line was refused for, as far as another schema could mend it.
type doubt struct {
	kind   rows.Kind
	column string
}

// asking is when the service was asked for its schema, and about what. The order of locks: one, mu.
type asking struct {
	one sync.Mutex // held by the file that asks: others wait for what it learns

	mu      sync.Mutex // guards what follows
	about   map[doubt]time.Time
	limiter *rate.Limiter
}

func newAsking() asking {
	return asking{about: map[doubt]time.Time{}, limiter: rate.NewLimiter(askRate, askBurst)}
}

// worth says whether to ask about d now.
func (a *asking) worth(d doubt) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Since(a.about[d]) >= askAgain && a.limiter.Tokens() >= 1
}

// answered notes that the service was asked about d. Not before: until then a line is not known to be bad.
func (a *asking) answered(d doubt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.about) >= maxDoubted {
		clear(a.about)
	}
	a.about[d] = time.Now()
	a.limiter.Allow()
}

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
	f.turns = append(f.turns, turn{f.reached, e})
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
	e := f.l.encodings
	d, curable := doubtOf(refused)
	if e.fixed || f.asked || !curable {
		return false
	}
	// Another file may have been told; and before the load stops it is worth asking in any case.
	return e.newest() != f.encoding || f.l.opt.MaxDead.None() || e.asking.worth(d)
}

// ask finds out whether there is another schema than the present one, and takes it.
func (f *file) ask(ctx context.Context, refused error) error {
	e := f.l.encodings
	d, _ := doubtOf(refused)
	e.asking.one.Lock()
	defer e.asking.one.Unlock()
	if newest := e.newest(); newest != f.encoding {
		f.change(newest)
		return nil
	}
	if !f.l.opt.MaxDead.None() && !e.asking.worth(d) {
		f.asked = true // another file was answered meanwhile
		return nil
	}
	next, err := f.refresh(ctx)
	if err != nil {
		return err
	}
	e.asking.answered(d)
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

// doubtOf returns what a line was refused for, if another schema of the table could make a row of it.
func doubtOf(err error) (d doubt, curable bool) {
	var refused *rows.Error
	if !errors.As(err, &refused) {
		return d, false
	}
	switch refused.Kind {
	case rows.Syntax, rows.InvalidUTF8, rows.DuplicateField, rows.TooDeep:
		return d, false
	}
	return doubt{refused.Kind, refused.Column}, true
}
