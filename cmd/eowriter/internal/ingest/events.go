package ingest

import (
	"context"
	"time"

	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
)

// Events are told what becomes of appends. Any may be nil. They are called with a partition's lock held, but for
// Begin and Accepted: they must be quick and must not call the Ingest.
type Events struct {
	// Begin is called when an append comes in, with the context of its request. It may return nil.
	Begin func(ctx context.Context, key ledger.Key, rows int) Span
	// Accepted is called when an append has been accepted, or had been before: a duplicate.
	Accepted func(key ledger.Key, duplicate bool)
	// Stored is called when an append is durable here, so long after it was accepted.
	Stored func(key ledger.Key, took time.Duration)
	// Landed is called when an append has landed, with the bytes of its rows as they were sent. Those that were found in the
	// ledger at the start count from the partition's last write before.
	Landed func(key ledger.Key, bytes int64, took time.Duration)
}

// Span follows one append from its request until it has landed.
type Span interface {
	// Shared is called when the append is handed to the writer: it is one of appends that share a batch, and hears of that
	// batch's steps.
	Shared(appends int)
	// Step is called as committed.Follower's is.
	Step(s committed.Step)
	// End is called once: when the append has landed, or with why it was refused or isn't known to have.
	End(err error)
}

// share tells the batch's appends that they share it, before any of its steps.
func (b *batch) share() {
	for _, e := range b.entries {
		if e.span != nil {
			e.span.Shared(len(b.entries))
		}
	}
}

// Step tells those who follow the batch's appends. It implements committed.Follower.
func (b *batch) Step(s committed.Step) {
	stored := b.p.i.opt.Events.Stored
	if s != committed.B2 {
		stored = nil
	}
	if stored == nil && b.p.i.opt.Events.Begin == nil {
		return
	}
	now := time.Now()
	for _, e := range b.entries {
		if stored != nil {
			stored(b.p.key, now.Sub(e.since))
		}
		if e.span != nil {
			e.span.Step(s)
		}
	}
}

// end tells that nothing more will be known of the append.
func (e *entry) end(err error) {
	if e.span != nil {
		e.span.End(err)
	}
}
