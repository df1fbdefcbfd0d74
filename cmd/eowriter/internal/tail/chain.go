package tail

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
)

// tail is the newest file, or nil.
func (l *Log) tail() *file {
	if len(l.files) == 0 {
		return nil
	}
	return l.files[len(l.files)-1]
}

// Look finds out whether the log was rotated, and opens what is new.
func (l *Log) Look() error {
	now := l.now()
	for _, f := range l.files {
		if _, err := f.look(now); err != nil {
			return err
		}
	}
	info, err := os.Stat(l.path)
	if l.present = err == nil; err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if f := l.tail(); f != nil && f.gz == nil && !f.over {
		if isThere, err := l.intact(f); err != nil || isThere && l.present && os.SameFile(f.info, info) {
			return err
		}
	}
	if len(l.files) >= maxFiles {
		return nil // when some of them have landed
	}
	return l.extend()
}

// intact says whether the newest file of the chain still has what was seen of it, and what was read of that. If not, it is not
// the newest any more.
func (l *Log) intact(f *file) (bool, error) {
	now := stamp{f.number, f.size, f.written}
	if l.checked == now {
		return true, nil
	}
	isThere, err := f.known.in(f.f)
	if isThere && f == l.reading() {
		isThere, err = l.seen.in(f.f)
	}
	switch {
	case err != nil:
		return false, err
	case !isThere:
		at := f.known
		if f == l.reading() && l.seen.offset > 0 {
			at = l.seen
		}
		return false, l.cut(f, at.position(f))
	}
	l.checked = now
	return true, f.learn()
}

// extend opens the files behind the newest of the chain, up to the live one, if there is one.
func (l *Log) extend() error {
	now := l.now()
	live, err := openFile(l.path, now)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	defer func() {
		if live != nil {
			live.close()
		}
	}()
	after, err := l.newer(live)
	if err != nil {
		return err
	}
	files, number, read := l.files, l.last.File, time.Unix(0, l.last.Written)
	if f := l.tail(); f != nil {
		number, read = f.number, f.read
	}
	for n, p := range after {
		f := live
		if f == nil || !os.SameFile(p.info, f.info) {
			if f, err = openFile(p.path, now); err == nil && !os.SameFile(f.info, p.info) {
				f.close()
				err = fs.ErrNotExist // it was rotated once more meanwhile
			}
		}
		if err == nil && len(files) < maxFiles {
			err = f.learn()
			if f.gz != nil {
				f.read = read // at least: its own time may be when it was compressed
			}
			number++
			f.number, read = number, f.read
			files = append(files, f)
		} else if err == nil {
			f.close()
		}
		if f == live {
			live = nil
		}
		if err != nil || n+1 < len(after) && len(files) >= maxFiles {
			break // the rest at the next look
		}
	}
	l.set(files)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// newer returns where the files are that come behind the newest of the chain, the live one among them, if there is one.
func (l *Log) newer(live *file) ([]place, error) {
	inode := l.last.Inode
	if f := l.tail(); f != nil {
		inode = f.inode
	}
	dir, err := list(l.path, inode)
	if err != nil {
		return nil, err
	}
	index, exact, written, err := l.locate(&dir)
	if err != nil {
		return nil, err
	}
	if !exact {
		index = dir.since(index, written)
	}
	var fresh []place
	for _, one := range dir.files[index+1:] {
		if !l.has(one.info) {
			fresh = append(fresh, one)
		}
	}
	if live != nil && dir.index(live.info) < 0 {
		fresh = append(fresh, place{rotated{path: l.path}, live.info})
	}
	return fresh, nil
}

// locate returns where the newest file of the chain is that is found in the listing, or -1; whether that is the newest of
// all; and if not, when that was last written to.
func (l *Log) locate(dir *listing) (index int, exact bool, written time.Time, err error) {
	index, at, err := l.before(dir, len(l.files))
	newest := l.tail()
	switch {
	case newest == nil:
		return index, index >= 0, time.Unix(0, l.last.Written), err
	case newest.over || newest.gz != nil:
		written = newest.read // its own time is that of something else
	default:
		written = newest.written
	}
	return index, index >= 0 && at == len(l.files)-1, written, err
}

// before returns where in the listing the newest of the first n files of the chain is, or what was before them, and which it
// is, or -1.
func (l *Log) before(dir *listing, n int) (index, at int, err error) {
	for at := n - 1; at >= 0; at-- {
		f := l.files[at]
		if f.over {
			continue // what has its name is another one
		}
		if index := dir.index(f.info); index >= 0 {
			return index, at, nil
		}
		if s, unread := f.all(); unread == nil {
			if index, err := l.search(dir, s.position(f)); index >= 0 || err != nil {
				return index, at, err
			}
		}
	}
	if len(l.files) > 0 && l.last.File >= l.files[0].number {
		return -1, -1, nil // that is one of them
	}
	index, err = l.search(dir, l.last)
	return index, -1, err
}

// search looks for a file by its content, and returns where it is in the listing, or -1.
func (l *Log) search(dir *listing, p source.LogPosition) (int, error) {
	if p.Offset == 0 {
		return -1, nil
	}
	// The live file may have the same beginning, and is another one: it is not in the listing.
	f, index, err := dir.find(l.path, p, l.has, l.now())
	if f != nil {
		f.close()
	}
	return index, err
}

// has says whether a file is in the chain.
func (l *Log) has(info fs.FileInfo) bool {
	for _, f := range l.files {
		if !f.over && os.SameFile(f.info, info) {
			return true
		}
	}
	return false
}

func (l *Log) swap(f, by *file) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.swap(by)
}

// cut goes on when a file doesn't have any more what was read up to p: it was truncated, and there is a copy of it, or what it
// had behind that is lost.
func (l *Log) cut(f *file, p source.LogPosition) error {
	dir, err := list(l.path, 0)
	if err != nil {
		return err
	}
	before, _, err := l.before(&dir, slices.Index(l.files, f))
	if err != nil {
		return err
	}
	copied, _, err := dir.find(l.path, p, func(info fs.FileInfo) bool {
		index := dir.index(info)
		return l.has(info) || index >= 0 && index <= before
	}, l.now())
	if err != nil {
		return err
	}
	reading := f == l.reading()
	if copied != nil {
		s := copied.known
		l.swap(f, copied)
		if f.known = s; reading && l.seen.offset > 0 {
			l.seen = s
		}
		return nil
	}
	unread := int64(0)
	if reading {
		unread = l.seen.offset
	}
	l.lost(Loss{Bytes: max(0, f.size-unread), What: "the log was truncated, and no copy beside it has what was not read"})
	l.mu.Lock()
	f.over = true
	l.mu.Unlock()
	if f.size = unread; reading {
		l.leave(f)
	}
	return nil
}

func (l *Log) set(files []*file) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = files
}
