package committed

import (
	"context"

	"github.com/eowriter/eowriter/recovery"
)

// Ack says where a batch landed.
type Ack = recovery.Ack

// Result is the future of one batch. Its methods are safe for concurrent use.
type Result struct {
	p     *Partition
	rows  block // nil once resolved, and of an earlier run until they are needed; guarded by p.mu
	bytes int64 // taken of the window

	follower Follower // or nil

	// Guarded by p.mu. The channels are made when somebody waits.
	isStored   bool
	isResolved bool
	ack        Ack
	err        error
	storedC    chan struct{}
	doneC      chan struct{}
}

// Stored waits until the batch's intent is durable: from then on a frozen batch
// lands even if this program dies. It returns ErrUnknown (wrapped) if the partition
// stopped before, or ctx's error if ctx ended first.
func (r *Result) Stored(ctx context.Context) error {
	if err := wait(ctx, r.channel(&r.storedC, &r.isStored)); err != nil {
		return err
	}
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if r.isStored {
		return nil
	}
	return r.err
}

// Wait waits until the batch has landed and the ledger says so, durably. An error
// other than ctx's means that the partition stopped with the batch unresolved: it
// may have landed or not, and the next start finds out (errors.Is ErrUnknown, or
// what the partition stopped with).
func (r *Result) Wait(ctx context.Context) (Ack, error) {
	if err := wait(ctx, r.Done()); err != nil {
		return Ack{}, err
	}
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.ack, r.err
}

// Done is closed when Wait would return at once.
func (r *Result) Done() <-chan struct{} { return r.channel(&r.doneC, &r.isResolved) }

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// channel returns the channel that is closed once happened is true.
func (r *Result) channel(c *chan struct{}, happened *bool) <-chan struct{} {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if *happened || r.isResolved {
		return closed
	}
	if *c == nil {
		*c = make(chan struct{})
	}
	return *c
}

// stored notes B2; p.mu is held.
func (r *Result) stored() {
	r.isStored = true
	r.tell(B2)
	if r.storedC != nil {
		close(r.storedC)
		r.storedC = nil
	}
}

// tell tells who follows the batch of a step; p.mu is held.
func (r *Result) tell(s Step) {
	if r.follower != nil {
		r.follower.Step(s)
	}
}

// resolve notes B7, or why it will not come; p.mu is held.
func (r *Result) resolve(ack Ack, err error) {
	r.ack, r.err, r.isResolved = ack, err, true
	for _, c := range []chan struct{}{r.storedC, r.doneC} {
		if c != nil {
			close(c)
		}
	}
	r.storedC, r.doneC = nil, nil
	r.keep(nil)
}

// keep replaces the rows; p.mu is held.
func (r *Result) keep(rows block) {
	if r.rows != nil {
		r.rows.Free()
	}
	r.rows = rows
}

func wait(ctx context.Context, c <-chan struct{}) error {
	if ctx.Err() != nil {
		// What is known needs no waiting.
		select {
		case <-c:
			return nil
		default:
		}
	}
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
