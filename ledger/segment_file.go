package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// load takes over the folder: used says which payloads open intents refer to.
// Files of segments that are not referred to become free, or are removed when
// they have not the right size.
func (s *segments) load(used map[Payload]reference) error {
	s.files, s.refs = map[uint32]*segment{}, used
	for p := range used {
		seg := s.files[p.Segment]
		if seg == nil {
			seg = &segment{number: p.Segment}
			s.files[p.Segment] = seg
		}
		seg.live++
		s.last = max(s.last, p.Segment)
	}
	if err := checkFolder(s.dir); err != nil || s.readOnly {
		return err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the segments: %w", err)
	}
	if len(entries) > 0 {
		// A process that died while it made one has not made its name durable, and
		// rows are about to be frozen there.
		if err := syncFolder(s.dir); err != nil {
			return fmt.Errorf("sync the segments' folder: %w", err)
		}
	}
	for _, entry := range entries {
		if number, ok := segmentNumber(entry); ok {
			if err := s.adopt(number); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *segments) adopt(number uint32) error {
	s.last = max(s.last, number)
	seg := s.files[number]
	if seg == nil {
		seg = &segment{number: number}
	}
	if err := seg.open(s.path(number), os.O_RDWR); err != nil {
		return fmt.Errorf("open a segment: %w", err)
	}
	if seg.live > 0 {
		return nil
	}
	if seg.size != s.size {
		seg.file.Close()
		if err := os.Remove(s.path(number)); err != nil {
			return fmt.Errorf("remove a segment of another size: %w", err)
		}
		return nil
	}
	s.files[number] = seg
	s.free = append(s.free, seg)
	return nil
}

// trim removes the free segments.
func (s *segments) trim() error {
	s.mu.Lock()
	free := s.free
	s.free = nil
	for _, seg := range free {
		delete(s.files, seg.number)
	}
	s.mu.Unlock()
	if len(free) == 0 {
		return nil
	}
	var errs []error
	for _, seg := range free {
		errs = append(errs, seg.file.Close(), os.Remove(s.path(seg.number)))
	}
	return errors.Join(append(errs, syncFolder(s.dir))...)
}

// sizes returns the bytes of the folder's segments, and of those among them that no intent needs.
func (s *segments) sizes() (all, free int64, err error) {
	s.mu.Lock()
	needed := make(map[uint32]bool, len(s.files))
	for p := range s.refs {
		needed[p.Segment] = true
	}
	s.mu.Unlock()
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, 0, fmt.Errorf("read the segments: %w", err)
	}
	for _, entry := range entries {
		number, ok := segmentNumber(entry)
		if !ok {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return 0, 0, fmt.Errorf("look at a segment: %w", err)
		}
		all += diskBytes(info)
		if !needed[number] {
			free += diskBytes(info)
		}
	}
	return all, free, nil
}

// segmentNumber returns the number of a segment's file; ok is false for what is not ours.
func segmentNumber(entry os.DirEntry) (number uint32, ok bool) {
	n, err := strconv.ParseUint(entry.Name(), 10, 32)
	return uint32(n), err == nil && n != 0 && len(entry.Name()) >= 8 && entry.Type().IsRegular()
}

func (seg *segment) open(path string, flag int) error {
	f, err := os.OpenFile(path, flag|noFollow, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	seg.file, seg.size = f, info.Size()
	return nil
}

func checkFolder(dir string) error {
	info, err := os.Lstat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the segments: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder: the ledger keeps its segments there", dir)
	}
	return checkMode(dir, info, 0o700)
}

// createSegment makes a segment whose blocks, size and name are on disk.
func createSegment(dir, path string, size int64) (*os.File, error) {
	if err := os.Mkdir(dir, 0o700); err == nil {
		if err := syncFolder(filepath.Dir(dir)); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	if err = zero(f, size); err == nil {
		err = syncFolder(dir)
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return f, nil
}

// zero takes size bytes for f and writes them, durably.
func zero(f *os.File, size int64) error {
	if err := reserve(f, size); err != nil {
		return err
	}
	zeros := make([]byte, min(size, 1<<20))
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return f.Sync()
}
