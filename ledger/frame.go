package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"sync"
)

// A frame holds one batch's rows in a segment:
//
//	magic 4, version 4, ledger id 8, frame number 8, rows 4, body length 8, CRC32C 4
//	the length of each row, 4 bytes each; then the rows
//
// all little endian. The checksum covers everything but itself. Frames start at
// multiples of frameAlign and are written in whole pages, so that writing one
// neither reads from the disk nor touches a page of another one.
const (
	frameMagic   = 0x46574f45 // "EOWF"
	frameVersion = 1
	frameHeader  = 40
	frameSum     = 36 // offset of the checksum
	frameAlign   = 4096
)

var framePadding [frameAlign]byte

// frameWriter carries the buffers of one write.
type frameWriter struct {
	head []byte   // header and row lengths
	vec  [][]byte // head, the rows, padding
}

var frameWriters = sync.Pool{New: func() any { return new(frameWriter) }}

// frameLength is the length of the frame of these rows, without padding; 0 when
// there are too many for any frame.
func frameLength(rows [][]byte) int64 {
	n := int64(frameHeader) + 4*int64(len(rows))
	for _, row := range rows {
		if len(row) > math.MaxUint32 || n > math.MaxInt64/2 {
			return 0
		}
		n += int64(len(row))
	}
	if len(rows) > math.MaxUint32 {
		return 0
	}
	return n
}

func alignFrame(n int64) int64 { return (n + frameAlign - 1) &^ (frameAlign - 1) }

// writeFrame writes rows to f at p's place, straight from the rows.
func writeFrame(f *os.File, ledger uint64, p Payload, rows [][]byte) error {
	w := frameWriters.Get().(*frameWriter)
	defer frameWriters.Put(w)
	b := w.head[:0]
	b = binary.LittleEndian.AppendUint32(b, frameMagic)
	b = binary.LittleEndian.AppendUint32(b, frameVersion)
	b = binary.LittleEndian.AppendUint64(b, ledger)
	b = binary.LittleEndian.AppendUint64(b, p.Frame)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(rows)))
	b = binary.LittleEndian.AppendUint64(b, uint64(p.Length-frameHeader))
	b = append(b, 0, 0, 0, 0)
	for _, row := range rows {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(row)))
	}
	sum := crc32.Update(0, castagnoli, b[:frameSum])
	sum = crc32.Update(sum, castagnoli, b[frameHeader:])
	vec := append(w.vec[:0], b)
	for _, row := range rows {
		sum = crc32.Update(sum, castagnoli, row)
		vec = append(vec, row)
	}
	binary.LittleEndian.PutUint32(b[frameSum:], sum)
	vec = append(vec, framePadding[:alignFrame(p.Length)-p.Length])
	w.head, w.vec = b, vec
	defer clear(vec) // let go of the rows
	return writeVector(f, vec, p.Offset)
}

// readFrame reads the rows at p. They share one buffer, which is the caller's.
func readFrame(f *os.File, size int64, ledger uint64, p Payload) ([][]byte, error) {
	if p.Offset < 0 || p.Length < frameHeader || p.Length > size || p.Offset > size-p.Length {
		return nil, errors.New("the frame is not inside the segment")
	}
	b := make([]byte, p.Length)
	if _, err := f.ReadAt(b, p.Offset); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if binary.LittleEndian.Uint32(b) != frameMagic || binary.LittleEndian.Uint64(b[8:]) != ledger ||
		binary.LittleEndian.Uint64(b[16:]) != p.Frame {
		return nil, errors.New("another frame is in its place")
	}
	sum := crc32.Update(0, castagnoli, b[:frameSum])
	if crc32.Update(sum, castagnoli, b[frameHeader:]) != binary.LittleEndian.Uint32(b[frameSum:]) {
		return nil, errors.New("the frame's checksum is wrong")
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != frameVersion {
		return nil, fmt.Errorf("%w: frame version %d", ErrNewer, v)
	}
	return divideFrame(b)
}

// divideFrame cuts a frame with a right checksum into its rows.
func divideFrame(b []byte) ([][]byte, error) {
	n := int64(binary.LittleEndian.Uint32(b[24:]))
	if body := binary.LittleEndian.Uint64(b[28:]); body != uint64(len(b)-frameHeader) || 4*n > int64(body) {
		return nil, errors.New("the frame's lengths are wrong")
	}
	lengths, body := b[frameHeader:frameHeader+4*n], b[frameHeader+4*n:]
	rows := make([][]byte, n)
	for i := range rows {
		length := int64(binary.LittleEndian.Uint32(lengths[4*i:]))
		if length > int64(len(body)) {
			return nil, errors.New("the frame's lengths are wrong")
		}
		rows[i], body = body[:length:length], body[length:]
	}
	if len(body) != 0 {
		return nil, errors.New("the frame's lengths are wrong")
	}
	return rows, nil
}
