package ingest

import (
	"context"
	"time"
	"unicode"
	"unicode/utf8"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/protobuf/types/descriptorpb"
)

// maxPosition bounds positions; the API promises so much.
const maxPosition = 4096

// Append is what a producer appends.
type Append struct {
	Key                ledger.Key
	Expected, Position string // see the API

	Rows       [][]byte                      // JSON objects, or messages of Descriptor; not kept
	Descriptor *descriptorpb.DescriptorProto // nil: JSON

	DeadLetters bool  // bad rows become dead letters
	Patient     bool  // waits for room
	Room        *Room // taken already, while it was read; Accept takes it over. May be nil

	span Span // or nil
}

func (a *Append) size() (n int64) {
	for _, row := range a.Rows {
		n += int64(len(row))
	}
	return n
}

// mark is what is remembered of it. The digest is over the producer's own bytes, so that a change of the table between two
// requests doesn't make them differ.
func (a *Append) mark() mark {
	return mark{token(a.Expected), token(a.Position), ledger.DigestOf(a.Rows), -1}
}

// Accept takes an append, or says why not: then nothing of it is kept. The order of the calls is the order of the rows. It
// waits for the partition to be opened, for the service if a row doesn't fit the table as it is known, and, if the append is patient,
// for room; ctx bounds that. The error is an *Error, or ctx's cause.
func (i *Ingest) Accept(ctx context.Context, a Append) (*Pending, error) {
	if a.Room == nil {
		a.Room = i.Room()
	}
	if begin := i.opt.Events.Begin; begin != nil {
		a.span = begin(ctx, a.Key, len(a.Rows))
	}
	pending, err := i.accept(ctx, &a)
	if err != nil || pending.duplicate {
		a.Room.Release()
		if a.span != nil {
			a.span.End(err)
		}
	}
	if accepted := i.opt.Events.Accepted; err == nil && accepted != nil {
		accepted(a.Key, pending.duplicate)
	}
	return pending, err
}

func (i *Ingest) accept(ctx context.Context, a *Append) (*Pending, error) {
	if err := i.check(a); err != nil {
		return nil, err
	}
	if i.isFile(a.Key) {
		return nil, fileRefusal(a.Key)
	}
	p, err := i.find(a.Key, true)
	if err != nil {
		return nil, err
	}
	pending, err := p.accept(ctx, a)
	if err != nil {
		p.tidy()
	}
	return pending, err
}

func (p *partition) accept(ctx context.Context, a *Append) (*Pending, error) {
	m := a.mark()
	known, err := p.known(&m, len(a.Rows))
	if tellsPosition(err) {
		// What the partition is at may not be durable, or be lost again: the producer is told when that is known.
		if err := p.settle(ctx); err != nil {
			return nil, err
		}
		known, err = p.known(&m, len(a.Rows))
	}
	if known != nil || err != nil {
		return known, err
	}
	if err := p.take(ctx, a); err != nil {
		return nil, err
	}
	e := &entry{mark: m, room: a.Room, span: a.span, offered: make(chan struct{}), done: make(chan struct{})}
	if err := p.encode(ctx, a, e); err != nil {
		return nil, err
	}
	return p.enqueue(e, len(a.Rows))
}

// tidy lets go of a partition that nobody has begun to open.
func (p *partition) tidy() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == eowriterv1.State_STATE_NEW && !p.gone {
		p.i.forget(p)
	}
}

// check refuses what can't be meant.
func (i *Ingest) check(a *Append) error {
	if bad := badName(a.Key.Name); bad != "" {
		return refuse(eowriterv1.Reason_REASON_INVALID, "%s", bad)
	}
	switch {
	case !i.opt.ours(a.Key):
		return refuse(eowriterv1.Reason_REASON_INVALID, "partition %q takes no appends: dead letters are delivered there", a.Key.Name)
	case len(a.Rows) == 0:
		return refuse(eowriterv1.Reason_REASON_INVALID, "the append has no rows")
	case len(a.Rows) > i.opt.AppendRows:
		return refuse(eowriterv1.Reason_REASON_TOO_LARGE, "the append has %d rows, at most %d are taken", len(a.Rows), i.opt.AppendRows)
	case a.size() > i.opt.AppendBytes:
		return refuse(eowriterv1.Reason_REASON_TOO_LARGE, "the append has %d bytes of rows, at most %d are taken", a.size(), i.opt.AppendBytes)
	case len(a.Position) > maxPosition || len(a.Expected) > maxPosition:
		return refuse(eowriterv1.Reason_REASON_INVALID, "a position has at most %d bytes", maxPosition)
	case !utf8.ValidString(a.Position) || !utf8.ValidString(a.Expected):
		return refuse(eowriterv1.Reason_REASON_INVALID, "a position is UTF-8")
	case a.Position == "" && a.Expected != "":
		return refuse(eowriterv1.Reason_REASON_INVALID, "the append expects a position and doesn't say which one it brings the partition to")
	case a.Position != "" && a.Position == a.Expected:
		return refuse(eowriterv1.Reason_REASON_INVALID, "the append doesn't move the position")
	}
	return nil
}

// badName says what is wrong with a partition's name, or nothing.
func badName(name string) string {
	if len(name) == 0 || len(name) > 200 || !utf8.ValidString(name) {
		return "a partition's name is 1 to 200 bytes of UTF-8"
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return "a partition's name has no control characters"
		}
	}
	return ""
}

// known answers an append of rows rows that need not be accepted, or must not be; nil: it is the next one.
func (p *partition) known(m *mark, rows int) (*Pending, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.repeated(m, rows)
}

// repeated is known, under p.mu.
func (p *partition) repeated(m *mark, rows int) (*Pending, error) {
	if p.settling {
		return nil, p.refusal()
	}
	e, landed, err := p.judge(m)
	switch {
	case err != nil:
		return nil, err
	case e != nil:
		return &Pending{p: p, entry: e, total: rows, rows: e.rows, duplicate: true}, nil
	case landed != nil:
		return &Pending{p: p, position: landed.after, total: rows, rows: landed.rows, duplicate: true}, nil
	}
	return nil, nil
}

// enqueue accepts an append, if it still is the next one.
func (p *partition) enqueue(e *entry, rows int) (*Pending, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again, err := p.repeated(&e.mark, rows)
	switch {
	case err != nil || again != nil:
		return again, err
	case p.i.isClosing():
		return nil, stopping()
	case p.state != eowriterv1.State_STATE_OPEN:
		return nil, p.refusal()
	}
	if err := p.tooManyDead(e); err != nil {
		return nil, err
	}
	e.since = time.Now()
	p.entries = append(p.entries, e)
	p.queued++
	if e.after != nil {
		p.position = e.after
	}
	p.startOffering()
	return &Pending{p: p, entry: e, total: rows, rows: e.rows}, nil
}
