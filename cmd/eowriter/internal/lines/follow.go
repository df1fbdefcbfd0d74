package lines

import (
	"context"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/doubt"
	"github.com/eowriter/eowriter/committed"
)

// Follower has the encoding of a source's next batch. A table's schema changes while the source is read: the Follower
// follows its partition's Schema, and when a line is refused for something that another schema could mend, it asks the service
// first, not for every line. From the next batch on the rows are encoded with the new schema; a batch never has rows of
// two.
type Follower struct {
	e       *Encodings
	p       *committed.Partition
	none    bool
	changed func()

	encoding *Encoding
	known    *committed.Schema // the partition's, when it was looked at last
	doubting bool              // about the line that is next: the service is to be asked
	asked    bool              // it was, and has no other schema
}

// Follow returns a Follower of a partition that was opened with the encoding. none says that no row may become a dead
// letter: then the service is asked in any case before a row is believed to be bad. changed is called when the encoding has changed.
func (e *Encodings) Follow(p *committed.Partition, at *Encoding, none bool, changed func()) *Follower {
	return &Follower{e: e, p: p, none: none, changed: changed, encoding: at, known: at.Schema}
}

// Encoding is that of the next batch.
func (f *Follower) Encoding() *Encoding { return f.encoding }

// Follow takes over the partition's Schema, if that has changed. Call it before each batch.
func (f *Follower) Follow() error {
	s := f.p.Schema()
	if s == f.known || f.e.fixed {
		return nil
	}
	e, err := f.e.Of(s.Table(), s)
	if err != nil {
		return err
	}
	f.known = s
	f.change(e)
	return nil
}

// change takes an encoding, if it is another one, and says so.
func (f *Follower) change(e *Encoding) (changed bool) {
	if e == f.encoding {
		return false
	}
	f.encoding = e
	f.changed()
	return true
}

// Doubted says whether the service is to be asked for its schema, with Ask, before the line that is next is believed to be bad.
func (f *Follower) Doubted(refused error) bool {
	d, curable := doubt.Of(refused)
	// Another source may have been told; and before rows are stopped it is worth asking in any case.
	f.doubting = !f.e.fixed && !f.asked && curable && (f.e.Newest() != f.encoding || f.none || f.e.asking.Worth(d))
	return f.doubting
}

// Doubting says that Doubted said so of the last line that it was asked about.
func (f *Follower) Doubting() bool { return f.doubting }

// Accepted notes that the writer has taken a batch: what is next is another line.
func (f *Follower) Accepted() { f.asked = false }

// Ask finds out whether there is another schema than the present one, and takes it.
func (f *Follower) Ask(ctx context.Context, refused error) error {
	d, _ := doubt.Of(refused)
	end, err := f.e.asking.Begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if newest := f.e.Newest(); newest != f.encoding {
		f.change(newest)
		return nil
	}
	if !f.none && !f.e.asking.Worth(d) {
		f.asked = true // another source was answered meanwhile
		return nil
	}
	next, err := f.refresh(ctx)
	if err != nil {
		return err
	}
	f.e.asking.Answered(d)
	f.asked = !f.change(next)
	return nil
}

// refresh asks the service for the schema.
func (f *Follower) refresh(ctx context.Context) (*Encoding, error) {
	s, err := f.p.Refresh(ctx)
	if err != nil {
		return nil, err
	}
	f.known = s
	return f.e.Of(s.Table(), s)
}
