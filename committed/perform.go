package committed

import (
	"fmt"
	"time"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
)

// lease is how long a busy partition keeps its connection when others wait for one.
const lease = 500 * time.Millisecond

// step tells the machine what happened and carries out what it decides; p.mu is
// held. Only what doesn't block is done here: the calls to the service are the worker's.
func (p *Partition) step(e recovery.Event) {
	for _, a := range p.machine.Step(e) {
		p.perform(a)
	}
	if !p.working && !p.closed && p.machine.Due() {
		p.working = true
		p.running++
		go p.work()
	}
}

// perform carries out one action; p.mu is held.
func (p *Partition) perform(a recovery.Action) {
	switch a.Kind {
	case recovery.Bind: // B2
		p.began(B2)
		p.running++
		p.w.led.Bind(p.id, a.Epoch, a.Intent, p.onBound)
	case recovery.Acknowledge: // B6
		p.began(B6)
		p.running++
		p.w.led.Acknowledge(p.id, a.Epoch, a.Number, a.End, p.onAcknowledged)
	case recovery.Stored:
		p.results[a.Batch].stored()
	case recovery.Landed: // B7
		p.landed(a)
	case recovery.Wait:
		p.wait(a.Wait, a.Attempt)
	case recovery.Ready:
		p.ready()
	case recovery.Disconnect:
		p.disconnect()
	case recovery.Stop:
		p.stop(a.Cause)
	default:
		p.record(a)
	}
}

// record asks the ledger for the writes of a stream's life.
func (p *Partition) record(a recovery.Action) {
	p.running++
	switch a.Kind {
	case recovery.OpenEpoch: // O2
		p.began(O2)
		p.w.led.OpenEpoch(*a.Opening, func(part ledger.Partition, err error) {
			p.wrote(O2, recovery.Event{Kind: recovery.Opened, Partition: &part}, err)
		})
	case recovery.Seal: // R2, F1
		seal, s := *a.Seal, R2
		if seal.Reason == ledger.Finished {
			s = F1
		}
		p.began(s)
		p.w.led.Seal(p.id, a.Epoch, seal, func(err error) {
			if sealed := p.w.opt.Events.Sealed; err == nil && sealed != nil {
				p.mu.Lock()
				sealed(p.key, a.Epoch, seal)
				p.mu.Unlock()
			}
			p.wrote(s, recovery.Event{Kind: recovery.Sealed}, err)
		})
	case recovery.Settle: // R4
		p.began(R4)
		p.w.led.Settle(p.id, a.Epoch, *a.Settlement, func(part ledger.Partition, err error) {
			p.wrote(R4, recovery.Event{Kind: recovery.Settled, Partition: &part}, err)
		})
	case recovery.Halt: // H1
		p.began(H1)
		p.w.led.Halt(p.id, a.Epoch, *a.Halt, func(err error) {
			p.wrote(H1, recovery.Event{Kind: recovery.Halted}, err)
		})
	case recovery.Forget: // F3
		p.began(F3)
		p.w.led.Retire(p.id, a.Epoch, a.End, func(err error) {
			p.wrote(F3, recovery.Event{Kind: recovery.Forgotten}, err)
		})
	default:
		panic(fmt.Sprintf("the machine wants action %d, which nobody carries out", a.Kind))
	}
}

// bound is told by the ledger that the oldest Bind is durable, or why not.
func (p *Partition) bound(err error) { p.wrote(B2, recovery.Event{Kind: recovery.Bound}, err) }

func (p *Partition) acknowledged(err error) {
	p.wrote(B6, recovery.Event{Kind: recovery.Acknowledged}, err)
}

// wrote tells the machine of a write that came back from the ledger.
func (p *Partition) wrote(s Step, e recovery.Event, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		e = recovery.Event{Kind: recovery.Failed, Err: err}
	} else {
		p.did(s)
	}
	if e.Kind == recovery.Opened || e.Kind == recovery.Settled {
		p.id = e.Partition.ID
		e.Suspicious = e.Partition.Owner != p.w.led.Identity()
		p.rotated = e.Kind == recovery.Settled
	}
	p.step(e)
	p.back()
}

// landed resolves a batch whose acknowledgement is durable (B7).
func (p *Partition) landed(a recovery.Action) {
	p.began(B7)
	r := p.results[a.Batch]
	r.tell(B6)
	r.tell(B7)
	delete(p.results, a.Batch)
	if !r.isResolved {
		r.resolve(a.Ack, nil)
	}
	p.taken--
	p.bytes -= r.bytes
	p.wakeRoom()
	if landed := p.w.opt.Events.Landed; landed != nil {
		landed(p.key, a.Ack)
	}
	p.did(B7)
}

// wait asks for a Timer event.
func (p *Partition) wait(kind recovery.WaitKind, attempt int) {
	b := p.backoff[kind]
	if b == nil || attempt == 1 {
		policy := p.w.opt.Backoff
		policy.MaxElapsed = 0 // a partition never gives up: an open intent has to be settled
		b = policy.New()
		p.backoff[kind] = b
	}
	delay := b.Next()
	if waiting := p.w.opt.Events.Waiting; waiting != nil {
		waiting(p.key, kind, attempt, delay)
	}
	p.after(delay, func() { p.step(recovery.Event{Kind: recovery.Timer}) })
	if kind == recovery.Propagation {
		p.look()
	}
}

// ready notes that the probe fitted (O3, R5).
func (p *Partition) ready() {
	p.did(p.probeStep())
	closeOnce(p.opened)
	p.touched = time.Now()
	if !p.aging {
		p.aging = true
		p.after(p.w.opt.StreamAge, p.age)
	}
}

// age has a stream replaced that had no traffic for most of its time to live.
func (p *Partition) age() {
	idle := time.Since(p.touched)
	if idle >= p.w.opt.StreamAge {
		p.touched = time.Now()
		p.step(recovery.Event{Kind: recovery.Age})
		idle = 0
	}
	p.after(p.w.opt.StreamAge-idle, p.age)
}

// stop notes why the partition has stopped, and tells everybody who waits.
func (p *Partition) stop(c *recovery.Cause) {
	p.explain(c)
	p.err = stopError(p.key, c)
	p.fail(p.err)
	close(p.stopped)
}

// disconnect gives up the present connection. Closing it may wait for a send to
// notice, so that is done apart.
func (p *Partition) disconnect() {
	c := p.conn
	if c == nil {
		return
	}
	p.conn = nil
	p.running++
	go func() {
		c.close()
		p.w.clients.release(c.client)
		p.w.slots.release(c.slot)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.back()
	}()
}

// yield is called when another partition waits for a connection.
func (p *Partition) yield() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil && p.machine.InFlight() == 0 && !p.machine.Due() {
		p.step(recovery.Event{Kind: recovery.Yield}) // at once, also while it waits to probe again
		return
	}
	p.after(lease, func() { p.step(recovery.Event{Kind: recovery.Yield}) })
}

// began and did tell of a step that is about to begin or is done.
func (p *Partition) began(s Step) {
	if f := p.w.opt.Events.Step; f != nil {
		f(StepEvent{Key: p.key, Step: s})
	}
}

func (p *Partition) did(s Step) {
	if f := p.w.opt.Events.Step; f != nil {
		f(StepEvent{Key: p.key, Step: s, Done: true})
	}
}
