package deadletter

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/eowriter/eowriter/ledger"
	"golang.org/x/sys/unix"
)

// maxLine is the longest line that a file of letters can have: JSON makes six bytes of one at worst.
const maxLine = 128 << 20

// File is a file of letters, one a line.
type File struct {
	f      *os.File
	ledger string
	last   map[ledger.ID]int64 // of this ledger, by partition: the highest number in the file
	err    error               // why nothing can be written any more
	buf    []byte

	// Done is told after each of the steps D2 and D3; nil: nobody is.
	Done func(Step)
}

// OpenFile opens the file at path for the letters of the ledger with an identifier, or makes it, readable for its owner
// only: it holds rows. What a crash left of a letter at its end is cut off. It returns an error if another process
// has the file open so, or if it has something else in it than letters.
func OpenFile(path, ledgerID string) (*File, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	s := &File{f: f, ledger: ledgerID, last: map[ledger.ID]int64{}}
	if err := s.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("dead letters in %s: %w", path, err), f.Close())
	}
	return s, nil
}

// open opens and locks the file. The lock goes with the process.
func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the file for dead letters: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a regular file, so what was written can't be read again: give another one for dead letters", path)
	default:
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%s: another process writes dead letters there: wait for it, or give another file", path)
		} else if err != nil {
			err = fmt.Errorf("lock %s: %w", path, err)
		}
	}
	if err == nil {
		err = sameFile(path, info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sameFile notices that the file was taken away between opening and locking.
func sameFile(path string, locked os.FileInfo) error {
	now, err := os.Stat(path)
	if err != nil || !os.SameFile(locked, now) {
		return fmt.Errorf("%s was replaced while it was opened: start again", path)
	}
	return nil
}

// recover learns what is in the file, cuts off a torn letter at its end and syncs it: only then are the letters in it
// believed to be there.
func (s *File) recover() error {
	whole, err := s.scan()
	if err != nil {
		return err
	}
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	if whole < info.Size() {
		if err := s.f.Truncate(whole); err != nil {
			return err
		}
	}
	if err := s.f.Sync(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(s.f.Name()))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close()) // the file may be new
}

// scan reads the file's letters and returns where the last whole line ends.
func (s *File) scan() (whole int64, err error) {
	r := bufio.NewReaderSize(s.f, 256<<10)
	var long []byte
	for number := 1; ; number++ {
		line, err := readLine(r, &long)
		if err == io.EOF {
			if len(line) > 0 && !torn(line) {
				return 0, fmt.Errorf("line %d is not a dead letter: give another file", number)
			}
			return whole, nil
		}
		if err != nil {
			return 0, fmt.Errorf("line %d: %w", number, err)
		}
		if err := s.note(line); err != nil {
			return 0, fmt.Errorf("line %d, at byte %d, is not a dead letter: give another file; "+
				"or, if the machine lost its power while it wrote here, cut the file off at that byte: what was there is delivered again", number, whole)
		}
		whole += int64(len(line))
	}
}

// note remembers that a letter is in the file.
func (s *File) note(line []byte) error {
	var l struct {
		Ledger      string    `json:"ledger"`
		PartitionID ledger.ID `json:"partition_id"`
		Number      int64     `json:"number"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return err
	}
	if l.Ledger == "" || l.PartitionID == 0 || l.Number <= 0 {
		return errors.New("no letter")
	}
	if l.Ledger == s.ledger {
		s.last[l.PartitionID] = max(s.last[l.PartitionID], l.Number)
	}
	return nil
}

// torn says whether a last line without an end can be the beginning of a letter, perhaps with zeros that a file system
// put behind it.
func torn(line []byte) bool {
	const begin = `{"ledger":"`
	line = bytes.TrimRight(line, "\x00")
	n := min(len(line), len(begin))
	return string(line[:n]) == begin[:n]
}

// readLine returns the next line with its newline; at the end what is left, and io.EOF. It is valid until the next call.
func readLine(r *bufio.Reader, long *[]byte) ([]byte, error) {
	part, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return part, err
	}
	*long = (*long)[:0]
	for {
		*long = append(*long, part...)
		if len(*long) > maxLine {
			return nil, fmt.Errorf("longer than %d MiB", maxLine>>20)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return *long, err
		}
		part, err = r.ReadSlice('\n')
	}
}

// Put appends the records that the file doesn't have yet, and syncs it. If the file was moved away or removed, a new one
// is made. After an error nothing can be put any more: the next OpenFile mends the file.
func (s *File) Put(_ context.Context, records []Record) (err error) {
	if s.err == nil {
		s.err = s.follow()
	}
	if s.err != nil {
		return s.err
	}
	b := s.buf[:0]
	for i := range records {
		if r := &records[i]; r.Number > s.last[r.PartitionID] {
			if b, err = r.appendJSON(b); err != nil {
				s.err = err
				return err
			}
			s.last[r.PartitionID] = r.Number
		}
	}
	s.buf = b
	if len(b) == 0 {
		return nil // it is all there, and was synced
	}
	if _, err := s.f.Write(b); err != nil {
		s.err = fmt.Errorf("write dead letters: %w", err)
		return s.err
	}
	s.done(D2)
	if err := s.f.Sync(); err != nil {
		s.err = fmt.Errorf("sync the dead letters in %s: %w", s.f.Name(), err)
		return s.err
	}
	s.done(D3)
	return nil
}

// follow opens the path anew if it is not this file any more. What was put is not put again.
func (s *File) follow() error {
	info, err := s.f.Stat()
	if err != nil {
		return fmt.Errorf("write dead letters: %w", err)
	}
	if sameFile(s.f.Name(), info) == nil {
		return nil
	}
	next, err := OpenFile(s.f.Name(), s.ledger)
	if err != nil {
		return err
	}
	for id, number := range s.last {
		next.last[id] = max(next.last[id], number)
	}
	old := s.f
	s.f, s.last = next.f, next.last
	return old.Close()
}

func (s *File) done(step Step) {
	if s.Done != nil {
		s.Done(step)
	}
}

// Close closes the file.
func (s *File) Close() error { return s.f.Close() }
