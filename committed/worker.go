package committed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
	"google.golang.org/grpc/metadata"
)

// probeOffset is where a probe asks to append: far beyond any end, so that nothing
// is written and the service says where the stream ends.
const probeOffset = 1 << 62

// work makes the calls that the machine wants, one after another, and ends when
// none is due.
func (p *Partition) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed {
		a, due := p.machine.Next()
		if !due {
			break
		}
		if e, happened := p.call(a); happened {
			p.step(e)
		}
	}
	p.working = false
	p.back()
}

// call makes one call. p.mu is held, and let go of while the call takes.
func (p *Partition) call(a recovery.Action) (recovery.Event, bool) {
	switch a.Kind {
	case recovery.Send:
		return p.send(a)
	case recovery.Probe:
		p.probe(a)
		return recovery.Event{}, false
	case recovery.Connect:
		return p.connect(a), true
	case recovery.Create:
		return p.create(a), true
	case recovery.Examine:
		return p.examine(a)
	default:
		return p.finalize(a), true
	}
}

// send hands an append to the client (B3). Its answer comes through the wire.
func (p *Partition) send(a recovery.Action) (recovery.Event, bool) {
	p.began(B3)
	p.results[a.Batch].tell(B3)
	if sent := p.w.opt.Events.Sent; sent != nil {
		sent(p.key, a.Intent, a.Again)
	}
	c := p.flying()
	rows := p.rows(a)
	p.mu.Unlock()
	var err error
	if rows == nil {
		rows, err = p.again(a)
	}
	if err == nil && (a.Intent.Rows < a.Intent.Of || len(a.Intent.Without) > 0) {
		whole := rows
		rows, err = divide(whole, a.Intent)
		whole.Free()
	}
	if err == nil {
		c.send(rows, a.Intent.Start)
	}
	p.mu.Lock()
	if err != nil {
		// A source that was interrupted by Close has not changed.
		return recovery.Event{Kind: recovery.Unreadable, Err: err}, !p.closed
	}
	p.did(B3)
	return recovery.Event{}, false
}

// probe asks where the stream ends (O3, R5).
func (p *Partition) probe(a recovery.Action) {
	p.began(p.probeStep())
	c := p.flying()
	p.mu.Unlock()
	row := [][]byte{c.probe}
	c.send(newBlock(row, blockSize(row)), probeOffset)
	p.mu.Lock()
}

func (p *Partition) probeStep() Step {
	if p.rotated {
		return R5
	}
	return O3
}

// flying returns the connection to send on, and notes when it got something to do.
func (p *Partition) flying() *connection {
	if p.machine.InFlight() <= 1 {
		p.conn.progress = time.Now()
	}
	return p.conn
}

// connect opens a connection in place of the one before. It waits for its turn if
// there are too many.
func (p *Partition) connect(a recovery.Action) recovery.Event {
	p.disconnect()
	p.mu.Unlock()
	schema, err := p.writerSchema(a.Schema)
	var c *connection
	answer := retry.Answer{Class: retry.Blocked, Broken: true, Expected: -1, Offset: -1, Err: err} // trying again would not mend the ledger
	if err == nil {
		if c, err = p.dial(a, schema); err != nil {
			answer = retry.FromError(err, nil)
		}
	}
	p.mu.Lock()
	if err != nil {
		return recovery.Event{Kind: recovery.Broken, Conn: a.Conn, Answer: &answer}
	}
	c.progress = time.Now()
	p.conn = c
	if p.closed || p.machine.Connection() != a.Conn {
		p.disconnect() // not wanted any more
	} else {
		p.watch(c)
		if connected := p.w.opt.Events.Connected; connected != nil {
			connected(p.key)
		}
	}
	return recovery.Event{Kind: recovery.Connected, Conn: a.Conn}
}

func (p *Partition) dial(a recovery.Action, schema *Schema) (*connection, error) {
	slot, err := p.w.slots.take(p.ctx, p.yield)
	if err != nil {
		return nil, err
	}
	cl, err := p.w.clients.take()
	if err != nil {
		p.w.slots.release(slot)
		return nil, err
	}
	w := &wire{
		stream:   a.Stream,
		answered: func(resp *storagepb.AppendRowsResponse) { p.answered(a.Conn, resp) },
		ended:    func(err error, trailer metadata.MD) { p.broken(a.Conn, err, trailer) },
		over:     make(chan struct{}),
	}
	trace := fmt.Sprintf("eowriter:%s:%s:%d", p.w.led.ID(), p.key.Name, a.Epoch)
	c, err := cl.connect(p.w.ctx, w, trace, schema.descriptor, p.cfg.DefaultValues, p.w.opt.WindowRequests+1)
	if err != nil {
		p.w.clients.release(cl)
		p.w.slots.release(slot)
		return nil, err
	}
	c.id, c.slot, c.probe = a.Conn, slot, schema.probe
	return c, nil
}

// answered tells the machine of an answer (B5), in managedwriter's reading goroutine.
func (p *Partition) answered(conn uint64, resp *storagepb.AppendRowsResponse) {
	answer := retry.FromResponse(resp)
	if answer.Schema != nil {
		p.told(answer.Schema) // first: who hears that the batch has landed finds the new schema
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judge(recovery.Event{Kind: recovery.Answered, Conn: conn, Answer: &answer})
}

// broken tells the machine that a connection has ended.
func (p *Partition) broken(conn uint64, err error, trailer metadata.MD) {
	answer := retry.FromError(err, trailer)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil && p.conn.id == conn {
		p.disconnect()
	}
	p.judge(recovery.Event{Kind: recovery.Broken, Conn: conn, Answer: &answer})
}

func (p *Partition) judge(e recovery.Event) {
	p.touched = time.Now()
	if p.conn != nil && p.conn.id == e.Conn {
		p.conn.progress = p.touched
	}
	p.began(B5)
	current, batch := !p.closed && e.Conn == p.machine.Connection(), p.machine.Awaited()
	p.step(e)
	p.did(B5)
	if !current {
		return
	}
	if r := p.results[batch]; r != nil {
		r.tell(B5)
	}
	if answered := p.w.opt.Events.Answered; answered != nil {
		answered(p.key, Answered{Class: e.Answer.Class, Verdict: p.machine.Verdict(), Append: batch != 0, Broken: e.Kind == recovery.Broken})
	}
}

// watch looks after a connection now and then: one that has not answered for too
// long is half-open and ended, one without anything to do is let go.
func (p *Partition) watch(c *connection) {
	if p.conn != c {
		return
	}
	quiet := time.Since(c.progress)
	switch busy := p.machine.InFlight() > 0; {
	case busy && quiet >= p.w.opt.AnswerTimeout:
		c.wire.hangUp() // what is in flight fails, and so the connection ends
	case !busy && quiet >= p.w.opt.IdleTimeout:
		p.step(recovery.Event{Kind: recovery.Idle})
	}
	p.after(min(p.w.opt.AnswerTimeout, p.w.opt.IdleTimeout)/2, func() { p.watch(c) })
}

// create makes a stream (O1, R1), within the rate that the service bears.
func (p *Partition) create(a recovery.Action) recovery.Event {
	s := O1
	if a.Epoch != 0 {
		s = R1
	}
	p.began(s)
	p.mu.Unlock()
	var name string
	err := p.w.limiter.Wait(p.ctx)
	if err == nil {
		ctx, cancel := context.WithTimeout(p.ctx, p.w.opt.CallTimeout)
		name, err = p.w.clients.control.create(ctx, p.key.Table)
		cancel()
	}
	p.mu.Lock()
	if err != nil {
		return callFailed(err)
	}
	p.did(s)
	return recovery.Event{Kind: recovery.Created, Name: name}
}

// finalize ends the sealed stream and learns its row count (R3, F2).
func (p *Partition) finalize(a recovery.Action) recovery.Event {
	s := R3
	if a.Seal.Reason == ledger.Finished {
		s = F2
	}
	p.began(s)
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, p.w.opt.CallTimeout)
	count, err := p.w.clients.control.finalize(ctx, a.Stream)
	cancel()
	p.mu.Lock()
	if err != nil {
		return callFailed(err)
	}
	p.did(s)
	return recovery.Event{Kind: recovery.Finalized, Count: count}
}

func callFailed(err error) recovery.Event {
	answer := retry.FromError(err, nil)
	if errors.Is(err, context.DeadlineExceeded) {
		answer.Class = retry.Transient
	}
	return recovery.Event{Kind: recovery.CallFailed, Answer: &answer}
}
