package ledger

import (
	"errors"
	"fmt"
)

// Sentinels to branch on. Errors that wrap them name the ledger's path and say
// what to do next.
var (
	// ErrInUse says that another process, or another Ledger of this one, has the file.
	ErrInUse = errors.New("ledger is in use")

	// ErrCorrupt says that bytes are not what was written: the file was truncated,
	// damaged, or is no ledger.
	ErrCorrupt = errors.New("ledger is damaged")

	// ErrDeleted says that there is no ledger any more where there was one: it was
	// deleted, or moved without its companion file.
	ErrDeleted = errors.New("ledger is gone")

	// ErrNewer says that the file was written in a format that this program does
	// not know yet.
	ErrNewer = errors.New("ledger has a newer format")

	// ErrFailed says that a commit or a sync failed (invariant 7). What the disk
	// holds is unknown until the ledger is opened again.
	ErrFailed = errors.New("ledger failed")

	// ErrClosed says that the ledger was closed, or takes no writes because it was
	// opened for reading only.
	ErrClosed = errors.New("ledger is closed")

	// ErrNoPartition says that the ledger knows no such partition.
	ErrNoPartition = errors.New("no such partition")
)

// InvariantError says that a write was refused because it would break an
// invariant: the caller is wrong about the partition's state. Nothing was changed.
type InvariantError struct {
	Op     string // the method that was refused
	Key    Key    // zero when the ID is unknown
	ID     ID     // zero when the key is unknown
	Epoch  uint64 // what the caller said
	Detail string
}

func (e *InvariantError) Error() string {
	return fmt.Sprintf("ledger: %s refused for partition %q of %s (id %d, epoch %d): %s",
		e.Op, e.Key.Name, e.Key.Table, e.ID, e.Epoch, e.Detail)
}

// A Violation is one way in which a ledger breaks an invariant.
type Violation struct {
	Key  Key // zero when it concerns no partition, or one that can't be read
	Text string
}

func (v Violation) String() string {
	if v.Key == (Key{}) {
		return v.Text
	}
	return fmt.Sprintf("partition %q of %s: %s", v.Key.Name, v.Key.Table, v.Text)
}
