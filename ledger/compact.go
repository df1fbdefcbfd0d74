package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/zeebo/xxh3"
	"go.etcd.io/bbolt"
)

// Size is the room that a ledger takes on the disk, in bytes. Holes of the file don't count.
type Size struct {
	File, Used             int64 // the file, and its pages that hold something
	Segments, FreeSegments int64 // the segments, and those among them that no open batch needs
}

// diskBytes is the room that a file takes on the disk.
func diskBytes(info os.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// Size returns the room that the ledger takes.
func (l *Ledger) Size() (Size, error) {
	info, err := l.file.Stat()
	if err != nil {
		return Size{}, fmt.Errorf("ledger %s: %w", l.path, err)
	}
	s := Size{File: diskBytes(info), Used: l.used}
	if !l.readOnly { // it has changed since
		if err := l.view(func(tx *bbolt.Tx) error { s.Used = usedBytes(tx); return nil }); err != nil {
			return Size{}, err
		}
	}
	if s.Segments, s.FreeSegments, err = l.segments.sizes(); err != nil {
		return Size{}, fmt.Errorf("ledger %s: %w", l.path, err)
	}
	return s, nil
}

// usedBytes is what the pages take that hold something.
func usedBytes(tx *bbolt.Tx) int64 {
	free := tx.DB().Stats()
	return tx.Size() - int64((free.FreePageN+free.PendingPageN)*tx.DB().Info().PageSize)
}

// Compact makes the ledger at path as small as what it holds: bbolt's files never shrink by
// themselves. The file is replaced by a copy, so nobody may have the ledger open (ErrInUse).
//
// The copy has another inode, and would be taken for a ledger that was moved. So it gets an
// identity of its own, and with it every partition that was not suspicious before; those that were
// stay so. The steps, each of which a crash may follow:
//
//	C1 the ledger is opened: an incarnation like any other
//	C2 a copy with all records is made beside it
//	C3 the copy gets its identity, in its head and as the owner of partitions and seals; it is on disk
//	C4 it takes the ledger's name, which is on disk
//	C5 the companion file has the copy's incarnation
//	C6 segments that no open batch needs are removed
//
// Up to C4 the old file is the ledger, and the copy a file that the next Open removes (L.new-*). From C4 on the copy
// is. It is locked until C6, so that nobody opens it before, and freezes rows in a segment that is about to be
// removed. From C5 on the companion file doesn't fit the old file any more: whoever brings that back, by whatever
// name, has a suspicious ledger, which takes over nothing that was written since.
func Compact(path string) (before, after Size, err error) {
	return compact(path, func(string) {})
}

// compact tells step of each step that is done.
func compact(path string, step func(string)) (before, after Size, err error) {
	if before, err = sizeOf(path); err != nil { // Open would make a ledger, and removes segments
		return before, after, err
	}
	l, err := Open(path, nil)
	if err != nil {
		return before, after, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	step("C1")
	if after.Used, err = l.replace(step); err != nil {
		return before, after, fmt.Errorf("compact ledger %s: %w", l.path, err)
	}
	info, err := os.Stat(l.path)
	if err != nil {
		return before, after, fmt.Errorf("compact ledger %s: %w", l.path, err)
	}
	after.File = diskBytes(info)
	after.Segments, after.FreeSegments, err = l.segments.sizes()
	return before, after, err
}

func sizeOf(path string) (s Size, err error) {
	l, err := OpenReadOnly(path)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return l.Size()
}

// replace puts a copy in the place of the ledger's file, and removes what it does not need (C2 to C6). It
// returns how many of its bytes are in use.
func (l *Ledger) replace(step func(string)) (used int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(l.path), filepath.Base(l.path)+".new-*") // mode 0600
	if err != nil {
		return 0, err
	}
	named := false
	defer func() {
		if !named {
			os.Remove(f.Name())
		}
	}()
	db, err := bbolt.Open(f.Name(), 0o600, boltOptions(f, false)) // locks it
	if err != nil {
		return 0, errors.Join(err, f.Close())
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := l.copyTo(db); err != nil {
		return 0, err
	}
	step("C2")
	h, err := l.settleIn(db, f)
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if used, err = checkPages(f, info.Size()); err != nil {
		return 0, err
	}
	step("C3")
	if err := os.Rename(f.Name(), l.path); err != nil {
		return 0, err
	}
	named = true
	if err := syncFolder(filepath.Dir(l.path)); err != nil {
		return 0, err
	}
	step("C4")
	if err := writeCompanion(l.path, h.ID, h.Incarnation); err != nil {
		return 0, err
	}
	step("C5")
	if err := l.segments.trim(); err != nil {
		return 0, fmt.Errorf("remove free segments: %w", err)
	}
	step("C6")
	return used, nil
}

// copyTo copies all records, and sees that they are there.
func (l *Ledger) copyTo(db *bbolt.DB) error {
	if err := bbolt.Compact(db, l.db, 16<<20); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	want, err := sumOf(l.db)
	if err != nil {
		return err
	}
	got, err := sumOf(db)
	if err == nil && got != want {
		err = fmt.Errorf("%w: the copy does not hold what the ledger does", ErrCorrupt)
	}
	return err
}

// settleIn makes the copy in f a ledger in a place of its own, durably.
func (l *Ledger) settleIn(db *bbolt.DB, f *os.File) (head, error) {
	info, err := f.Stat()
	if err != nil {
		return head{}, err
	}
	h := l.head
	h.Incarnation++ // one ahead of the companion file, as after any opening that was cut short
	h.Identity = placeOf(info)
	h.Identity.Nonce = random()
	err = db.Update(func(tx *bbolt.Tx) error {
		c, err := readContents(tx)
		if err != nil {
			return err
		}
		for _, p := range c.partitions {
			if err := putOwner(tx, p, l.identity, h.Identity); err != nil {
				return err
			}
		}
		return tx.Bucket(headBucket).Put(headKey, appendHead(nil, &h))
	})
	if err == nil {
		// Once more, so that both of bbolt's meta pages describe a whole ledger.
		err = db.Update(func(*bbolt.Tx) error { return nil })
	}
	if err != nil {
		return head{}, fmt.Errorf("write the identity: %w", err)
	}
	return h, f.Sync()
}

// putOwner gives a partition that has one owner, and a seal by it, to another.
func putOwner(tx *bbolt.Tx, p *partition, from, to Identity) error {
	r := p.record
	if r.Owner == from {
		r.Owner = to
	}
	if r.Seal != nil && r.Seal.Owner == from {
		s := *r.Seal
		s.Owner = to
		r.Seal = &s
	}
	record := appendPartition(nil, p.key, &r)
	b := tx.Bucket(partitionBucket)
	if bytes.Equal(b.Get(p.key), record) {
		return nil
	}
	return b.Put(p.key, record)
}

// sumOf is a checksum of all records.
func sumOf(db *bbolt.DB) (sum xxh3.Uint128, err error) {
	h := xxh3.New()
	add := func(b []byte) {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			add(name)
			return b.ForEach(func(k, v []byte) error {
				add(k)
				add(v)
				return nil
			})
		})
	})
	return h.Sum128(), err
}
