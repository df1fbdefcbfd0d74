package ingest

import (
	"errors"
	"slices"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
)

// maxMarks bounds the bytes that the positions and digests of the appends of a batch take in the ledger, which writes those of
// the last batch with every commit of the partition.
const maxMarks = 32 << 10

// startOffering sees to it that offer runs; p.mu is held, the partition is open and something is queued.
func (p *partition) startOffering() {
	if p.offering {
		p.wake()
		return
	}
	end := make(chan struct{})
	if p.i.spawn(func() { defer close(end); p.offer() }) {
		p.offering, p.offerEnd = true, end
	}
}

// offer hands what is queued to the writer, batch by batch, and ends when nothing is. Only it takes from the queue.
func (p *partition) offer() {
	for {
		cp, b, content, wait := p.next()
		switch {
		case cp == nil:
			return
		case b == nil:
			p.linger(wait)
		default:
			b.share()
			r, err := cp.Append(p.i.ctx, content) // waits for room in the writer's window
			p.took(b, content, r, err)
		}
	}
}

// linger waits for so long, or until something has happened that may make the batch due.
func (p *partition) linger(wait time.Duration) {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.nudge:
	case <-p.i.ctx.Done():
	}
}

// next returns the next batch if it is due, or how long to wait; no partition if there is nothing to wait for.
func (p *partition) next() (cp *committed.Partition, b *batch, content committed.Batch, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queued == 0 || p.state != eowriterv1.State_STATE_OPEN {
		p.offering = false
		return nil, nil, content, 0
	}
	b, full := p.cut()
	// While nothing is on its way, waiting for company would only cost time.
	wait = time.Until(b.entries[0].since.Add(p.i.opt.Linger))
	if !full && wait > 0 && len(p.open) > 0 && !p.i.isClosing() {
		return p.cp, nil, content, wait
	}
	b.entries = slices.Clone(b.entries) // the queue goes on changing
	return p.cp, b, p.content(b), 0
}

// cut returns the batch that the first of the queue make, and whether it can't grow any more. p.mu is held.
func (p *partition) cut() (b *batch, full bool) {
	queue := p.entries[len(p.entries)-p.queued:]
	opt := &p.i.opt
	rows, bytes, marks := 0, int64(0), 0
	for n, e := range queue {
		rows += len(e.encoded)
		bytes += e.bytes
		marks += 40 + len(e.before) + len(e.after)
		// An append with dead rows has a batch of its own: so it is known of each letter which append it was of.
		alone := len(e.dead) > 0 || e.schema != queue[0].schema || len(queue[0].dead) > 0
		if n > 0 && (p.apart || alone || marks > maxMarks || rows > opt.BatchRows || bytes > opt.BatchBytes) {
			return &batch{p: p, entries: queue[:n:n]}, true
		}
	}
	return &batch{p: p, entries: queue[:len(queue):len(queue)]}, len(queue[0].dead) > 0 || rows >= opt.BatchRows || bytes >= opt.BatchBytes
}

// content is the batch for the writer; p.mu is held.
func (p *partition) content(b *batch) committed.Batch {
	first := b.entries[0]
	c := committed.Batch{
		After: p.reached, Position: first.after, Rows: first.encoded, Schema: first.schema, Digest: first.digest, Dead: first.dead,
		Follower: b,
	}
	if len(b.entries) == 1 && len(first.dead) == 0 {
		return c
	}
	c.Rows = nil
	digests := make([][]byte, len(b.entries))
	for n, e := range b.entries {
		c.Rows = append(c.Rows, e.encoded...)
		c.Parts = append(c.Parts, ledger.Part{Rows: int64(len(e.encoded)), Digest: e.digest, Before: e.before, After: e.after})
		digests[n] = e.digest[:]
		if e.after != nil {
			c.Position = e.after
		}
	}
	if len(digests) > 1 {
		c.Digest = ledger.DigestOf(digests)
	}
	return c
}

// took notes that the writer has a batch, or why not: then nothing of it is bound, and what is queued behind it can't be
// either.
func (p *partition) took(b *batch, content committed.Batch, r *committed.Result, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(err, committed.ErrTooLarge) && len(b.entries) > 1 {
		p.apart = true // each of them once more, alone
		return
	}
	if err != nil {
		for _, e := range b.entries {
			e.fail(notAccepted(err))
		}
		p.entries = slices.Delete(p.entries, len(p.entries)-p.queued, len(p.entries)-p.queued+len(b.entries))
		p.queued -= len(b.entries)
		p.failQueued(notAccepted(errBefore))
		return
	}
	p.queued -= len(b.entries)
	if content.Position != nil {
		p.reached = content.Position
	}
	for _, e := range b.entries {
		e.encoded, e.dead = nil, nil
	}
	b.digest = content.Digest
	p.open = append(p.open, b)
	b.offered(r)
	poke(p.news)
}
