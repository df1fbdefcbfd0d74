package source

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// Position says where reading stands and what was before it. The zero value is the start.
type Position struct {
	Offset int64    // bytes of the uncompressed stream before it
	Lines  int64    // lines before it, blank ones included
	Rows   int64    // lines before it that aren't blank
	Sum    [16]byte // xxh3-128 of those bytes: any change before the position is noticed
	// Cut says that the last line had no newline at its end because the stream ended there. More bytes are welcome
	// later, but not bytes that go on with that line.
	Cut bool
}

const (
	positionVersion = 1
	positionSize    = 2 + 3*8 + 16
)

// ErrPosition says that bytes are no Position: something else than this package wrote them, or a newer version of it.
var ErrPosition = errors.New("not a position of a file")

// Token returns the position as the ledger keeps it: version, flags, offset, lines and rows as 8 bytes each (big
// endian), sum. The start is nil.
func (p Position) Token() []byte {
	if p.Offset == 0 {
		return nil
	}
	b := make([]byte, 0, positionSize)
	b = append(b, positionVersion, 0)
	if p.Cut {
		b[1] = 1
	}
	for _, n := range []int64{p.Offset, p.Lines, p.Rows} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return append(b, p.Sum[:]...)
}

// ParsePosition reads what Token wrote. The error wraps ErrPosition.
func ParsePosition(token []byte) (Position, error) {
	switch {
	case len(token) == 0:
		return Position{}, nil
	case token[0] != positionVersion:
		return Position{}, fmt.Errorf("%w: version %d", ErrPosition, token[0])
	case len(token) != positionSize || token[1] > 1:
		return Position{}, fmt.Errorf("%w: %d bytes", ErrPosition, len(token))
	}
	number := func(at int) int64 { return int64(binary.BigEndian.Uint64(token[at:])) }
	p := Position{Offset: number(2), Lines: number(10), Rows: number(18), Cut: token[1] == 1}
	copy(p.Sum[:], token[26:])
	if p.Offset <= 0 || p.Lines <= 0 || p.Rows < 0 || p.Rows > p.Lines || p.Lines > p.Offset {
		return Position{}, fmt.Errorf("%w: its numbers contradict each other", ErrPosition)
	}
	return p, nil
}

// String gives the position in words.
func (p Position) String() string {
	if p.Offset == 0 {
		return "start"
	}
	return fmt.Sprintf("line %d, byte %d", p.Lines, p.Offset)
}

// PositionText shows a position that the ledger has: a file's or a log's in words, another source's as hexadecimal digits, the
// first 24 bytes of it.
func PositionText(token []byte) string {
	if p, err := ParsePosition(token); err == nil {
		return p.String()
	}
	if p, err := ParseLogPosition(token); err == nil {
		return p.String()
	}
	return "0x" + hex.EncodeToString(token[:min(len(token), 24)])
}
