package ledger

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync"
)

// segments hold the rows of frozen partitions' open intents, in the files
// <ledger>.segments/NNNNNNNN. A segment is filled front to back; it is used again,
// from its front, when none of its frames is held by a Freeze or referred to by an
// open intent. A segment's blocks are written once with zeros when it is made:
// rewriting them later costs the file system no metadata.
type segments struct {
	dir      string
	size     int64  // of a new segment
	ledger   uint64 // id, written in every frame
	readOnly bool

	// busy is held for reading while rows are written or read: a closed file's
	// descriptor may be another file's by then.
	busy    sync.RWMutex
	closed  bool       // guarded by busy
	growing sync.Mutex // taken after busy and before mu, by the one that makes a segment

	mu      sync.Mutex // guards what follows; not held while rows are written or synced
	files   map[uint32]*segment
	current *segment // has room at tail
	free    []*segment
	last    uint32 // highest number in use
	frame   uint64 // number of the last frame; starts at random in each incarnation
	refs    map[Payload]reference
	dirty   []*segment // in need of a sync before the group at hand is committed
}

// reference says who needs a payload. A payload that no intent refers to yet is
// held by the one that froze it.
type reference struct {
	intents int
	rows    int64
}

type segment struct {
	number  uint32
	file    *os.File // nil when it is missing or not opened yet
	size    int64
	tail    int64 // where the next frame goes
	live    int   // payloads that are held or referred to
	written bool  // since the last sync
	queued  bool  // in dirty
}

func (s *segments) path(number uint32) string {
	return filepath.Join(s.dir, fmt.Sprintf("%08d", number))
}

// put writes a batch's content to a place of its own and holds it for the caller.
func (s *segments) put(content []byte, rows int64) (Payload, error) {
	s.busy.RLock()
	defer s.busy.RUnlock()
	if s.closed || s.readOnly {
		return Payload{}, ErrClosed
	}
	length := frameHeader + int64(len(content))
	if length > s.size || rows < 0 || rows > math.MaxUint32 {
		return Payload{}, fmt.Errorf("the rows don't fit a segment of %d bytes: make the batch smaller, or Options.SegmentBytes larger", s.size)
	}
	p, seg, ok := s.place(length, rows)
	if !ok {
		var err error
		if p, seg, err = s.grow(length, rows); err != nil {
			return Payload{}, err
		}
	}
	if err := writeFrame(seg.file, s.ledger, p, content, rows); err != nil {
		s.release(p)
		return Payload{}, err
	}
	s.mu.Lock()
	seg.written = true
	s.mu.Unlock()
	return p, nil
}

// place finds room for a frame; ok is false when a segment must be made.
func (s *segments) place(length, rows int64) (p Payload, seg *segment, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil || s.current.size-s.current.tail < length {
		n := len(s.free)
		if n == 0 {
			return Payload{}, nil, false
		}
		// The one that was freed last is the likeliest to be in memory.
		s.current, s.free = s.free[n-1], s.free[:n-1]
		s.current.tail = 0
	}
	seg = s.current
	s.frame++
	p = Payload{Segment: seg.number, Offset: seg.tail, Length: length, Frame: s.frame}
	seg.tail += alignFrame(length)
	seg.live++
	s.refs[p] = reference{rows: rows}
	return p, seg, true
}

// grow makes a segment, unless another call made one meanwhile, and places the
// frame there.
func (s *segments) grow(length, rows int64) (Payload, *segment, error) {
	s.growing.Lock()
	defer s.growing.Unlock()
	for {
		if p, seg, ok := s.place(length, rows); ok {
			return p, seg, nil
		}
		s.mu.Lock()
		number := s.last + 1
		s.mu.Unlock()
		f, err := createSegment(s.dir, s.path(number), s.size)
		if err != nil {
			return Payload{}, nil, fmt.Errorf("make a segment of %d bytes: %w", s.size, err)
		}
		s.mu.Lock()
		seg := &segment{number: number, file: f, size: s.size}
		s.last = number
		s.files[number] = seg
		s.free = append(s.free, seg)
		s.mu.Unlock()
	}
}

// get reads the content at p and its number of rows.
func (s *segments) get(p Payload) ([]byte, int64, error) {
	s.busy.RLock() // keeps the file open
	defer s.busy.RUnlock()
	if s.closed {
		return nil, 0, ErrClosed
	}
	f, size, err := s.reader(p.Segment)
	if err == nil {
		var content []byte
		var rows int64
		if content, rows, err = readFrame(f, size, s.ledger, p); err == nil {
			return content, rows, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: rows at %d of %s: %w", ErrCorrupt, p.Offset, s.path(p.Segment), err)
}

func (s *segments) reader(number uint32) (*os.File, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seg := s.files[number]
	if seg == nil && s.readOnly {
		seg = &segment{number: number}
		s.files[number] = seg
	}
	if seg == nil {
		return nil, 0, os.ErrNotExist
	}
	if seg.file == nil {
		if err := seg.open(s.path(number), os.O_RDONLY); err != nil {
			return nil, 0, err
		}
	}
	return seg.file, seg.size, nil
}

// bind counts the first intent that refers to p, and has p's segment synced before
// the group is committed. It is false when p is not held or has not so many rows.
func (s *segments) bind(p Payload, rows int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref, known := s.refs[p]; !known || ref.intents != 0 || ref.rows != rows {
		return false
	}
	s.refs[p] = reference{intents: 1, rows: rows}
	if seg := s.files[p.Segment]; seg.written && !seg.queued {
		seg.queued = true
		s.dirty = append(s.dirty, seg)
	}
	return true
}

// share counts one more intent that refers to p, which some refer to already.
func (s *segments) share(p Payload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ref := s.refs[p]
	ref.intents++
	s.refs[p] = ref
}

// sync makes the frames that were bound since the last sync durable.
func (s *segments) sync(through func(func() error) error) error {
	s.mu.Lock()
	dirty := s.dirty
	s.dirty = nil
	for _, seg := range dirty {
		// What is written from here on belongs to a later group.
		seg.written, seg.queued = false, false
	}
	s.mu.Unlock()
	for _, seg := range dirty {
		if err := through(func() error { return syncData(seg.file) }); err != nil {
			return fmt.Errorf("sync segment %s: %w", seg.file.Name(), err)
		}
	}
	return nil
}

// drop counts one intent less for each payload; those without any are free.
func (s *segments) drop(payloads []Payload) {
	if len(payloads) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range payloads {
		ref := s.refs[p]
		if ref.intents--; ref.intents > 0 {
			s.refs[p] = ref
		} else {
			s.forget(p)
		}
	}
}

// release gives up a payload that no intent refers to.
func (s *segments) release(p Payload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref, known := s.refs[p]; known && ref.intents == 0 {
		s.forget(p)
	}
}

// forget is called with mu held.
func (s *segments) forget(p Payload) {
	delete(s.refs, p)
	seg := s.files[p.Segment]
	if seg.live--; seg.live > 0 {
		return
	}
	switch {
	case seg == s.current:
		seg.tail = 0
	case seg.file == nil || seg.size < s.size: // missing, or of another size
		delete(s.files, seg.number)
		if seg.file != nil {
			seg.file.Close()
			os.Remove(s.path(seg.number))
		}
	default:
		s.free = append(s.free, seg)
	}
}

func (s *segments) close() error {
	s.busy.Lock()
	defer s.busy.Unlock()
	s.closed = true
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, seg := range s.files {
		if seg.file != nil {
			errs = append(errs, seg.file.Close())
		}
	}
	s.files, s.current, s.free = map[uint32]*segment{}, nil, nil
	return errors.Join(errs...)
}
