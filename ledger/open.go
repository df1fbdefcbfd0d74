package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// Open opens the ledger at path for writing, and makes it when there is none. The
// file is checked whole before it is used. Every opening is a new incarnation.
//
// It returns ErrInUse within a second when somebody has the ledger, ErrDeleted when its
// companion file shows that it was there and is gone, ErrCorrupt when it is damaged,
// ErrNewer when a newer program wrote it, each wrapped with the path; and other errors
// for files that it will not touch, such as those that others can read.
func Open(path string, opt *Options) (*Ledger, error) {
	o := Options{}
	if opt != nil {
		o = *opt
	}
	if o.SegmentBytes < 0 {
		return nil, fmt.Errorf("open ledger %s: segments of %d bytes", path, o.SegmentBytes)
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	o.SegmentBytes = alignFrame(o.SegmentBytes)
	if o.hooks.commit == nil {
		o.hooks.commit = run
	}
	if o.hooks.sync == nil {
		o.hooks.sync = run
	}
	return open(path, o, false)
}

// OpenReadOnly opens the ledger at path to look at it: nothing is written, not even
// the incarnation, and the writes are refused with ErrClosed. Several readers may
// have a ledger open; a writer and a reader exclude each other with ErrInUse.
// Records are not checked before they are read, so that Check can report them all.
func OpenReadOnly(path string) (*Ledger, error) {
	return open(path, Options{}, true)
}

func open(path string, o Options, readOnly bool) (*Ledger, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	f, info, err := openFile(path, readOnly)
	if err != nil {
		return nil, err
	}
	l := &Ledger{path: path, readOnly: readOnly, file: f, hooks: o.hooks, committed: o.Committed, failed: make(chan struct{})}
	l.queue.wake = make(chan struct{}, 1)
	l.segments = &segments{dir: path + ".segments", size: o.SegmentBytes, readOnly: readOnly, frame: random()}
	if err := l.start(info); err != nil {
		err = fmt.Errorf("open ledger %s: %w", path, err)
		if l.db == nil {
			return nil, errors.Join(err, f.Close())
		}
		return nil, errors.Join(err, l.segments.close(), l.db.Close())
	}
	return l, nil
}

// start takes the locked file into use.
func (l *Ledger) start(info os.FileInfo) error {
	if !l.readOnly {
		// After a failed sync, or a crash before one, the system may show what the
		// disk does not have (invariant 7): rows, and names of files. From here on
		// they agree.
		if err := errors.Join(l.file.Sync(), syncFolder(filepath.Dir(l.path))); err != nil {
			return fmt.Errorf("sync: %w", err)
		}
	}
	var err error
	if l.used, err = checkPages(l.file, info.Size()); err != nil {
		return err
	}
	if err := l.openBolt(); err != nil {
		return err
	}
	var c *contents
	err = l.view(func(tx *bbolt.Tx) (err error) {
		c, err = readContents(tx)
		return err
	})
	if err != nil {
		return err
	}
	if l.readOnly {
		l.head, l.identity = c.head, c.head.Identity
		if l.moved, err = l.wouldMove(info); err != nil {
			return err
		}
		l.segments.ledger = l.head.ID
		l.queue.close(fmt.Errorf("ledger %s: opened for reading only: %w", l.path, ErrClosed))
		return l.segments.load(c.payloads())
	}
	if n := len(c.violations); n > 0 {
		return fmt.Errorf("%w: %v (`eowriter ledger check` lists all %d)", ErrCorrupt, c.violations[0], n)
	}
	if err := l.arrive(c, info); err != nil {
		return err
	}
	removeDead(l.path, info)
	l.segments.ledger = l.head.ID
	if err := l.segments.load(c.payloads()); err != nil {
		return err
	}
	finished := make(chan []pending)
	committer := &committer{ledger: l, mirror: c.mirror(), finished: finished}
	l.ended.Go(committer.run)
	l.ended.Go(func() { l.notify(finished) })
	return nil
}

// openBolt gives the file to bbolt, which panics on what checkPages would not know.
func (l *Ledger) openBolt() (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, cause)
		}
	}()
	l.db, err = bbolt.Open(l.path, 0o600, boltOptions(l.file, l.readOnly))
	return err
}

// arrive counts the incarnation, first in the ledger and then beside it. When the
// opening before was cut off between the two, the companion catches up first: or the
// next one that is cut off there, by a full disk for instance, left it two behind, as no
// crash does but a restored ledger. What a person said of a partition elsewhere is void.
func (l *Ledger) arrive(c *contents, info os.FileInfo) error {
	companion, found, err := readCompanion(l.path, c.head.ID)
	if err != nil {
		return err
	}
	if found && c.head.Incarnation == companion+1 {
		if err := writeCompanion(l.path, c.head.ID, c.head.Incarnation); err != nil {
			return err
		}
	}
	before := c.head.Identity
	c.head.arrive(placeOf(info), companion, found)
	l.head, l.identity = c.head, c.head.Identity
	l.moved = before != Identity{} && before != l.identity
	err = l.db.Update(func(tx *bbolt.Tx) error {
		if l.moved {
			if err := c.void(tx); err != nil {
				return err
			}
		}
		return tx.Bucket(headBucket).Put(headKey, appendHead(nil, &l.head))
	})
	if err != nil {
		return fmt.Errorf("write the incarnation: %w", err)
	}
	return writeCompanion(l.path, l.head.ID, l.head.Incarnation)
}

// wouldMove says what Moved says if the ledger were opened for writing now.
func (l *Ledger) wouldMove(info os.FileInfo) (bool, error) {
	companion, found, err := readCompanion(l.path, l.head.ID)
	if err != nil {
		return false, err
	}
	h := l.head
	h.arrive(placeOf(info), companion, found)
	return l.identity != Identity{} && h.Identity != l.identity, nil
}
