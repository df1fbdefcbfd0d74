package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"sync"
)

// A frame holds one batch's content in a segment:
//
//	magic 4, version 4, ledger id 8, frame number 8, rows 4, content length 8, CRC32C 4
//	the content
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
	head [frameHeader]byte
	vec  [3][]byte // head, content, padding
}

var frameWriters = sync.Pool{New: func() any { return new(frameWriter) }}

func alignFrame(n int64) int64 { return (n + frameAlign - 1) &^ (frameAlign - 1) }

// writeFrame writes content to f at p's place, without copying it.
func writeFrame(f *os.File, ledger uint64, p Payload, content []byte, rows int64) error {
	w := frameWriters.Get().(*frameWriter)
	defer frameWriters.Put(w)
	b := w.head[:]
	binary.LittleEndian.PutUint32(b, frameMagic)
	binary.LittleEndian.PutUint32(b[4:], frameVersion)
	binary.LittleEndian.PutUint64(b[8:], ledger)
	binary.LittleEndian.PutUint64(b[16:], p.Frame)
	binary.LittleEndian.PutUint32(b[24:], uint32(rows))
	binary.LittleEndian.PutUint64(b[28:], uint64(len(content)))
	sum := crc32.Update(0, castagnoli, b[:frameSum])
	binary.LittleEndian.PutUint32(b[frameSum:], crc32.Update(sum, castagnoli, content))
	w.vec = [3][]byte{b, content, framePadding[:alignFrame(p.Length)-p.Length]}
	defer clear(w.vec[:]) // let go of the content
	return writeVector(f, w.vec[:], p.Offset)
}

// readFrame reads the content at p, into a buffer that is the caller's, and the
// number of rows that it was written with.
func readFrame(f *os.File, size int64, ledger uint64, p Payload) (content []byte, rows int64, err error) {
	if p.Offset < 0 || p.Length < frameHeader || p.Length > size || p.Offset > size-p.Length {
		return nil, 0, errors.New("the frame is not inside the segment")
	}
	b := make([]byte, p.Length)
	if _, err := f.ReadAt(b, p.Offset); err != nil {
		return nil, 0, fmt.Errorf("read: %w", err)
	}
	if binary.LittleEndian.Uint32(b) != frameMagic || binary.LittleEndian.Uint64(b[8:]) != ledger ||
		binary.LittleEndian.Uint64(b[16:]) != p.Frame {
		return nil, 0, errors.New("another frame is in its place")
	}
	sum := crc32.Update(0, castagnoli, b[:frameSum])
	if crc32.Update(sum, castagnoli, b[frameHeader:]) != binary.LittleEndian.Uint32(b[frameSum:]) {
		return nil, 0, errors.New("the frame's checksum is wrong")
	}
	if v := binary.LittleEndian.Uint32(b[4:]); v != frameVersion {
		return nil, 0, fmt.Errorf("%w: frame version %d", ErrNewer, v)
	}
	if binary.LittleEndian.Uint64(b[28:]) != uint64(len(b)-frameHeader) {
		return nil, 0, errors.New("the frame's length is wrong")
	}
	return b[frameHeader:], int64(binary.LittleEndian.Uint32(b[24:])), nil
}
