package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/zeebo/xxh3"
)

// ErrChanged says that a file is not the one that the ledger knows.
var ErrChanged = errors.New("not the file that the ledger knows")

// File reads one path forward, row by row, and knows its position. Close it.
type File struct {
	stream *stream
	pos    Position // but for Sum
	sum    xxh3.Hasher
	next   []byte // the line that Peek returned, not yet part of pos; nil: none
}

// Check says whether path can be loaded: an existing regular file, or standard input. It returns the size in bytes as
// it is stored, or -1 when that isn't known.
func Check(path string) (int64, error) {
	if path == Stdin {
		return -1, nil
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return 0, err // names the path
	case !info.Mode().IsRegular():
		return 0, fmt.Errorf("%s: not a regular file, so it can't be read twice; pipe it to standard input and give - instead", path)
	}
	return info.Size(), nil
}

// Open opens path at its start. What is read of it (compressed bytes) is added to consumed, if that isn't nil.
func Open(path string, consumed *atomic.Int64) (*File, error) {
	s, err := openStream(path, consumed)
	if err != nil {
		return nil, err
	}
	f := &File{stream: s}
	f.sum.Reset()
	return f, nil
}

// Close closes the file.
func (f *File) Close() { f.stream.close() }

// Position is where reading stands: after the last row that was taken with Advance, and after any blank lines that Peek
// passed.
func (f *File) Position() Position {
	p := f.pos
	p.Sum = f.sum.Sum128().Bytes()
	return p
}

// Skip goes from the start to a position that this package gave for the same file earlier, and verifies every byte
// before it. The error wraps ErrChanged when the file is another one now.
func (f *File) Skip(ctx context.Context, to Position) error {
	name := Name(f.stream.path)
	for left := to.Offset; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunk, err := f.stream.br.Peek(int(min(left, blockSize)))
		if len(chunk) == 0 {
			if err == io.EOF {
				return fmt.Errorf("%s is %w: it ends after %d bytes, but %d were loaded (%s)",
					name, ErrChanged, to.Offset-left, to.Offset, plural.Of(to.Lines, "line", "lines"))
			}
			return f.stream.readError(err)
		}
		f.sum.Write(chunk)
		left -= int64(len(chunk))
		if _, err := f.stream.br.Discard(len(chunk)); err != nil {
			return f.stream.readError(err)
		}
	}
	if to.Offset > 0 && f.sum.Sum128().Bytes() != to.Sum {
		return fmt.Errorf("%s is %w: its first %d bytes (%s), which were loaded, have changed",
			name, ErrChanged, to.Offset, plural.Of(to.Lines, "line", "lines"))
	}
	f.pos = to
	if !to.Cut {
		return nil
	}
	if more, _ := f.stream.br.Peek(2); len(more) > 0 && more[0] != '\n' && string(more) != "\r\n" {
		return fmt.Errorf("%s is %w: line %d, which was loaded without a newline at its end, goes on now",
			name, ErrChanged, to.Lines)
	}
	return nil
}

// Peek returns the next row's line without taking it, passing blank lines. The line keeps its newline and is valid
// until Advance and another Peek. At the end it returns io.EOF.
func (f *File) Peek() ([]byte, error) {
	for f.next == nil {
		line, err := f.stream.line(f.pos.Lines + 1)
		if err != nil {
			return nil, err
		}
		f.next = line
		if f.pos.Cut && line[len(line)-1] == '\n' && blank(line) {
			f.pos.Lines-- // the newline that was missing: the same line
		}
		if blank(line) {
			f.take()
		}
	}
	return f.next, nil
}

// Advance takes the row that Peek returned: Position is after it now.
func (f *File) Advance() {
	f.take()
	f.pos.Rows++
}

// Line is the number of the line that Peek returned, counted from 1.
func (f *File) Line() int64 { return f.pos.Lines + 1 }

func (f *File) take() {
	f.sum.Write(f.next)
	f.pos.Offset += int64(len(f.next))
	f.pos.Lines++
	f.pos.Cut = f.next[len(f.next)-1] != '\n'
	f.next = nil
}

// Where is file and line that Peek returned, for people.
func (f *File) Where() string { return Where(f.stream.path, f.Line()) }

// Name is the file as messages call it.
func (f *File) Name() string { return Name(f.stream.path) }
