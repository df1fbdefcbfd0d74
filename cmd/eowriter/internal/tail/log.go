package tail

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
)

// maxFiles is how many files of one log are open at most: the one that is read, those that wait behind it, and those of
// which something has not landed.
const maxFiles = 16

// Loss is what can't be read any more.
type Loss struct {
	Bytes int64  // at least so many
	Exact bool   // and not more
	What  string // happened, for people
}

// size is how much was lost, for people.
func (l *Loss) size() string {
	switch {
	case l.Exact:
		return fmt.Sprintf("%d bytes", l.Bytes)
	case l.Bytes > 0:
		return fmt.Sprintf("at least %d bytes", l.Bytes)
	}
	return "unknown"
}

// Log is one log with its rotations: a chain of files, read one after another, each to its end. It has one owner, but
// for Again and EndAgain.
type Log struct {
	path   string
	settle time.Duration // a rotated file that nobody writes to for so long is complete
	now    func() time.Time
	lost   func(Loss)

	mu    sync.Mutex // guards files, and which file each of them is: the owner changes them, Again reads them
	files []*file    // open, by number, without gaps

	cursor  int                // index of the file that is read; len(files): none
	seen    seen               // of that file
	last    source.LogPosition // the end of the file that was left last, or where reading was resumed; Offset 0: nothing is known of its content
	present bool               // the live name has a file
	resting stamp              // of the file that is read, when it was read to its end
	checked stamp              // of the newest file, when it was found intact

	again *file // that Again has open, its own; nil: none
}

// stamp says whether a file has changed.
type stamp struct {
	number  uint64
	size    int64
	written time.Time
}

// errAgain says that something has changed, so that Fill is to be called again.
var errAgain = errors.New("the log was rotated while it was read")

// Begin begins behind a file that is complete, in place of wherever reading was: with those that were written to after it, up to
// the live one. Of a position without an offset the time counts; Live has nothing but the live file read.
func (l *Log) Begin(behind source.LogPosition) error {
	l.Close()
	l.last, l.seen, l.cursor, l.resting, l.checked = behind, seen{}, 0, stamp{}, stamp{}
	return l.Look()
}

// Live is behind all files but the live one.
var Live = source.LogPosition{Written: math.MaxInt64}

// Resume begins at a position that Fill gave, in place of wherever reading was.
func (l *Log) Resume(p source.LogPosition) error {
	l.Close()
	l.last, l.seen, l.cursor, l.resting, l.checked = p, seen{}, 0, stamp{}, stamp{}
	dir, err := list(l.path, p.Inode)
	if err != nil {
		return err
	}
	f, _, err := dir.find(l.path, p, l.has, l.now())
	if err != nil {
		return err
	}
	if f == nil {
		l.lost(Loss{What: "the file that was read last is gone or was truncated, and no rotated one beside it has what was read: what it had behind that isn't known"})
		return l.Look()
	}
	l.seen = f.known.clone()
	l.set([]*file{f})
	return l.Look()
}

// Close closes all files.
func (l *Log) Close() {
	for _, f := range l.files {
		f.close()
	}
	l.set(nil)
}

// reading is the file that is read, or nil.
func (l *Log) reading() *file {
	if l.cursor >= len(l.files) {
		return nil
	}
	return l.files[l.cursor]
}

// Fill reads on: fill takes lines, and what it has taken then is of one file, and ends at the position. At the end of what there is
// it returns io.EOF, and errAgain if nothing counts that fill has taken. memory is for the bytes of the file; what it has
// become may be given to the next Fill, of whatever log.
func (l *Log) Fill(memory []byte, fill func(lines.Source) error) (p source.LogPosition, _ []byte, err error) {
	f := l.reading()
	if f == nil {
		return p, memory, io.EOF
	}
	if f.over {
		l.leave(f)
		return p, memory, errAgain
	}
	size, err := f.look(l.now())
	if err != nil {
		return p, memory, err
	}
	written := f.written
	now := stamp{f.number, size, written}
	leaving := l.leaving(f)
	if l.resting == now && !leaving && f.gz == nil {
		return p, memory, io.EOF
	}
	r := &reader{name: l.path, r: f.content(), seen: l.seen.clone(), end: -1, final: leaving, memory: memory}
	end := fill(r)
	isThere, err := l.verify(f, r)
	switch {
	case err != nil:
		return p, r.memory, err
	case !isThere:
		if err := l.cut(f, l.where(f)); err != nil {
			return p, r.memory, err
		}
		return p, r.memory, errAgain
	}
	if r.seen.offset > l.seen.offset {
		l.seen = r.seen
		if f.gz == nil {
			f.read = written
		}
	}
	if r.rows > 0 {
		f.rows = r.rows
	}
	p = l.seen.position(f)
	if end == io.EOF {
		if l.resting = now; leaving {
			l.leave(f)
			end = errAgain
		}
	}
	return p, r.memory, end
}

// verify says whether the file still has what was read of it, before this Fill and in it: it may be truncated at any time.
func (l *Log) verify(f *file, r *reader) (bool, error) {
	if f.gz != nil {
		return true, nil
	}
	before := &l.seen
	if before.offset == 0 {
		before = &f.known
	}
	isThere, err := before.in(f.f)
	if isThere && r.seen.offset != before.offset {
		isThere, err = r.seen.in(f.f)
	}
	return isThere, err
}

// where is the position up to which the file is known.
func (l *Log) where(f *file) source.LogPosition {
	if l.seen.offset == 0 {
		return f.known.position(f)
	}
	return l.seen.position(f)
}

// leaving says that the file is complete, so that reading goes on with the next one behind its end.
func (l *Log) leaving(f *file) bool {
	if !f.quiet(l.settle, l.now()) {
		return false
	}
	if l.cursor+1 == len(l.files) {
		return !f.named
	}
	for _, next := range l.files[l.cursor+1:] {
		if next.gz != nil || next.size > 0 {
			return true // whoever writes has gone over to it
		}
	}
	return false
}

// leave goes on with the next file.
func (l *Log) leave(f *file) {
	f.left, f.end = l.now(), l.seen.offset
	l.last = l.seen.position(f)
	l.cursor++
	l.seen, l.resting = seen{}, stamp{}
	if f.size > f.end {
		l.lost(Loss{Bytes: f.size - f.end, What: "the log was truncated when that was not read, and its copy ends earlier"})
		f.size = f.end
	}
}

// Seek goes back to a position that Fill has given, or to the first file.
func (l *Log) Seek(p source.LogPosition) error {
	index := 0 // what was before the first has landed
	for n, f := range l.files {
		if f.number == p.File {
			index = n
		}
	}
	l.cursor, l.seen, l.resting = index, seen{}, stamp{}
	if len(l.files) == 0 {
		return nil
	}
	f := l.files[index]
	for _, later := range l.files[index:] {
		later.left = time.Time{}
	}
	if f.number != p.File || p.Offset == 0 {
		return nil
	}
	s, isThere, err := at(f.content(), p)
	if err != nil {
		return err
	}
	if !isThere {
		l.seen = seen{offset: p.Offset}
		return l.cut(f, p)
	}
	l.seen = s
	return nil
}

// Landed lets go of files of which everything has landed, up to p, and that were left long enough ago.
func (l *Log) Landed(p source.LogPosition) {
	drop := 0
	for _, f := range l.files[:l.cursor] {
		ahead := f.rows > 0 && p.Compare(source.LogPosition{File: f.number, Offset: f.rows}) < 0
		if ahead || l.now().Sub(f.left) < l.settle {
			break
		}
		if size, err := f.look(l.now()); err == nil && f.gz == nil && !f.over && size > f.end {
			l.lost(Loss{Bytes: size - f.end, Exact: true, What: "a rotated log was written to after it was complete"})
		}
		f.close()
		drop++
	}
	if drop > 0 {
		l.set(append([]*file(nil), l.files[drop:]...))
		l.cursor -= drop
	}
}

// Behind is how many bytes of the log are known not to be read yet, those of compressed files aside.
func (l *Log) Behind() (n int64) {
	for _, f := range l.files[l.cursor:] {
		n += f.size
	}
	return max(0, n-l.seen.offset)
}

// Unread says that there may be something to read.
func (l *Log) Unread() bool {
	for _, f := range l.files[l.cursor:] {
		if f.gz != nil || f.over || f.size > 0 && (f != l.reading() || f.size > l.seen.offset) {
			return true
		}
	}
	return false
}

// Done says that nothing is left to read, or to come: no file has the name.
func (l *Log) Done() bool { return len(l.files) == 0 && !l.present }
