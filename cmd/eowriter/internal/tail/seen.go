package tail

import (
	"bytes"
	"io"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/zeebo/xxh3"
)

// How many bytes tell files apart: the first of what was read, and the last. Positions depend on these numbers.
const (
	headSize  = 1024
	jointSize = 1024
)

// seen is what was read of a file, as far as it serves to know the file again: by its beginning, which grows with the
// offset until it has headSize bytes, and by what stands right before the offset.
type seen struct {
	offset int64
	head   []byte // the first min(offset, headSize) bytes
	joint  []byte // the last min(offset, jointSize)
}

// add takes bytes that were read behind the offset.
func (s *seen) add(b []byte) {
	s.offset += int64(len(b))
	if room := headSize - len(s.head); room > 0 {
		s.head = append(s.head, b[:min(room, len(b))]...)
	}
	if over := len(b) - jointSize; over >= 0 {
		s.joint = append(s.joint[:0], b[over:]...)
		return
	}
	if over := len(s.joint) + len(b) - jointSize; over > 0 {
		s.joint = s.joint[:copy(s.joint, s.joint[over:])]
	}
	s.joint = append(s.joint, b...)
}

func (s *seen) clone() seen {
	return seen{s.offset, bytes.Clone(s.head), bytes.Clone(s.joint)}
}

// load is what is seen of r before an offset.
func load(r io.ReaderAt, offset int64) (s seen, err error) {
	s = seen{offset: offset, head: make([]byte, min(offset, headSize)), joint: make([]byte, min(offset, jointSize))}
	if err = readFull(r, s.head, 0); err == nil {
		err = readFull(r, s.joint, offset-int64(len(s.joint)))
	}
	return s, err
}

// readFull is ReadAt without an error at the end: io.ErrUnexpectedEOF says that so much isn't there.
func readFull(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}

// in says whether r still has what was seen.
func (s *seen) in(r io.ReaderAt) (bool, error) {
	now, err := load(r, s.offset)
	if err == io.ErrUnexpectedEOF {
		return false, nil
	}
	return err == nil && bytes.Equal(now.head, s.head) && bytes.Equal(now.joint, s.joint), err
}

// position is s as a position of a file.
func (s *seen) position(f *file) source.LogPosition {
	return source.LogPosition{
		File: f.number, Offset: s.offset, Inode: f.inode, Written: f.read.UnixNano(),
		Head: xxh3.Hash128(s.head).Bytes(), Joint: xxh3.Hash128(s.joint).Bytes(),
	}
}

// at returns what is seen of r at a position, if r is the position's file by its content.
func at(r io.ReaderAt, p source.LogPosition) (s seen, ok bool, err error) {
	head := make([]byte, min(p.Offset, headSize))
	if err := readFull(r, head, 0); err != nil || xxh3.Hash128(head).Bytes() != p.Head {
		return s, false, notThere(err)
	}
	s, err = load(r, p.Offset)
	return s, err == nil && xxh3.Hash128(s.joint).Bytes() == p.Joint, notThere(err)
}

// notThere is nil if all that is wrong is that a file is shorter than it would have to be.
func notThere(err error) error {
	if err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}
