package source

import (
	"cmp"
	"encoding/binary"
	"fmt"
)

// LogPosition says where reading of a log stands that is rotated: a chain of files. The zero value is before the first.
type LogPosition struct {
	File    uint64 // counts the files of the chain, from 1
	Offset  int64  // bytes of it before the position, uncompressed
	Inode   uint64 // where it was; a hint
	Written int64  // when it was last written to then, Unix nanoseconds

	// The content before the position: xxh3-128 of its first and of its last bytes, as many as package tail says.
	Head, Joint [16]byte
}

// Positions of logs and of files begin with different versions, so that one is never taken for the other.
const (
	logVersion = 2
	logSize    = 1 + 4*8 + 2*16
)

// Token returns the position as the ledger keeps it: version, then file, offset, inode and time as 8 bytes each (big
// endian), then the two sums. The zero position is nil.
func (p LogPosition) Token() []byte {
	if p.Offset == 0 {
		return nil
	}
	b := append(make([]byte, 0, logSize), logVersion)
	for _, n := range []uint64{p.File, uint64(p.Offset), p.Inode, uint64(p.Written)} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(b, p.Head[:]...)
	return append(b, p.Joint[:]...)
}

// ParseLogPosition reads what Token wrote. The error wraps ErrPosition.
func ParseLogPosition(token []byte) (p LogPosition, err error) {
	switch {
	case len(token) == 0:
		return p, nil
	case token[0] != logVersion:
		return p, fmt.Errorf("%w that is rotated: version %d", ErrPosition, token[0])
	case len(token) != logSize:
		return p, fmt.Errorf("%w that is rotated: %d bytes", ErrPosition, len(token))
	}
	number := func(at int) uint64 { return binary.BigEndian.Uint64(token[at:]) }
	p = LogPosition{File: number(1), Offset: int64(number(9)), Inode: number(17), Written: int64(number(25))}
	copy(p.Head[:], token[33:])
	copy(p.Joint[:], token[49:])
	if p.File == 0 || p.Offset <= 0 {
		return LogPosition{}, fmt.Errorf("%w that is rotated: its numbers contradict each other", ErrPosition)
	}
	return p, nil
}

// Compare orders the positions of one chain.
func (p LogPosition) Compare(o LogPosition) int {
	if p.File != o.File {
		return cmp.Compare(p.File, o.File)
	}
	return cmp.Compare(p.Offset, o.Offset)
}

// String gives the position in words.
func (p LogPosition) String() string {
	if p.Offset == 0 {
		return "start"
	}
	return fmt.Sprintf("file %d, byte %d", p.File, p.Offset)
}
