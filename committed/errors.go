package committed

import (
	"errors"
	"fmt"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
)

// What a partition can stop with, to branch on with errors.Is. In each case the
// ledger keeps everything, and nothing is sent any more.
//
// ErrConflict, ErrFenced and ErrInDoubt are marked in the ledger before anybody is
// told: each later start ends with the same, until a person has looked and cleared
// the mark with `eowriter ledger resolve` (Ledger.Resolve). The others may be tried again.
var (
	// ErrConflict: somebody else wrote to the partition's stream, or the service
	// lost rows. Find the other writer; then resolve.
	ErrConflict = errors.New("conflict: the stream does not hold what the ledger says")
	// ErrFenced: another owner took the partition over and finalized the stream.
	ErrFenced = errors.New("fenced: another owner took the partition over")
	// ErrInDoubt: the stream is gone and with it the answer whether open batches landed.
	ErrInDoubt = errors.New("in doubt: the stream is gone while batches were open")
	// ErrBlocked: the service refuses for a reason that only a person can mend:
	// permission, a missing table, a wrong schema. Mend it and open the partition again.
	ErrBlocked = errors.New("blocked: the service refuses")
	// ErrRefused: the service refuses rows of a batch.
	ErrRefused = errors.New("refused: the service does not take these rows")
	// ErrChanged: the source did not give the rows again that the ledger is bound to.
	ErrChanged = errors.New("changed: the source no longer gives the rows that were bound")
	// ErrSource: the rows of an open batch are needed again, and PartitionConfig.Replay
	// failed, or the ledger's own copy can't be read. Open the partition again when it can.
	ErrSource = errors.New("source: the rows that were bound can't be read again")
	// ErrUnknown: whether the batch has landed is not known now; the next start
	// finds out. The ledger failed, or the writer was closed.
	ErrUnknown = errors.New("unknown: the next start finds out what landed")
	// ErrRetired: the partition was retired.
	ErrRetired = errors.New("retired")
)

// What a call is refused with; nothing was bound.
var (
	ErrClosed     = errors.New("writer closed")
	ErrOpen       = errors.New("partition is open already")
	ErrEmpty      = errors.New("batch has no rows")
	ErrTooLarge   = errors.New("batch is too large for one append")
	ErrOutOfOrder = errors.New("batch does not start at the partition's position")
	// ErrTooManyDead: the batch's dead rows are more than PartitionConfig.MaxDead allows.
	ErrTooManyDead = errors.New("too many dead letters")
	// ErrUndelivered: dead letters wait in the ledger, so the partition can't be retired.
	ErrUndelivered = errors.New("dead letters wait to be delivered")
)

// Error is why a partition stopped, in facts. errors.Is finds the sentinels above,
// errors.As the cause.
type Error struct {
	Key    ledger.Key
	Epoch  uint64
	Stream string
	Offset int64 // where in the stream it was noticed
	Class  retry.Class
	Kind   error  // one of the sentinels
	Detail string // what was seen
	Err    error  // what the service, the ledger or the source said, or nil
}

// Error says what happened to which partition, and what to do next.
func (e *Error) Error() string {
	s := fmt.Sprintf("partition %q of %s: %v: %s", e.Key.Name, e.Key.Table, e.Kind, e.Detail)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if a := advice[e.Kind]; a != "" {
		s += " (" + a + ")"
	}
	return s
}

// Unwrap returns the sentinel and, if there is one, the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

var kinds = map[recovery.Verdict]error{
	recovery.Conflict: ErrConflict,
	recovery.Fenced:   ErrFenced,
	recovery.InDoubt:  ErrInDoubt,
	recovery.Blocked:  ErrBlocked,
	recovery.Refused:  ErrRefused,
	recovery.Changed:  ErrChanged,
	recovery.Unknown:  ErrUnknown,
	recovery.Done:     ErrRetired,
}

var advice = map[error]string{
	ErrConflict: "nothing was sent since; find out who else writes to this stream: another process, or an older copy of the ledger; then `eowriter ledger resolve`",
	ErrFenced:   "this ledger is the older copy: go on with the newer one; if there is none, docs/operating.md says how to go on without",
	ErrInDoubt:  "look for the open batches in the table, see `eowriter ledger show`; then `eowriter ledger resolve` with --landed or --not-landed",
	ErrBlocked:  "mend it and start again: everything is kept",
	ErrRefused:  "mend the data or the table and start again: everything is kept; or have the batch skipped: `eowriter ledger skip`",
	ErrSource:   "see that the source can be read, and start again: everything is kept",
	ErrChanged:  "give the writer the source as it was, or retire the partition",
	ErrUnknown:  "start again: the ledger and the service know",
}

func stopError(key ledger.Key, c *recovery.Cause) error {
	kind := kinds[c.Verdict]
	switch {
	case c.Verdict != recovery.Changed || errors.Is(c.Err, ErrChanged):
	case errors.Is(c.Err, ErrTooManyDead):
		kind = ErrRefused
	default:
		kind = ErrSource
	}
	return &Error{
		Key: key, Epoch: c.Epoch, Stream: c.Stream, Offset: c.Offset,
		Class: c.Class, Kind: kind, Detail: c.Detail, Err: c.Err,
	}
}
