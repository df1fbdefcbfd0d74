package load

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"github.com/zeebo/xxh3"
)

// arena holds one batch: the encoded rows in one piece of memory, those that the encoder refused, and the digest of the
// lines they were made of.
type arena struct {
	buf      []byte
	ends     []int         // of the rows in buf
	rows     [][]byte      // slices of buf, made when it doesn't grow any more
	dead     []ledger.Dead // nobody uses them again
	deadSize int           // bytes of them
	size     int64         // bytes of the lines
	sum      xxh3.Hasher

	// The row that the batch before had no room for, so that it is encoded, and its ignored fields are counted, once.
	over   []byte
	overBy *rows.Encoder // nil: there is none
}

func (b *arena) reset() {
	b.buf, b.ends, b.rows, b.size = b.buf[:0], b.ends[:0], b.rows[:0], 0
	b.dead, b.deadSize = nil, 0
	b.sum.Reset()
}

// input is how many rows of the file the batch has.
func (b *arena) input() int { return len(b.ends) + len(b.dead) }

// fill takes rows from the file until the batch has maxRows rows, or the next would make it larger than maxBytes. A line
// that is no row becomes a dead one if bury says so. Otherwise fill returns a *badLine, and the line is not taken: the
// batch has the rows before it. At the end it returns io.EOF.
func (b *arena) fill(f *source.File, enc *rows.Encoder, maxRows, maxBytes int, bury func(error) bool) (end error) {
	for b.input() < maxRows && end == nil {
		var line []byte
		if line, end = f.Peek(); end != nil {
			break
		}
		had := len(b.buf)
		refused := b.add(enc, line)
		switch {
		case refused != nil && !bury(refused):
			end = &badLine{f.Name(), f.Line(), refused}
		case refused != nil:
			b.bury(line, refused)
		case len(b.buf)+b.deadSize > maxBytes && b.input() > 1:
			b.over, b.overBy = append(b.over[:0], b.buf[had:]...), enc
			b.buf, b.ends = b.buf[:had], b.ends[:len(b.ends)-1]
			b.cut()
			return nil
		}
		if end == nil {
			b.size += int64(len(line))
			b.sum.Write(line)
			f.Advance()
		}
		if b.deadSize > maxBytes {
			break
		}
	}
	b.cut()
	return end
}

// add encodes a line; an error says why it is no row.
func (b *arena) add(enc *rows.Encoder, line []byte) error {
	var err error
	if b.overBy == enc {
		b.buf = append(b.buf, b.over...)
	} else {
		b.buf, err = enc.Append(b.buf, line)
	}
	b.overBy = nil
	if err == nil {
		b.ends = append(b.ends, len(b.buf))
	}
	return err
}

// bury makes a dead row of a line that the encoder refused.
func (b *arena) bury(line []byte, refused error) {
	d := ledger.Dead{Row: int64(b.input()), Reason: reason(refused), Content: bytes.Clone(text(line))}
	b.dead = append(b.dead, d)
	b.deadSize += len(d.Content)
}

// text is a line without its newline.
func text(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'})
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

// badLine is a line that is no row of the table.
type badLine struct {
	file   string
	number int64
	err    error
}

// Error names file, line, path and reason, and leaves out the value: it is data.
func (e *badLine) Error() string {
	return fmt.Sprintf("%s: line %d: %s", e.file, e.number, reason(e.err))
}

func (e *badLine) Unwrap() error { return e.err }

// reason is path and reason of the encoder's refusal, without the value.
func reason(err error) string {
	var refused *rows.Error
	if errors.As(err, &refused) {
		plain := *refused
		plain.Excerpt = ""
		err = &plain
	}
	s := err.Error()
	return s[:min(len(s), ledger.MaxReason)]
}
