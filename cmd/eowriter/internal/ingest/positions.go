package ingest

import (
	"bytes"
	"context"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
)

// mark is what is remembered of an append: between which positions it is, and what it carries.
type mark struct {
	before, after []byte // nil before: the beginning; nil after: it has no positions
	digest        ledger.Digest
	rows          int64 // that land; -1: all of the append's
}

// token is a position as the ledger has it: none for the empty one.
func token(position string) []byte {
	if position == "" {
		return nil
	}
	return []byte(position)
}

// entry is an accepted append that has not landed.
type entry struct {
	mark
	room   *Room // nil: none, see found
	stored bool  // of an earlier opening, so the ledger has it
	span   Span  // or nil

	// Until it is offered to the writer.
	encoded [][]byte
	bytes   int64 // also afterwards; of an earlier opening its batch's first has those of all
	schema  *committed.Schema
	dead    []ledger.Dead
	nDead   int // how many they were

	since   time.Time     // when it was accepted
	offered chan struct{} // closed when result or err is set
	done    chan struct{} // closed when it has landed, or err is set

	result *committed.Result // of its batch; guarded by partition.mu until offered is closed
	err    error             // why it is not known to land; guarded by partition.mu until done is closed
}

// judge says what an append between these positions is: the next one (all nil), one that is in the making (e), one that
// has landed (landed), or an error. p.mu is held.
func (p *partition) judge(m *mark) (e *entry, landed *mark, err error) {
	if m.after == nil || bytes.Equal(m.before, p.position) {
		return nil, nil, nil
	}
	for n := len(p.entries) - 1; n >= 0; n-- {
		if e := p.entries[n]; e.samePositions(m) {
			return e, nil, p.sameRows(&e.mark, m)
		}
	}
	for n := range p.last {
		if l := &p.last[n]; l.samePositions(m) {
			return nil, l, p.sameRows(l, m)
		}
	}
	at := p.durable()
	wrong := refuse(eowriterv1.Reason_REASON_POSITION, "the partition is at position %q, not at %q; nothing was accepted", at, m.before)
	wrong.Position = text(at)
	return nil, nil, wrong
}

// durable is the position that the ledger has; p.mu is held. Producers are told no other: what comes after it may be lost yet.
func (p *partition) durable() []byte {
	for n := len(p.entries) - 1; n >= 0; n-- {
		if e := p.entries[n]; e.after != nil && e.isStored() {
			return e.after
		}
	}
	return p.landedAt
}

// isStored says that the ledger has the append; partition.mu is held.
func (e *entry) isStored() bool {
	return e.stored || e.result != nil && e.result.Stored(over) == nil
}

// over is a context that has ended, for questions that must not wait.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// settle waits until everything that was accepted before the call is durable, or is known to be lost.
func (p *partition) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.i.opt.OpenWait, p.unsettled())
	defer cancel()
	for {
		p.mu.Lock()
		if n := len(p.entries); !p.settling && (n == 0 || p.entries[n-1].isStored()) {
			p.mu.Unlock()
			return nil
		}
		var newest <-chan struct{}
		var result *committed.Result
		if n := len(p.entries); n > 0 && !p.settling {
			newest, result = p.entries[n-1].offered, p.entries[n-1].result
		}
		changed := p.awaitChange()
		p.mu.Unlock()
		if result != nil {
			if result.Stored(ctx) == nil {
				return nil
			}
			newest = nil
		}
		select {
		case <-newest:
		case <-changed:
		case <-ctx.Done():
			return gaveUp(ctx)
		}
	}
}

// unsettled is for those who can't be told where the partition is.
func (p *partition) unsettled() error {
	e := refuse(eowriterv1.Reason_REASON_UNAVAILABLE, "where partition %q is can't be said now: rows that were accepted are not durable yet", p.key.Name)
	e.RetryAfter = soon
	return e
}

func (m *mark) samePositions(other *mark) bool {
	return m.after != nil && bytes.Equal(m.after, other.after) && bytes.Equal(m.before, other.before)
}

func (p *partition) sameRows(before, again *mark) error {
	if before.digest == again.digest {
		return nil
	}
	wrong := refuse(eowriterv1.Reason_REASON_CONFLICT,
		"an append from position %q to %q was accepted before and had other rows: somebody else writes to this partition, or these are not the same rows again; nothing was accepted",
		again.before, again.after)
	wrong.Position = text(p.durable())
	return wrong
}

// marksOf returns the producer appends of a batch.
func marksOf(before, after []byte, digest ledger.Digest, parts []ledger.Part) []mark {
	if len(parts) == 0 {
		return []mark{{before, after, digest, -1}}
	}
	marks := make([]mark, len(parts))
	for i, part := range parts {
		marks[i] = mark{part.Before, part.After, part.Digest, part.Rows}
	}
	return marks
}

// positioned leaves out the marks of appends without positions.
func positioned(marks []mark) (kept []mark) {
	for _, m := range marks {
		if m.after != nil {
			kept = append(kept, m)
		}
	}
	return kept
}
