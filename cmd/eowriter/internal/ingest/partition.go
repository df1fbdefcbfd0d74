package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/pace"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
)

// partition is one partition with the appends that have not landed.
type partition struct {
	i   *Ingest
	key ledger.Key

	share Share // of the budget, which guards it

	mu       sync.Mutex // guards what follows
	state    eowriterv1.State
	gone     bool          // it came to nothing, and another one may have its name
	changed  chan struct{} // closed when state changes; nil: nobody waits
	failure  *Error        // why it is WAITING or HALTED, or is being opened again
	cause    Cause         // that, in a word
	retryAt  time.Time     // when it is opened again
	settling bool          // it has stopped, and what the ledger has of it isn't read yet: nothing is said of positions
	position []byte        // after the last append that was accepted
	entries  []*entry      // accepted and not landed, in order; the last queued of them are not offered
	queued   int
	last     []mark    // the appends with positions of the last batch that landed
	landedAt []byte    // the position that they reached
	moved    time.Time // when something landed last; of an earlier opening: was written
	rate     pace.Rate // of rows that land

	// While it is open.
	cp       *committed.Partition
	encoding *encoding         // for the schema that was seen last
	seen     *committed.Schema // that schema
	open     []*batch          // offered and not landed, oldest first
	reached  []byte            // position after the last append that was offered
	progress bool              // something has landed since it was opened
	apart    bool              // appends don't share batches: several were too large for a request

	offering bool          // offer runs
	offerEnd chan struct{} // closed when it has ended
	news     chan struct{} // of 1: a batch was offered, for tend
	nudge    chan struct{} // of 1: a batch may be due earlier, for offer
}

// batch is what was offered to the writer at once: the first entries of those that are open.
type batch struct {
	p       *partition
	entries []*entry
	digest  ledger.Digest // as the ledger has it
	result  *committed.Result
}

func newPartition(i *Ingest, key ledger.Key) *partition {
	return &partition{
		i: i, key: key, state: eowriterv1.State_STATE_NEW,
		news: make(chan struct{}, 1), nudge: make(chan struct{}, 1),
	}
}

// recorded is what the ledger has of a partition.
type recorded struct {
	part  ledger.Partition
	open  []ledger.Intent
	known bool
}

func (p *partition) read() (r recorded, err error) {
	r.part, r.open, err = p.i.led.Partition(p.key)
	if errors.Is(err, ledger.ErrNoPartition) {
		return recorded{}, nil
	}
	r.known = true
	return r, err
}

// adopt takes up the partition, which isn't open at the writer, as the ledger has it; p.mu is held, unless nobody else knows it yet.
func (p *partition) adopt(r recorded) {
	p.entries, p.open, p.queued, p.last, p.settling = nil, nil, 0, nil, false
	p.position, p.landedAt = r.part.Position, r.part.Position
	if last := r.part.Last; last != nil {
		p.last = positioned(marksOf(last.Before, last.After, last.Digest, last.Parts))
	}
	file := r.part.Mode == ledger.Replayable // its appends are somebody else's
	for from, n := 0, 1; n <= len(r.open) && !file; n++ {
		if n == len(r.open) || r.open[n].From == 0 { // else it is a part of the same batch
			p.found(r, r.open[from:n])
			from = n
		}
	}
	p.reached = p.position
	if p.moved.IsZero() {
		p.moved = r.part.Updated
	}
	switch {
	case !r.known:
		p.set(eowriterv1.State_STATE_NEW)
	case file:
		p.set(eowriterv1.State_STATE_FILE)
	case r.part.Halt != nil:
		p.failure = halted(fmt.Sprintf("partition %q was halted (%s): %s", p.key.Name, r.part.Halt.Cause, r.part.Halt.Detail), nil)
		p.cause = haltCauses[r.part.Halt.Cause]
		p.set(eowriterv1.State_STATE_HALTED)
	default:
		p.set(eowriterv1.State_STATE_IDLE)
	}
}

// found takes up a batch that is open in the ledger, by its intents. It takes room like new ones, so that runs which die
// one after another don't add up; unless the partition is halted or a file's, for then it takes nothing new.
func (p *partition) found(r recorded, of []ledger.Intent) {
	in := &of[0]
	b := &batch{p: p, digest: in.Digest}
	for _, m := range marksOf(in.Before, in.After, in.Digest, in.Parts) {
		e := &entry{mark: m, stored: true, since: r.part.Updated, offered: make(chan struct{}), done: make(chan struct{})}
		if r.part.Halt == nil && r.part.Mode == ledger.Frozen {
			e.room = p.i.budget.retake(&p.share, sizeOf(of))
			of = nil // the first has it all
		}
		b.entries = append(b.entries, e)
		if m.after != nil {
			p.position = m.after
		}
	}
	b.entries[0].bytes = in.Bytes
	p.entries = append(p.entries, b.entries...)
	p.open = append(p.open, b)
}

// set changes the state and tells those who wait for that; p.mu is held.
func (p *partition) set(s eowriterv1.State) {
	p.state = s
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

// refusal says why nothing can be written now; p.mu is held.
func (p *partition) refusal() error {
	switch p.state {
	case eowriterv1.State_STATE_WAITING:
		e := *p.failure
		e.RetryAfter = max(time.Until(p.retryAt), soon)
		return &e
	case eowriterv1.State_STATE_HALTED:
		return p.failure
	case eowriterv1.State_STATE_FILE:
		return fileRefusal(p.key)
	}
	e := refuse(eowriterv1.Reason_REASON_UNAVAILABLE, "partition %q is being opened: BigQuery has not answered yet; nothing was accepted", p.key.Name)
	e.RetryAfter = soon
	return e
}

// ready waits until the partition is open, which it begins if nobody has, and returns its encoding.
func (p *partition) ready(ctx context.Context) (*committed.Partition, *encoding, error) {
	patience := time.NewTimer(p.i.opt.OpenWait)
	defer patience.Stop()
	for {
		cp, e, changed, err := p.look()
		if cp != nil || err != nil {
			return cp, e, err
		}
		select {
		case <-changed:
		case <-patience.C:
			p.mu.Lock()
			defer p.mu.Unlock()
			return nil, nil, p.refusal()
		case <-ctx.Done():
			return nil, nil, gaveUp(ctx)
		}
	}
}

// look is a try of ready: if it returns nothing else, it is to be tried again when the channel is closed.
func (p *partition) look() (*committed.Partition, *encoding, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.state {
	case eowriterv1.State_STATE_OPEN:
		p.follow()
		return p.cp, p.encoding, nil, nil
	case eowriterv1.State_STATE_NEW, eowriterv1.State_STATE_IDLE:
		if p.gone {
			return nil, nil, nil, p.refusal()
		}
		if !p.start() {
			return nil, nil, nil, stopping()
		}
	case eowriterv1.State_STATE_OPENING:
	default:
		return nil, nil, nil, p.refusal()
	}
	return nil, nil, p.awaitChange(), nil
}

// awaitChange returns a channel that is closed when the state changes; p.mu is held.
func (p *partition) awaitChange() <-chan struct{} {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	return p.changed
}

// follow takes over the table's schema if it has changed; p.mu is held.
func (p *partition) follow() {
	s := p.cp.Schema()
	if s == p.seen {
		return
	}
	p.seen = s
	e, err := p.i.tables.of(p.key.Table).encodingOf(s)
	if err != nil {
		p.i.opt.Log.Warn("the table's new schema can't be used", p.attrs("error", err)...)
		return
	}
	p.encoding = e
}

// resume begins to open the partition if something of it is left to land, and tells if it is halted.
func (p *partition) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.state == eowriterv1.State_STATE_HALTED:
		p.i.opt.Log.Error("partition is halted", p.attrs("error", p.failure)...)
	case p.state == eowriterv1.State_STATE_IDLE && len(p.open) > 0:
		p.start()
	}
}

// start begins to open the partition, unless Ingest.Close has ended everything; p.mu is held.
func (p *partition) start() bool {
	if !p.i.spawn(p.tend) {
		return false
	}
	p.set(eowriterv1.State_STATE_OPENING)
	return true
}

// wake makes offer look again at what is due.
func (p *partition) wake() { poke(p.nudge) }

// poke puts something into a channel of 1, if it is empty.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// attrs are attributes for a line of the log: names are escaped by the handler.
func (p *partition) attrs(more ...any) []any {
	return append([]any{"table", short(p.key.Table), "partition", p.key.Name}, more...)
}
