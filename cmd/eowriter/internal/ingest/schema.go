package ingest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/doubt"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"google.golang.org/protobuf/proto"
)

func short(table string) string { return tablename.Short(table) }

// tables are what is known of the schemas of the tables.
type tables struct {
	i *Ingest

	mu     sync.Mutex // guards byName
	byName map[string]*table
}

// table is what the partitions of one table share: the encoders for the revisions of its schema.
type table struct {
	i      *Ingest
	name   string
	turn   chan struct{} // of 1: who asks for the first schema; others wait
	asking *doubt.Asking

	mu        sync.Mutex  // guards encodings
	encodings []*encoding // the newest is last
}

// maxEncodings are kept of a table: partitions that learn of a change late use the one before.
const maxEncodings = 4

// encoding is one revision of a table's schema with the encoder for it. It is immutable but for messages.
type encoding struct {
	schema   *committed.Schema
	enc      *rows.Encoder
	messages messages
}

func (t *tables) of(name string) *table {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName == nil {
		t.byName = map[string]*table{}
	}
	one := t.byName[name]
	if one == nil {
		one = &table{i: t.i, name: name, turn: make(chan struct{}, 1), asking: doubt.New()}
		t.byName[name] = one
	}
	return one
}

// tidy forgets a table that nothing is known of.
func (t *tables) tidy(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if one := t.byName[name]; one != nil && one.newest() == nil {
		delete(t.byName, name)
	}
}

// first returns the newest encoding that is known. If there is none it asks the service, for as long as that is not
// available.
func (t *table) first(ctx context.Context) (*encoding, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return nil, gaveUp(ctx)
	}
	if e := t.newest(); e != nil {
		return e, nil
	}
	s, err := t.i.w.TableSchema(ctx, t.name)
	if err != nil {
		return nil, err
	}
	return t.encodingOf(s)
}

func (t *table) newest() *encoding {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.encodings) == 0 {
		return nil
	}
	return t.encodings[len(t.encodings)-1]
}

// drop forgets the encodings: the next partition to be opened asks the service.
func (t *table) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.encodings = nil
}

// encodingOf returns the encoding of a schema, which is the newest then.
func (t *table) encodingOf(s *committed.Schema) (*encoding, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.IndexFunc(t.encodings, func(e *encoding) bool { return e.schema == s || proto.Equal(e.schema.Table(), s.Table()) })
	if at >= 0 {
		e := t.encodings[at]
		t.encodings = append(slices.Delete(t.encodings, at, at+1), e)
		return e, nil
	}
	enc, err := rows.Compile(s.Table(), t.i.opt.Choices.Options()...)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", short(t.name), err)
	}
	e := &encoding{schema: s, enc: enc}
	t.encodings = append(t.encodings, e)
	if n := len(t.encodings); n > maxEncodings {
		t.encodings = slices.Delete(t.encodings, 0, n-maxEncodings)
	}
	return e, nil
}
