package tail

import (
	"context"
	"sync"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
)

// table is what the logs of one table share.
type table struct {
	t         *Tail
	name      string
	encodings *lines.Encodings
	turn      chan struct{} // of 1: who asks for the schema; others wait

	mu    sync.Mutex // guards known
	known bool       // the encodings' newest is to be believed
}

// table returns the table of a name; t.mu is held.
func (t *Tail) table(name string) *table {
	one := t.tables[name]
	if one == nil {
		one = &table{t: t, name: name, turn: make(chan struct{}, 1), encodings: lines.NewEncodings(name, t.opt.Ingest.Choices.Options(), false)}
		t.tables[name] = one
	}
	return one
}

// first returns the newest encoding, asking the service for it if need be.
func (t *table) first(ctx context.Context) (*lines.Encoding, error) {
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t.isKnown() {
		return t.encodings.Newest(), nil
	}
	s, err := t.t.w.TableSchema(ctx, t.name)
	if err != nil {
		return nil, err
	}
	e, err := t.encodings.Of(s.Table(), s)
	t.believe(err == nil)
	return e, err
}

func (t *table) isKnown() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known
}

// believe says whether the newest encoding is to be believed, or the service asked before the next partition is opened.
func (t *table) believe(known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.known = known
}
