package tail

import (
	"bytes"
	"fmt"
	"io"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
)

// MaxLine is the longest line, in bytes with its newline, that can be a row. The rows of a batch depend on it.
const MaxLine = 4 << 20

const (
	chunk     = 128 << 10 // bytes that are read at once
	beginning = 4 << 10   // bytes that are kept of a line that is too long
)

// reader cuts a file into lines, from an offset on. It is a lines.Source: what it has seen ends after the line that was
// taken last, and the blank lines that Peek has passed.
type reader struct {
	name  string
	r     io.ReaderAt
	seen  seen
	end   int64 // where reading ends; -1: at the file's end
	final bool  // what is left at the end without a newline is a line

	memory  []byte // that buf is in; may be used again by the next reader
	buf     []byte // of the file, from seen.offset on
	scanned int    // bytes of buf that have no newline
	n       int64  // bytes of the line that Peek returned; 0: it has to look for one
	unfit   bool   // which is too long
	rows    int64  // where the last row ends that was taken; 0: none was
}

// Peek returns the next line.
func (r *reader) Peek() ([]byte, error) {
	for r.n == 0 {
		r.passZeros()
		if err := r.find(); err != nil {
			return nil, err
		}
		if !r.unfit && blank(r.buf[:r.n]) {
			r.take()
		}
	}
	if r.unfit {
		return r.buf[:beginning], &lines.Unfit{Reason: fmt.Sprintf(
			"the line at byte %d has %d bytes, at most %d are read: this is its beginning", r.seen.offset, r.n, MaxLine)}
	}
	return r.buf[:r.n], nil
}

// Advance takes the line that Peek returned.
func (r *reader) Advance() {
	r.take()
	r.rows = r.seen.offset
}

// Where says where the line is that Peek returned.
func (r *reader) Where() string { return where(r.name, r.seen.offset) }

func where(name string, offset int64) string {
	return fmt.Sprintf("%s: line at byte %d", source.Name(name), offset)
}

// passZeros passes the bytes that a writer leaves behind which goes on at its old offset after the file was truncated.
func (r *reader) passZeros() {
	n := 0
	for n < len(r.buf) && r.buf[n] == 0 {
		n++
	}
	if n > 0 {
		r.drop(n)
	}
}

// find looks for the next line's end.
func (r *reader) find() error {
	for {
		if i := bytes.IndexByte(r.buf[r.scanned:], '\n'); i >= 0 {
			r.n = int64(r.scanned + i + 1)
			r.unfit = r.n > MaxLine
			return nil
		}
		r.scanned = len(r.buf)
		if r.scanned > MaxLine {
			return r.findFar()
		}
		n, err := r.read(chunk)
		switch {
		case n > 0:
			r.passZerosAtStart()
		case err != io.EOF:
			return err
		case r.final && len(r.buf) > 0:
			r.n, r.unfit = int64(len(r.buf)), len(r.buf) > MaxLine
			return nil
		default:
			return io.EOF
		}
	}
}

func (r *reader) passZerosAtStart() {
	if len(r.buf) > 0 && r.buf[0] == 0 {
		r.passZeros()
	}
}

// findFar finds the end of a line that is too long to be kept.
func (r *reader) findFar() error {
	at := r.seen.offset + int64(len(r.buf))
	part := make([]byte, chunk)
	for {
		n, err := r.readAt(part, at)
		if i := bytes.IndexByte(part[:n], '\n'); i >= 0 {
			r.n, r.unfit = at+int64(i)+1-r.seen.offset, true
			return nil
		}
		at += int64(n)
		switch {
		case n > 0:
		case err != io.EOF:
			return err
		case r.final:
			r.n, r.unfit = at-r.seen.offset, true
			return nil
		default:
			return io.EOF
		}
	}
}

// read reads up to n bytes more into buf.
func (r *reader) read(n int) (int, error) {
	had := len(r.buf)
	if cap(r.buf) < had+n {
		if cap(r.memory) < had+n {
			r.memory = make([]byte, max(2*cap(r.memory), had+n))
		}
		r.buf = r.memory[:copy(r.memory[:cap(r.memory)], r.buf)]
	}
	n, err := r.readAt(r.buf[had:had+n], r.seen.offset+int64(had))
	r.buf = r.buf[:had+n]
	return n, err
}

// readAt is the file's, up to where reading ends. Without an error it has read something.
func (r *reader) readAt(b []byte, at int64) (int, error) {
	if r.end >= 0 && at+int64(len(b)) > r.end {
		b = b[:max(0, r.end-at)]
		if len(b) == 0 {
			return 0, io.EOF
		}
	}
	n, err := r.r.ReadAt(b, at)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

func (r *reader) take() {
	n := r.n
	r.n = 0
	if n <= int64(len(r.buf)) {
		r.drop(int(n))
		r.unfit = false
		return
	}
	// The line is not in memory; what of it counts is read again.
	if s, err := load(r.r, r.seen.offset+n); err == nil {
		r.seen = s
	} else {
		r.seen = seen{offset: r.seen.offset + n} // it has changed: this is noticed when the batch is verified
	}
	r.buf, r.scanned, r.unfit = r.buf[:0], 0, false
}

// drop takes n bytes of buf.
func (r *reader) drop(n int) {
	r.seen.add(r.buf[:n])
	r.buf, r.scanned = r.buf[n:], 0
}

// blank says that a line has nothing but white space in it.
func blank(line []byte) bool { return len(bytes.Trim(line, " \t\r\n")) == 0 }
