package load

import (
	"errors"
	"fmt"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"github.com/zeebo/xxh3"
)

// arena holds one batch: the encoded rows in one piece of memory, and the digest of the lines they were made of.
type arena struct {
	buf  []byte
	ends []int    // of the rows in buf
	rows [][]byte // slices of buf, made when it doesn't grow any more
	size int64    // bytes of the lines
	sum  xxh3.Hasher
}

func (b *arena) reset() {
	b.buf, b.ends, b.rows, b.size = b.buf[:0], b.ends[:0], b.rows[:0], 0
	b.sum.Reset()
}

// fill takes rows from the file until the batch has maxRows rows, or the next would make it larger than maxBytes. It
// returns io.EOF at the end, and another error for a line that is no row, which then is not taken: the batch has the
// rows before it.
func (b *arena) fill(f *source.File, enc *rows.Encoder, maxRows, maxBytes int) (end error) {
	for len(b.ends) < maxRows && end == nil {
		var line []byte
		if line, end = f.Peek(); end != nil {
			break
		}
		had := len(b.buf)
		if end = b.add(enc, line); end != nil {
			end = badRow(f.Name(), f.Line(), end)
			break
		}
		if len(b.buf) > maxBytes && len(b.ends) > 1 {
			b.buf, b.ends = b.buf[:had], b.ends[:len(b.ends)-1]
			break
		}
		b.size += int64(len(line))
		b.sum.Write(line)
		f.Advance()
	}
	b.cut()
	return end
}

func (b *arena) add(enc *rows.Encoder, line []byte) error {
	buf, err := enc.Append(b.buf, line)
	b.buf = buf
	if err == nil {
		b.ends = append(b.ends, len(buf))
	}
	return err
}

// cut makes the rows of buf.
func (b *arena) cut() {
	start := 0
	for _, end := range b.ends {
		b.rows = append(b.rows, b.buf[start:end:end])
		start = end
	}
}

// digest is over the source's own bytes: every line that isn't blank, with its newline.
func (b *arena) digest() ledger.Digest { return ledger.Digest(b.sum.Sum128().Bytes()) }

// badRow names file, line, path and reason, and leaves out the value: it is data.
func badRow(name string, line int64, err error) error {
	var bad *rows.Error
	if errors.As(err, &bad) {
		plain := *bad
		plain.Excerpt = ""
		err = &plain
	}
	return fmt.Errorf("%s: line %d: %w (the rows before it have landed: mend the line and start again)", name, line, err)
}
