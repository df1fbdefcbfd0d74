package ingest

import (
	"context"
	"errors"
	"slices"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/committed"
)

// tend has the partition open at the writer for as long as that goes, and again when it has stopped for something that
// may pass. It ends when Ingest.Close ends everything, when the partition is halted, and when nothing was
// ever written to it and nobody asks for it.
func (p *partition) tend() {
	ctx := p.i.ctx
	delays := p.i.opt.Reopen.New()
	for {
		err := p.session(ctx)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		p.abandon(err)
		if p.takeProgress() {
			delays.Reset()
		}
		if !p.stopped(err, delays.Next()) || !p.pause(ctx) {
			return
		}
	}
}

// session opens the partition, and returns why it is not open any more: all that was accepted is in the ledger then, or
// was refused.
func (p *partition) session(ctx context.Context) error {
	t := p.i.tables.of(p.key.Table)
	e, err := t.first(ctx)
	if err != nil {
		return err
	}
	cp, err := p.i.w.Partition(ctx, committed.PartitionConfig{
		Table: p.key.Table, Name: p.key.Name, Schema: e.schema, Encoder: p.i.opt.encoder(),
		DefaultValues: p.i.opt.DefaultValues, MaxDead: p.i.opt.MaxDead,
	})
	if err != nil {
		t.drop() // perhaps it is the schema's fault
		return err
	}
	p.opened(cp, e)
	for {
		select {
		case <-p.oldest():
			p.landed()
		case <-p.news:
		case <-cp.Stopped():
			return p.closed(cp, cp.Err())
		case <-ctx.Done():
			return p.closed(cp, context.Cause(ctx))
		}
	}
}

// opened notes that the partition is open.
func (p *partition) opened(cp *committed.Partition, e *encoding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cp, p.encoding, p.seen = cp, e, e.schema
	p.position, p.reached = cp.Position(), cp.Position()
	for n, r := range cp.Recovered() {
		p.open[n].offered(r)
	}
	p.failure = nil
	p.set(eowriterv1.State_STATE_OPEN)
}

// offered notes that the writer has the batch.
func (b *batch) offered(r *committed.Result) {
	b.result = r
	for _, e := range b.entries {
		e.result = r
		close(e.offered)
	}
}

// oldest is closed when the oldest open batch has landed, or is not going to; nil if nothing is open.
func (p *partition) oldest() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.open) == 0 {
		return nil
	}
	return p.open[0].result.Done()
}

// landed notes what has become of the oldest open batches.
func (p *partition) landed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.open) > 0 {
		b := p.open[0]
		select {
		case <-b.result.Done():
		default:
			return
		}
		ack, err := b.result.Wait(context.Background())
		if err != nil {
			return // it has stopped: closed sees to the rest
		}
		now := time.Now()
		p.progress, p.moved = true, now
		p.measure(now, b, ack.Rows)
		marks := make([]mark, len(b.entries))
		for n, e := range b.entries {
			marks[n] = e.mark
			if e.room != nil {
				e.room.Release()
			}
			if landed := p.i.opt.Events.Landed; landed != nil {
				landed(p.key, e.bytes, now.Sub(e.since))
			}
			e.end(nil)
			close(e.done)
		}
		if marks = positioned(marks); len(marks) > 0 {
			p.last, p.landedAt = marks, marks[len(marks)-1].after
		}
		p.open[0] = nil
		p.open = p.open[1:]
		clear(p.entries[:len(b.entries)])
		p.entries = p.entries[len(b.entries):]
		p.wake()
	}
}

// measure measures a batch that has landed; p.mu is held.
func (p *partition) measure(now time.Time, b *batch, rows int64) {
	bytes := int64(0)
	for _, e := range b.entries {
		bytes += e.bytes
		if !e.stored { // else it has waited for this opening
			p.i.meter.Took(now, now.Sub(e.since))
		}
	}
	p.i.meter.Rows(now, rows, bytes)
	p.rate.Add(now, rows)
}

// closed closes the partition at the writer, and returns why.
func (p *partition) closed(cp *committed.Partition, why error) error {
	p.mu.Lock()
	p.settling = true
	p.set(eowriterv1.State_STATE_OPENING) // nothing is accepted until it is known what the ledger has
	end := p.offerEnd
	p.mu.Unlock()
	p.wake()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = cp.Close(now) // what is open stays; it says so
	if end != nil {
		<-end // its call has failed, too
	}
	p.landed()
	return why
}

// abandon tells everybody who waits that the partition isn't open any more.
func (p *partition) abandon(why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cp = nil
	p.failQueued(notAccepted(why))
	for _, e := range p.entries {
		e.fail(unresolved(why))
	}
	p.entries, p.open, p.settling = nil, nil, true // until adopt knows what the ledger has
}

// failQueued refuses all that is queued; p.mu is held.
func (p *partition) failQueued(err error) {
	from := len(p.entries) - p.queued
	for _, e := range p.entries[from:] {
		e.fail(err)
	}
	p.entries = slices.Delete(p.entries, from, len(p.entries))
	p.queued, p.position = 0, p.reached
}

// fail tells those who wait for an append that it isn't known to land; partition.mu is held.
func (e *entry) fail(err error) {
	if e.room != nil {
		e.room.Release()
	}
	e.err = err
	e.end(err)
	if e.result == nil {
		close(e.offered)
	}
	close(e.done)
}

// notAccepted is for appends that were in the queue.
func notAccepted(cause error) error {
	if errors.Is(cause, errStopped) {
		return stopping()
	}
	e := why(cause)
	e.Message = "nothing was accepted: " + e.Message
	if e.Reason == eowriterv1.Reason_REASON_UNAVAILABLE {
		e.RetryAfter = soon
	}
	return e
}

func (p *partition) takeProgress() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	had := p.progress
	p.progress = false
	return had
}

// stopped notes why the partition isn't open, and says whether it is to be opened again, after delay.
func (p *partition) stopped(err error, delay time.Duration) (again bool) {
	r, unread := p.read()
	if unread != nil {
		err = unread
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.adopt(r)
	log := p.i.opt.Log
	switch {
	case errors.Is(err, errStopped):
		return false
	case isHalted(err):
		p.failure, p.cause = why(err), causeOf(err)
		p.set(eowriterv1.State_STATE_HALTED)
		log.Error("partition halted", p.attrs("cause", p.cause, "stream", r.part.Stream, "error", p.failure)...)
		return false
	}
	p.failure, p.cause, p.retryAt = why(err), causeOf(err), time.Now().Add(delay)
	p.set(eowriterv1.State_STATE_WAITING)
	log.Warn("partition stopped", p.attrs("cause", p.cause, "stream", r.part.Stream, "error", Loggable(err), "retry_in", delay.Round(time.Millisecond).String())...)
	return true
}

// pause waits until the partition is to be opened again, and says whether there is reason to.
func (p *partition) pause(ctx context.Context) bool {
	p.mu.Lock()
	wait := time.NewTimer(time.Until(p.retryAt))
	p.mu.Unlock()
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return false
	}
	_, _, err := p.i.led.Partition(p.key)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.i.forget(p) // the ledger doesn't know it
		return false
	}
	p.set(eowriterv1.State_STATE_OPENING)
	return true
}
