package tail

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"
)

// line is called for each line that isn't blank, as lines.Again.Add.
type line func(line []byte, unfit *lines.Unfit, where func() string)

// Again reads the lines between two positions of one batch a second time, from wherever the file is now. Calls come
// one after another; ranges in ascending order cost one pass over a compressed file. It may be called while the owner
// uses the Log.
func (l *Log) Again(before, after source.LogPosition, add line) error {
	from := before.Offset
	if before.File != after.File {
		from = 0 // a batch is of one file, and the first of a file begins with it
	}
	f, err := l.holding(after)
	if err != nil {
		return err
	}
	at := seen{offset: from, head: f.known.head[:min(from, headSize)], joint: make([]byte, min(from, jointSize))}
	if err := readFull(f.content(), at.joint, from-int64(len(at.joint))); err != nil {
		return err
	}
	r := reader{name: l.path, r: f.content(), seen: at.clone(), end: after.Offset, final: true}
	for {
		text, err := r.Peek()
		unfit := (*lines.Unfit)(nil)
		if err == io.EOF {
			break
		}
		if err != nil && !errors.As(err, &unfit) {
			return err
		}
		add(text, unfit, r.Where)
		r.Advance()
	}
	if r.seen.offset != after.Offset || xxh3.Hash128(r.seen.joint).Bytes() != after.Joint {
		return fmt.Errorf("%s is %w: it doesn't have any more what was read of it", source.Name(f.path), source.ErrChanged)
	}
	return nil
}

// holding returns the file of a position, open for Again.
func (l *Log) holding(p source.LogPosition) (*file, error) {
	if l.again == nil || l.again.number != p.File {
		l.EndAgain()
		f, err := l.reopen(p)
		if err != nil {
			return nil, err
		}
		l.again = f
	}
	f := l.again
	if n := min(p.Offset, headSize); f.known.offset < n {
		s, err := load(f.content(), n)
		if err != nil {
			return nil, err
		}
		f.known = s
	}
	return f, nil
}

// reopen opens the file of a position: one of the chain, which may have no name any more, or wherever it is.
func (l *Log) reopen(p source.LogPosition) (*file, error) {
	if f, err := l.share(p); f != nil || err != nil {
		return f, err
	}
	dir, err := list(l.path, p.Inode)
	if err != nil {
		return nil, err
	}
	f, _, err := dir.find(l.path, p, func(fs.FileInfo) bool { return false }, l.now())
	switch {
	case err != nil:
		return nil, err
	case f == nil:
		return nil, fmt.Errorf("%s: rows up to byte %d of a file that was written to last at %s or later are needed again, and neither the log nor a rotated one beside it has them: bring the file back, under a rotated name",
			source.Name(l.path), p.Offset, time.Unix(0, p.Written).UTC().Format(time.RFC3339))
	}
	return f, nil
}

// share opens a plain file of the chain once more by its descriptor, if it has what is before the position.
func (l *Log) share(p source.LogPosition) (*file, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		if f.number != p.File || f.gz != nil || f.over {
			continue
		}
		if _, isThere, err := at(f.f, p); err != nil || !isThere {
			return nil, err
		}
		d, err := duplicate(f.f)
		if err != nil {
			return nil, err
		}
		return &file{number: p.File, path: f.path, f: d}, nil
	}
	return nil, nil
}

// EndAgain closes the file that Again has open. Not while that is called.
func (l *Log) EndAgain() {
	if l.again != nil {
		l.again.close()
		l.again = nil
	}
}

// duplicate returns another descriptor of an open file. It is read at offsets only, so what they share doesn't matter.
func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source.Name(f.Name()), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
