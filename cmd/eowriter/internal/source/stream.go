package source

import (
	"bufio"

	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Stdin is the path that stands for standard input.
const Stdin = "-"

// MaxLine is the longest line that is read, in bytes with its newline. BigQuery takes no row near it.
const MaxLine = 16 << 20

const blockSize = 256 << 10

// A stream is the uncompressed bytes of one path, cut into lines.
type stream struct {
	path string
	file *os.File // nil: standard input
	zstd *zstd.Decoder
	raw  bool // not compressed: file may be sought in
	br   *bufio.Reader
	long []byte // a line that is longer than br's buffer
}

// openStream opens path. What is read of the file itself, compressed bytes, is added to consumed if it isn't nil.
func openStream(path string, consumed *atomic.Int64) (*stream, error) {
	s := &stream{path: path}
	var in io.Reader = os.Stdin
	if path != Stdin {
		f, err := os.Open(path)
		if err != nil {
			return nil, err // names the path
		}
		s.file, in = f, f
	}
	if consumed != nil {
		in = &countingReader{in, consumed}
	}
	r, err := s.decompress(in)
	if err != nil {
		s.close()
		return nil, s.readError(err)
	}
	s.br = bufio.NewReaderSize(r, blockSize)
	return s, nil
}

func (s *stream) decompress(in io.Reader) (io.Reader, error) {
	switch {
	case s.path == Stdin:
		return in, nil
	case strings.HasSuffix(s.path, ".gz"):
		return gzip.NewReader(bufio.NewReaderSize(in, blockSize))
	case strings.HasSuffix(s.path, ".zst"):
		// One decoder goroutine a file: files are read side by side already.
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		s.zstd = d
		return d, err
	}
	s.raw = s.file != nil
	return in, nil
}

func (s *stream) close() {
	if s.zstd != nil {
		s.zstd.Close()
	}
	if s.file != nil {
		_ = s.file.Close() // read only: nothing to lose
	}
}

// readError names the path and says what a cut-off file looks like.
func (s *stream) readError(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return fmt.Errorf("%s: the compressed file ends too early: %w", Name(s.path), io.ErrUnexpectedEOF)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return err
	}
	return fmt.Errorf("%s: read: %w", Name(s.path), err)
}

// Name is a path as messages call it: fit for a terminal.
func Name(path string) string {
	if path == Stdin {
		return "standard input"
	}
	return Printable(path)
}

// Where is a line of a path as messages call it.
func Where(path string, line int64) string { return fmt.Sprintf("%s: line %d", Name(path), line) }

// line returns the next line with its newline, if it has one; it is valid until the next call. At the end it returns
// io.EOF and nothing else.
func (s *stream) line(number int64) ([]byte, error) {
	part, err := s.br.ReadSlice('\n')
	if err == nil {
		return part, nil
	}
	s.long = append(s.long[:0], part...)
	for errors.Is(err, bufio.ErrBufferFull) && len(s.long) <= MaxLine {
		part, err = s.br.ReadSlice('\n')
		s.long = append(s.long, part...)
	}
	switch {
	case len(s.long) > MaxLine:
		return nil, fmt.Errorf("%s: line %d is longer than %d MiB", Name(s.path), number, MaxLine>>20)
	case err == nil, err == io.EOF && len(s.long) > 0: // bare io.EOF: a decompressor's own is ErrUnexpectedEOF
		return s.long, nil
	case err == io.EOF:
		return nil, io.EOF
	}
	return nil, s.readError(err)
}

// jump goes forward to offset at, from the offset now, without looking at the bytes between.
func (s *stream) jump(now, at int64) error {
	if s.raw {
		if _, err := s.file.Seek(at, io.SeekStart); err != nil {
			return s.readError(err)
		}
		s.br.Reset(s.file)
		return nil
	}
	for now < at {
		n, err := s.br.Discard(int(min(at-now, 1<<30)))
		now += int64(n)
		if err != nil {
			return s.readError(err)
		}
	}
	return nil
}

type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// blank says that a line has nothing but white space in it.
func blank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}
