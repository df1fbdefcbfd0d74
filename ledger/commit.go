package ledger

import (
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// Group commit. Callers submit writes to the queue; the committer takes all that
// wait, applies them in order to its mirror and to one bbolt transaction, syncs
// the segments that the bound payloads are in, and commits. The notifier then
// calls back, while the committer works on the next group. There is no artificial
// delay: the group is what came while the group before it was being committed.

// write is one of the few changes that exist.
type write interface {
	// apply checks the write and then makes it in the mirror and the transaction.
	// An *InvariantError means that it changed nothing; any other error fails the
	// whole group.
	apply(t *transaction) error
	// finish tells the caller.
	finish(err error)
}

type pending struct {
	write write
	err   error
}

// queue holds the writes that wait for the committer. It is bounded by its
// callers' windows.
type queue struct {
	wake chan struct{} // capacity 1: something came, or the queue was closed

	mu      sync.Mutex // guards what follows; never held while anything is waited for
	waiting []pending
	spare   []pending // an emptied group, to be filled again
	closed  error     // why no more writes are taken
}

// submit hands a write to the committer. When the queue is closed, the write is
// finished from a goroutine of its own, because the caller may hold locks.
func (q *queue) submit(w write) {
	q.mu.Lock()
	if closed := q.closed; closed != nil {
		q.mu.Unlock()
		go w.finish(closed)
		return
	}
	q.waiting = append(q.waiting, pending{write: w})
	first := len(q.waiting) == 1
	q.mu.Unlock()
	if first {
		q.ring()
	}
}

func (q *queue) ring() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take waits for writes and returns all there are; nil when the queue is closed
// and empty.
func (q *queue) take() []pending {
	for {
		q.mu.Lock()
		group := q.waiting
		if len(group) > 0 {
			q.waiting, q.spare = q.spare, nil
		}
		closed := q.closed
		q.mu.Unlock()
		if len(group) > 0 {
			return group
		}
		if closed != nil {
			return nil
		}
		<-q.wake
	}
}

// recycle gives back a group that was taken.
func (q *queue) recycle(group []pending) {
	clear(group)
	q.mu.Lock()
	if q.spare == nil {
		q.spare = group[:0]
	}
	q.mu.Unlock()
}

func (q *queue) close(why error) {
	q.mu.Lock()
	if q.closed == nil {
		q.closed = why
	}
	q.mu.Unlock()
	q.ring()
}

// committer owns the mirror and is the only one that writes to bbolt.
type committer struct {
	ledger   *Ledger
	mirror   *mirror
	t        transaction      // of the group at hand, reused
	done     Commit           // what it made durable, if it changed anything
	finished chan<- []pending // to the notifier, unbuffered: it is at most one group behind
}

func (c *committer) run() {
	defer close(c.finished)
	debug.SetPanicOnFault(true) // a file truncated under us is an error, not the end
	for {
		group := c.ledger.queue.take()
		if group == nil {
			return
		}
		c.ledger.began.Store(time.Now().UnixNano())
		c.commit(group)
		c.finished <- group
		c.ledger.began.Store(0)
	}
}

// notify calls back for each group in turn.
func (l *Ledger) notify(finished <-chan []pending) {
	for group := range finished {
		for i := range group {
			group[i].write.finish(group[i].err)
		}
		l.queue.recycle(group)
	}
}

// commit decides every write of the group. A failure is sticky (invariant 7):
// what the disk holds is unknown, so nothing is written any more.
func (c *committer) commit(group []pending) {
	err := c.ledger.Err()
	if err == nil {
		if err = c.transact(group); err == nil {
			c.tell()
			return
		}
		err = c.ledger.fail(err)
	}
	for i := range group {
		group[i].err = err
	}
}

// tell tells who wants to know what was committed, if anything was. A panic there is not the ledger's.
func (c *committer) tell() {
	if told := c.ledger.committed; told != nil && c.t.changed {
		told(c.done)
		clear(c.t.bound)
	}
}

func (c *committer) transact(group []pending) (err error) {
	l, began, writes := c.ledger, time.Now(), 0
	tx, err := l.db.Begin(true)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if cause := recover(); cause != nil { // bbolt panics on damaged pages
			err = fmt.Errorf("%w: %v", ErrCorrupt, cause)
		}
		if err != nil || !c.t.changed {
			l.rollback(tx)
		}
	}()
	c.t.begin(tx, c.mirror, l)
	for i := range group {
		if err := group[i].write.apply(&c.t); err != nil {
			if _, refused := err.(*InvariantError); !refused {
				return err
			}
			group[i].err = err
			continue
		}
		writes++
	}
	if !c.t.changed {
		return nil
	}
	if err := c.t.flush(); err != nil {
		return err
	}
	if err := l.segments.sync(l.hooks.sync); err != nil {
		return err
	}
	if err := l.hooks.commit(tx.Commit); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	c.done = Commit{Writes: writes, Took: time.Since(began), Bound: c.t.bound}
	l.segments.drop(c.t.dropped)
	return nil
}

// rollback ends a transaction that was not committed. When bbolt can't even do
// that, its lock is never free again and Close must not wait for it.
func (l *Ledger) rollback(tx *bbolt.Tx) {
	defer func() {
		if recover() != nil {
			l.wedged = true
		}
	}()
	_ = tx.Rollback() // ErrTxClosed after a failed commit
}
