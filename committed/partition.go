package committed

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
)

// Partition is an ordered sequence of batches into one table, each landing exactly
// once. Safe for concurrent use; the order of the calls of Append is the order of
// the rows.
type Partition struct {
	w     *Writer
	key   ledger.Key
	id    ledger.ID // 0 until the first epoch is open
	cfg   PartitionConfig
	ctx   context.Context // of its calls; ends with Close
	end   context.CancelFunc
	found []ledger.Intent // open in the ledger when the partition was opened
	limit int64           // bytes of rows and writer schema in one append

	recovered []*Result // of the batches of found

	onBound, onAcknowledged func(error) // made once, not per append

	mu      sync.Mutex // guards what follows; nothing blocks under it
	machine *recovery.Machine
	results map[uint64]*Result // open batches by number
	taken   int                // of the window: batches
	bytes   int64              // and their bytes
	room    chan struct{}      // see waitForRoom
	known   known              // of the table's schema; evolve.go

	working bool        // the worker runs
	conn    *connection // the present one, or nil
	rotated bool        // this epoch began with R4, not with O2
	touched time.Time   // when the stream had traffic last
	aging   bool        // a timer looks after touched
	backoff [recovery.Propagation + 1]*retry.Backoff
	timers  map[*time.Timer]struct{}

	opened  chan struct{} // closed when ready or stopped
	err     error         // why it stopped
	stopped chan struct{} // closed by Stop
	closing bool          // nothing is accepted any more
	closed  bool          // what is left stays for the next start: no calls, no timers
	running int           // goroutines and writes that will come back
	quiet   chan struct{} // closed when closed and running is 0
}

// Key returns the table and the name.
func (p *Partition) Key() ledger.Key { return p.key }

// Position returns where the source resumes: after everything that landed or is
// open. nil at the very beginning. The caller must not change it.
func (p *Partition) Position() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Position()
}

// Found returns the intents that the ledger held open when the partition was
// opened. They land, too; batches of a replayable partition by way of Replay.
func (p *Partition) Found() []ledger.Intent { return p.found }

// Recovered returns the results of the batches that Found is of, in their order: they are
// stored, and land.
func (p *Partition) Recovered() []*Result { return p.recovered }

// recover makes the results of the batches that are open in the ledger. They take room in the window like new
// ones: else each run of a program that dies before they have landed could add a window to them. p.mu is held.
func (p *Partition) recover(open []ledger.Intent) {
	for i := range open {
		if i == 0 || open[i].From == 0 { // else a part of the same batch
			p.recovered = append(p.recovered, &Result{p: p, isStored: true})
			p.results[uint64(len(p.recovered))] = p.recovered[len(p.recovered)-1] // the machine counts from 1
			p.taken++
		}
		room := open[i].Bytes + deadSize(open[i].Dead)
		p.recovered[len(p.recovered)-1].bytes += room
		p.bytes += room
	}
}

// InFlight returns how many appends await an answer.
func (p *Partition) InFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.InFlight()
}

// Progress returns how far the open intents have come, by their numbers: B2, and to be sent (again), B3, and in flight, or
// B5, and landed.
func (p *Partition) Progress() map[uint64]Step {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[uint64]Step{}
	p.machine.Open(func(number uint64, flying, landed bool) {
		switch {
		case landed:
			all[number] = B5
		case flying:
			all[number] = B3
		default:
			all[number] = B2
		}
	})
	return all
}

// Stopped is closed when the partition has stopped; Err says why.
func (p *Partition) Stopped() <-chan struct{} { return p.stopped }

// Err returns why the partition stopped, an *Error, or nil while it has not.
func (p *Partition) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Drain waits until nothing is open. It returns why the partition stopped if that
// comes first, or ctx's error.
func (p *Partition) Drain(ctx context.Context) error {
	for {
		p.mu.Lock()
		empty, err, room := p.machine.Empty(), p.err, p.waitForRoom()
		if err == nil && !empty && p.closed {
			err = p.refusal()
		}
		p.mu.Unlock()
		if err != nil || empty {
			return err
		}
		if err := wait(ctx, room); err != nil {
			return fmt.Errorf("drain partition %q of %s: %w", p.key.Name, p.key.Table, err)
		}
	}
}

// Close drains the partition, lets go of it and returns nil. When ctx ends first, what is open stays for
// the next start, results that are waited for fail with ErrUnknown, and Close
// returns ctx's error. The partition can be opened again afterwards.
func (p *Partition) Close(ctx context.Context) error {
	p.mu.Lock()
	done := p.closed
	p.closing = true
	p.mu.Unlock()
	if done {
		<-p.quiet
		return nil
	}
	err := p.Drain(ctx)
	p.shut()
	<-p.quiet
	p.w.forget(p)
	return err
}

// Retire ends the partition for good: when everything has landed its stream is
// finalized and the ledger forgets the partition, its position too. It returns
// ErrUndelivered, and the partition goes on, while dead letters wait in the ledger;
// ErrClosed after Close, why the partition stopped if that comes first, or ctx's
// error: then the next start finishes what was begun.
func (p *Partition) Retire(ctx context.Context) error {
	p.mu.Lock()
	if p.closing {
		defer p.mu.Unlock()
		return p.refusal()
	}
	p.closing = true
	p.mu.Unlock()
	err := p.undelivered(ctx)
	p.mu.Lock()
	if err != nil {
		p.closing = p.closed
		p.mu.Unlock()
		return err
	}
	p.step(recovery.Event{Kind: recovery.Retire})
	p.mu.Unlock()
	err = wait(ctx, p.stopped)
	if err == nil {
		err = p.Err()
	}
	p.shut()
	<-p.quiet
	p.w.forget(p)
	if isRetired(err) {
		return nil
	}
	return err
}

// undelivered waits until nothing is open and says whether dead letters wait then.
func (p *Partition) undelivered(ctx context.Context) error {
	if err := p.Drain(ctx); err != nil {
		return err
	}
	part, _, err := p.w.led.Partition(p.key)
	if err == nil && part.Delivered < part.Dead {
		err = fmt.Errorf("retire partition %q of %s: %w: %d of %d", p.key.Name, p.key.Table, ErrUndelivered, part.Dead-part.Delivered, part.Dead)
	}
	return err
}

// shut ends calls and timers. Writes that the ledger was asked for come back still.
func (p *Partition) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closing, p.closed = true, true
	p.end()
	p.disconnect()
	for t := range p.timers {
		if t.Stop() {
			delete(p.timers, t)
			p.running--
		}
	}
	p.fail(&Error{Key: p.key, Kind: ErrUnknown, Detail: "the writer was closed before everything landed"})
	p.left()
}

// fail resolves what is open with an error.
func (p *Partition) fail(err error) {
	for _, r := range p.results {
		if !r.isResolved {
			r.resolve(Ack{}, err)
		}
	}
	p.wakeRoom()
	closeOnce(p.opened)
}

// isOpened says that the partition was ready once, or has stopped; p.mu is held.
func (p *Partition) isOpened() bool {
	select {
	case <-p.opened:
		return true
	default:
		return false
	}
}

// left closes quiet when everything that was to come back has; p.mu is held.
func (p *Partition) left() {
	if p.closed && p.running == 0 {
		closeOnce(p.quiet)
	}
}

// back is the last thing that a goroutine or a write of the partition does; p.mu is held.
func (p *Partition) back() {
	p.running--
	p.left()
}

// closeOnce closes a channel that its lock's holder may have closed before.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// after runs f with the lock held, d from now, unless the partition is shut before.
func (p *Partition) after(d time.Duration, f func()) {
	if p.closed {
		return
	}
	p.running++
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if _, armed := p.timers[t]; !armed {
			return
		}
		delete(p.timers, t)
		if !p.closed {
			f()
		}
		p.back()
	})
	p.timers[t] = struct{}{}
}
