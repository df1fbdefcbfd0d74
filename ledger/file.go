package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// noFollow has a symbolic link refused instead of followed.
const noFollow = unix.O_NOFOLLOW

// lockWait bounds how long opening waits for another process to let go.
const lockWait = 900 * time.Millisecond

// boltOptions are those of every opening. f was opened and locked by us; bbolt
// locks it again, which changes nothing, and closes it.
func boltOptions(f *os.File, readOnly bool) *bbolt.Options {
	return &bbolt.Options{
		Timeout:         lockWait, // 0 would wait for ever
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: 64 << 20,
		MaxSize:         MaxFile,
		ReadOnly:        readOnly,
		OpenFile:        func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	}
}

// openFile opens and locks the file at path, and makes it first when there is
// none. What it returns is the file that the path names: the lock alone would not
// notice one that was replaced meanwhile.
func openFile(path string, readOnly bool) (*os.File, os.FileInfo, error) {
	for range 5 {
		named, err := os.Lstat(path)
		if errors.Is(err, os.ErrNotExist) && !readOnly {
			if err := checkDeleted(path); err != nil {
				return nil, nil, err
			}
			if err := create(path); err != nil {
				return nil, nil, fmt.Errorf("create ledger %s: %w", path, err)
			}
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("open ledger: %w", err)
		}
		if !named.Mode().IsRegular() {
			return nil, nil, fmt.Errorf("open ledger %s: it is a %v, not a plain file: name the file itself", path, named.Mode().Type())
		}
		f, info, err := lockFile(path, readOnly)
		if f != nil || err != nil {
			return f, info, err
		}
	}
	return nil, nil, fmt.Errorf("open ledger %s: it is replaced again and again: find out by whom", path)
}

// checkDeleted refuses to make a ledger where the companion file shows that there was
// one: a new ledger knows no stream to ask, so all of its source would land again. The
// ledger is always made first, so no crash leaves the companion alone.
func checkDeleted(path string) error {
	if _, err := os.Lstat(companionPath(path)); err != nil {
		return nil
	}
	if _, err := os.Lstat(path); err == nil {
		return nil // made by somebody else in this moment
	}
	return fmt.Errorf("open ledger %s: %w: %s shows that it was there, and what it knew can't be had otherwise. "+
		"Put it back; or, if its rows may all land again, remove %[3]s to begin anew", path, ErrDeleted, companionPath(path))
}

// lockFile returns no file when the path named another one after locking.
func lockFile(path string, readOnly bool) (_ *os.File, info os.FileInfo, err error) {
	flag, how := os.O_RDWR, unix.LOCK_EX
	if readOnly {
		flag, how = os.O_RDONLY, unix.LOCK_SH
	}
	f, err := os.OpenFile(path, flag|noFollow, 0)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil, nil
		}
		return nil, nil, fmt.Errorf("open ledger: %w", err)
	}
	keep := false
	defer func() {
		if !keep {
			f.Close()
		}
	}()
	if info, err = f.Stat(); err != nil {
		return nil, nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := checkMode(path, info, 0o600); err != nil {
		return nil, nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := flock(f, how); err != nil {
		return nil, nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	if named, err := os.Lstat(path); err != nil || !os.SameFile(named, info) {
		return nil, nil, nil
	}
	if info, err = f.Stat(); err != nil { // its size, now that nobody else writes
		return nil, nil, fmt.Errorf("open ledger: %w", err)
	}
	keep = true
	return f, info, nil
}

func flock(f *os.File, how int) error {
	for deadline := time.Now().Add(lockWait); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("lock: %w", err)
		case time.Now().After(deadline):
			return fmt.Errorf("%w: stop the other process first, or use another file", ErrInUse)
		}
	}
}

// checkMode refuses what others can read or write, or own: the ledger may hold
// customers' rows.
func checkMode(path string, info os.FileInfo, want os.FileMode) error {
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("others can read or write %s (mode %04o): run chmod %o %s", path, info.Mode().Perm(), want, path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d: run as that user, or change its owner", path, st.Uid)
	}
	return nil
}

// create makes an empty ledger and gives it its name only when it is whole and on
// disk: bbolt faults on a file whose making was interrupted. A crash leaves a file
// path.new-*, for removeDead. The name is given by linking, which fails where
// renaming would replace a ledger that another process made meanwhile.
func create(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	db, err := bbolt.Open(f.Name(), 0o600, boltOptions(f, false))
	if err != nil {
		f.Close()
		return err
	}
	err = db.Update(fill)
	if err == nil {
		// Once more, so that both of bbolt's meta pages describe a whole ledger.
		err = db.Update(func(*bbolt.Tx) error { return nil })
	}
	if err == nil { // still locked, so that nobody takes the file for a dead one's
		if err = os.Link(f.Name(), path); errors.Is(err, os.ErrExist) {
			err = nil
		}
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// removeDead removes what processes that were killed left beside the ledger: files that create or Compact was making.
// The caller has the ledger locked, so nobody compacts it. But somebody may be making a ledger, not knowing yet that there
// is one: it has its file locked from before there is something in it. What can't be removed stays.
func removeDead(path string, ledger os.FileInfo) {
	dir, prefix := filepath.Dir(path), filepath.Base(path)+".new-"
	names, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range names {
		number, found := strings.CutPrefix(e.Name(), prefix)
		if found && number != "" && strings.Trim(number, "0123456789") == "" && e.Type().IsRegular() {
			removeIfDead(filepath.Join(dir, e.Name()), ledger)
		}
	}
}

func removeIfDead(name string, ledger os.FileInfo) {
	f, err := os.OpenFile(name, os.O_RDWR|noFollow, 0)
	if err != nil {
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return
	}
	// A second name of the ledger itself, which create didn't live to remove, or a file that nobody has locked.
	if os.SameFile(info, ledger) || unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		_ = os.Remove(name)
	}
}

// fill writes what an empty ledger holds.
func fill(tx *bbolt.Tx) error {
	for _, name := range [][]byte{headBucket, partitionBucket, intentBucket, schemaBucket, retiredBucket, letterBucket} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	b := tx.Bucket(headBucket)
	if err := b.Put(formatKey, appendFormat(nil, format)); err != nil {
		return err
	}
	return b.Put(headKey, appendHead(nil, &head{ID: random()}))
}
