// Package ledger keeps, durably and for one process at a time, what a writer must
// remember to append every row exactly once: which offsets of a partition's stream
// are bound to which batch, and how far they were acknowledged.
//
// Open comes first and makes the file when there is none. For each partition,
// Partition tells what is known, or OpenEpoch starts it. Then, batch by batch:
// Freeze (only when the source cannot be read twice), Bind before anything is sent,
// Acknowledge when it has landed. A stream is replaced with Seal and then Settle; a
// partition that is finished goes with Retire. Halt marks one whose stop must outlive
// this run: it takes no write then until Resolve, and Skip has a batch skipped: those two are a
// person's. Close comes last. Compact makes a closed ledger small again.
//
// The writes return at once and call back when they are on disk: one goroutine
// merges all that wait into one bbolt transaction (commit.go). Every write checks
// the invariants it relies on and is refused with an *InvariantError when its
// caller is wrong. After a failed commit nothing is written any more (invariant 7):
// Failed and Err tell, and the next Open reads what the disk really holds.
//
// A ledger is the file at its path, the one-line file <path>.incarnation that shows
// whether it was moved or restored (invariant 8), and, with frozen partitions, the
// folder <path>.segments. FORMAT.md describes their bytes.
package ledger

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

// Options are for Open; nil means the defaults.
type Options struct {
	// SegmentBytes is the size of a payload segment, and so the limit of a frozen
	// batch. It is rounded up to pages of 4096 bytes; 0 means 64 MiB.
	SegmentBytes int64

	// Committed is called for every commit of writes that is on disk, before any of
	// them is called back: by the committing goroutine, so it must be quick and must
	// not call the ledger. What it is given is valid until it returns. May be nil.
	Committed func(Commit)

	hooks hooks
}

// Commit is what one commit made durable.
type Commit struct {
	Writes int           // merged in it; those that were refused don't count
	Took   time.Duration // from the beginning of its transaction until it was on disk
	Bound  []Bound       // by Bind and Settle; by an epoch's beginning nothing is
}

// Bound is an intent that became durable.
type Bound struct {
	Key    Key
	Epoch  uint64
	Stream string
	Intent Intent // shares its slices with the ledger: read only
}

// hooks let tests of this package fail what the disk would have to fail. They are
// given the step and return its outcome.
type hooks struct {
	commit func(func() error) error // of bbolt
	sync   func(func() error) error // of a segment
}

func run(step func() error) error { return step() }

// Ledger is an open ledger. All methods are safe for concurrent use.
type Ledger struct {
	path     string
	readOnly bool
	identity Identity
	head     head  // as it was written on opening
	moved    bool  // see Moved
	used     int64 // bytes of the file that held something on opening
	db       *bbolt.DB
	file     *os.File // bbolt's, which closes it
	segments *segments
	hooks    hooks

	committed func(Commit) // Options.Committed

	queue  queue
	ended  sync.WaitGroup // committer and notifier
	wedged bool           // bbolt's lock is lost; the committer's until it has ended
	began  atomic.Int64   // when the committer took the writes at hand, in ns since 1970; 0: it waits for some

	failed  chan struct{} // closed once failure is set
	failure atomic.Pointer[error]

	closing sync.Once
	closed  error // what Close returns
}

// ID is the ledger's name for itself: 16 hexadecimal digits, drawn when it was made.
func (l *Ledger) ID() string { return fmt.Sprintf("%016x", l.head.ID) }

// Path is the ledger's file, as an absolute path.
func (l *Ledger) Path() string { return l.path }

// Identity is that of the ledger in its present place. A partition with another
// Owner is suspicious: the ledger was moved, copied or restored (invariant 8). A
// ledger that was opened for reading has the identity that it was last opened with.
func (l *Ledger) Identity() Identity { return l.identity }

// Moved says that the ledger is not where or not as it was left: it was moved, copied or
// restored, or its companion file was. Opening it for writing gives it a new Identity then; one
// that is open for writing tells whether this opening did.
func (l *Ledger) Moved() bool { return l.moved }

// Owns says whether what has this owner, a partition or a seal, is this ledger's own. Of a ledger that was opened for
// reading: whether it would be, if it were opened for writing now.
func (l *Ledger) Owns(owner Identity) bool { return owner == l.identity && !(l.readOnly && l.moved) }

// Incarnation counts the openings for writing; the first is 1.
func (l *Ledger) Incarnation() uint64 { return l.head.Incarnation }

// Failed is closed when a commit or a sync has failed; Err then says why.
func (l *Ledger) Failed() <-chan struct{} { return l.failed }

// Err is nil until the ledger has failed; then it wraps ErrFailed and the cause.
func (l *Ledger) Err() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Committing says since when the writes at hand are being made durable; it is zero while there are none. One that lasts is a
// disk that hangs: what was asked for is neither done nor failed.
func (l *Ledger) Committing() time.Time {
	if began := l.began.Load(); began != 0 {
		return time.Unix(0, began)
	}
	return time.Time{}
}

// fail makes a failure sticky. Only the committer calls it, once.
func (l *Ledger) fail(cause error) error {
	err := fmt.Errorf("ledger %s: %w: %w; what the disk holds is unknown: stop, repair the cause, start again", l.path, ErrFailed, cause)
	l.failure.Store(&err)
	close(l.failed)
	return err
}

// Freeze writes a batch's content to a segment, without copying it, in the caller's
// goroutine: bytes that hold so many rows, in whatever encoding the caller likes.
// They become durable with the Bind that carries the payload; a payload that no Bind
// carried must be given to Release. The content is not kept.
//
// An error is not sticky: a full disk, for instance, refuses this batch alone.
func (l *Ledger) Freeze(content []byte, rows int64) (Payload, error) {
	if err := l.Err(); err != nil {
		return Payload{}, err
	}
	p, err := l.segments.put(content, rows)
	if err != nil {
		return Payload{}, fmt.Errorf("ledger %s: freeze %d rows: %w", l.path, rows, err)
	}
	return p, nil
}

// Release gives up a payload that no Bind carried, or whose Bind was refused.
func (l *Ledger) Release(p Payload) { l.segments.release(p) }

// Frozen reads the content of a batch, all of it also when the intent is for a
// part. It is the caller's. It returns ErrCorrupt when the segment doesn't hold
// it. The payload must be that of an open intent, or one that is held.
func (l *Ledger) Frozen(p Payload) ([]byte, error) {
	content, _, err := l.segments.get(p)
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", l.path, err)
	}
	return content, nil
}

// Close commits what was submitted, waits for all calls back, and closes the
// files. Writes submitted later are refused with ErrClosed. It returns the failure
// of a ledger that has failed, and the same again when it is called again.
func (l *Ledger) Close() error {
	l.closing.Do(func() {
		l.queue.close(fmt.Errorf("ledger %s: %w", l.path, ErrClosed))
		l.ended.Wait()
		l.closed = errors.Join(l.Err(), l.settleMeta(), l.segments.close(), l.closeBolt())
	})
	return l.closed
}

// settleMeta commits once more, without a change, so that both of bbolt's meta
// pages describe the same ledger: damage to one of them while the ledger is closed
// does not silently bring back the state before the last commit.
func (l *Ledger) settleMeta() (err error) {
	if l.readOnly || l.Err() != nil {
		return nil
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, cause)
		}
	}()
	return l.db.Update(func(*bbolt.Tx) error { return nil })
}

func (l *Ledger) closeBolt() error {
	if l.wedged {
		return l.file.Close() // db.Close would wait for the lost lock
	}
	return l.db.Close()
}
