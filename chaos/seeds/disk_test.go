package seeds

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// image is what a ledger's files hold at a moment, without the companion file, which is written only
// when a ledger is opened.
type image struct {
	file     sparse
	segments map[string]sparse // by name; nil: there is no folder
}

// sparse is what a file holds: a ledger's are mostly holes.
type sparse struct {
	size   int64
	pieces []piece
}

type piece struct {
	at   int64
	data []byte
}

const pageSize = 4096

// imageOf takes the image of a ledger that may be open, as a killed process would leave it: after
// some commit, whole. bbolt writes pages that the last commit does not refer to, and then a meta
// page, one of the first two; the segments' bytes that a commit refers to are written before it and
// free after it. So a copy during which no meta page was written is of the last commit. Holes are kept
// out by comparing: a ledger is mostly zeros.
func imageOf(path string) (image, error) {
	for {
		before, err := metaPages(path)
		if err != nil {
			return image{}, err
		}
		i, err := readImage(path)
		if err != nil {
			return image{}, err
		}
		after, err := metaPages(path)
		if err != nil {
			return image{}, err
		}
		if bytes.Equal(before, after) {
			return i, nil
		}
	}
}

func metaPages(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, 2*pageSize)
	if _, err := f.ReadAt(b, 0); err != nil {
		return nil, fmt.Errorf("read the meta pages of %s: %w", path, err)
	}
	return b, nil
}

func readImage(path string) (i image, err error) {
	if i.file, err = readSparse(path); err != nil {
		return i, err
	}
	segments, err := os.ReadDir(path + ".segments")
	if os.IsNotExist(err) {
		return i, nil
	}
	if err != nil {
		return i, err
	}
	i.segments = map[string]sparse{}
	for _, s := range segments {
		if i.segments[s.Name()], err = readSparse(filepath.Join(path+".segments", s.Name())); err != nil {
			return i, err
		}
	}
	return i, nil
}

// writeTo puts the image into the ledger's file that is there, or into a new one.
func (i image) writeTo(path string) error {
	if err := i.file.writeTo(path); err != nil {
		return err
	}
	if err := os.RemoveAll(path + ".segments"); err != nil || i.segments == nil {
		return err
	}
	if err := os.Mkdir(path+".segments", 0o700); err != nil {
		return err
	}
	for name, content := range i.segments {
		if err := content.writeTo(filepath.Join(path+".segments", name)); err != nil {
			return err
		}
	}
	return nil
}

func readSparse(name string) (s sparse, err error) {
	f, err := os.Open(name)
	if err != nil {
		return s, err
	}
	defer f.Close()
	if s.size, err = f.Seek(0, io.SeekEnd); err != nil {
		return s, err
	}
	for at := int64(0); ; {
		begin, err := f.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // there is nothing more
			return s, nil
		}
		if err != nil {
			return s, err
		}
		if at, err = f.Seek(begin, unix.SEEK_HOLE); err != nil {
			return s, err
		}
		p := piece{begin, make([]byte, at-begin)}
		if _, err := f.ReadAt(p.data, begin); err != nil {
			return s, err
		}
		s.pieces = append(s.pieces, p)
	}
}

// writeTo replaces what a file holds; the file stays the same one.
func (s sparse) writeTo(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = f.Truncate(s.size)
	for _, p := range s.pieces {
		if err == nil {
			_, err = f.WriteAt(p.data, p.at)
		}
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// companion is the file beside a ledger that counts its openings.
func companion(path string) string { return path + ".incarnation" }

// move puts a closed ledger into another file, as a move to another disk does.
func move(from, to string) error {
	i, err := readImage(from)
	if err != nil {
		return err
	}
	if err := i.writeTo(to); err != nil {
		return err
	}
	incarnation, err := readSparse(companion(from))
	if err == nil {
		err = incarnation.writeTo(companion(to))
	}
	if err != nil {
		return err
	}
	for _, suffix := range []string{"", ".incarnation", ".segments"} {
		if err := os.RemoveAll(from + suffix); err != nil {
			return err
		}
	}
	return nil
}

// folder makes a new folder, in memory where that is possible: nothing here is lost by a power
// cut, so that syncs would only cost time. The caller removes it.
func folder() (string, error) {
	name, err := os.MkdirTemp("/dev/shm", "eowriter-seeds-*")
	if err != nil {
		name, err = os.MkdirTemp("", "eowriter-seeds-*")
	}
	return name, err
}
