package lines

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"github.com/zeebo/xxh3"
)

// Source gives lines, one at a time.
type Source interface {
	// Peek returns the next line that isn't blank, with its newline, without taking it. It is valid until Advance. With
	// an *Unfit it is the beginning of a line that can't be a row. At the end it returns io.EOF.
	Peek() ([]byte, error)
	// Advance takes the line that Peek returned.
	Advance()
	// Where says for people which line Peek returned.
	Where() string
}

// Unfit is a line that is refused before anybody has tried to encode it.
type Unfit struct{ Reason string }

// Error returns the reason.
func (u *Unfit) Error() string { return u.Reason }

// Batch holds one batch: the encoded rows in one piece of memory, those that the encoder refused, and the digest of the
// lines they were made of. It is used again after Reset; the zero value has no bound on rows.
type Batch struct {
	MaxRow int // bytes of an encoded row beyond which the line is refused; 0: no bound

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

// Reset begins the next batch of the same source.
func (b *Batch) Reset() {
	b.buf, b.ends, b.rows, b.size = b.buf[:0], b.ends[:0], b.rows[:0], 0
	b.dead, b.deadSize = nil, 0
	b.sum.Reset()
}

// Restart begins the first batch of another source, or of one that doesn't go on behind the last.
func (b *Batch) Restart() {
	b.overBy = nil
	b.Reset()
}

// Input is how many rows of the source the batch has.
func (b *Batch) Input() int { return len(b.ends) + len(b.dead) }

// Size is how many bytes the lines of its rows have.
func (b *Batch) Size() int64 { return b.size }

// Rows are the encoded rows, valid until Reset.
func (b *Batch) Rows() [][]byte { return b.rows }

// Dead are the refused rows.
func (b *Batch) Dead() []ledger.Dead { return b.dead }

// Digest is over the source's own bytes: every line that isn't blank, with its newline.
func (b *Batch) Digest() ledger.Digest { return ledger.Digest(b.sum.Sum128().Bytes()) }

// Fill takes rows from the source until the batch has maxRows rows, or the next would make it larger than maxBytes. A line
// that is no row becomes a dead one if bury says so. Otherwise Fill returns a *BadLine, and the line is not taken: the
// batch has the rows before it. At the end it returns io.EOF.
func (b *Batch) Fill(f Source, enc *rows.Encoder, maxRows, maxBytes int, bury func(error) bool) (end error) {
	for b.Input() < maxRows && end == nil {
		line, refused := f.Peek()
		if unfit := (*Unfit)(nil); refused != nil && !errors.As(refused, &unfit) {
			end = refused
			break
		}
		had := len(b.buf)
		if refused == nil {
			refused = b.add(enc, line)
		}
		switch {
		case refused != nil && !bury(refused):
			end = &BadLine{f.Where(), refused}
		case refused != nil:
			b.bury(line, refused)
		case len(b.buf)+b.deadSize > maxBytes && b.Input() > 1:
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
func (b *Batch) add(enc *rows.Encoder, line []byte) error {
	had := len(b.buf)
	if b.overBy == enc {
		b.buf = append(b.buf, b.over...)
	} else {
		var err error
		if b.buf, err = enc.Append(b.buf, line); err != nil {
			b.overBy = nil
			return err
		}
	}
	b.overBy = nil
	if n := len(b.buf) - had; b.MaxRow > 0 && n > b.MaxRow {
		b.buf = b.buf[:had]
		return &Unfit{fmt.Sprintf("the row has %d bytes encoded, at most %d can be sent", n, b.MaxRow)}
	}
	b.ends = append(b.ends, len(b.buf))
	return nil
}

// bury makes a dead row of a line that was refused.
func (b *Batch) bury(line []byte, refused error) {
	d := ledger.Dead{Row: int64(b.Input()), Reason: Reason(refused), Content: bytes.Clone(text(line))}
	b.dead = append(b.dead, d)
	b.deadSize += len(d.Content)
}

// text is a line without its newline.
func text(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'})
}

// cut makes the rows of buf.
func (b *Batch) cut() {
	start := 0
	for _, end := range b.ends {
		b.rows = append(b.rows, b.buf[start:end:end])
		start = end
	}
}

// BadLine is a line that is no row of the table.
type BadLine struct {
	Where string // which line
	Err   error  // why
}

// Error names file, line, path and reason, and leaves out the value: it is data.
func (e *BadLine) Error() string { return e.Where + ": " + Reason(e.Err) }

// Unwrap returns the encoder's error.
func (e *BadLine) Unwrap() error { return e.Err }

// Reason is path and reason of the encoder's refusal, without the value, as long as the ledger takes.
func Reason(err error) string {
	var refused *rows.Error
	if errors.As(err, &refused) {
		plain := *refused
		plain.Excerpt = ""
		err = &plain
	}
	s := err.Error()
	return s[:min(len(s), ledger.MaxReason)]
}
