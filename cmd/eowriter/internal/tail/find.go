package tail

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/klauspost/compress/gzip"
)

// place is a file's path with what the folder says of it.
type place struct {
	rotated
	info fs.FileInfo
}

// listing is what the folder of a log has of it, beside the live file.
type listing struct {
	files  []place // the oldest first
	others []place // that may be of it by their inode alone
}

// list looks for the files of a log. inode is that of a file which is looked for under whatever name; 0: none.
func list(path string, inode uint64) (l listing, err error) {
	folders := []string{path}
	// A link's target is rotated beside the target.
	if target, err := filepath.EvalSymlinks(path); err == nil && target != path {
		folders = append(folders, target)
	}
	for _, of := range folders {
		if err := l.add(filepath.Dir(of), filepath.Base(of), inode); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *listing) add(folder, base string, inode uint64) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var found []place
	for _, e := range entries {
		s := ""
		if e.Name() != base {
			s = suffix(base, e.Name())
		}
		ours := strings.HasPrefix(s, ".") || strings.HasPrefix(s, "-")
		if !ours && inode == 0 || e.Type()&^fs.ModeSymlink != 0 {
			continue
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // gone again, or a link
		}
		one := place{rotated{filepath.Join(folder, e.Name()), s, info.ModTime(), info.Size() == 0}, info}
		if strings.HasSuffix(one.path, packed) && info.Size() < maxEmpty {
			one.empty = nothingIn(one.path, info.Size())
		}
		if ours {
			found = append(found, one)
		} else if inodeOf(info) == inode {
			l.others = append(l.others, one)
		}
	}
	l.files = append(l.files, sorted(found)...)
	return nil
}

// maxEmpty is more than a gzip file has of which the content is empty.
const maxEmpty = 512

// nothingIn says whether a gzip file ends with a content of no bytes.
func nothingIn(path string, size int64) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	length := make([]byte, 4)
	_, err = f.ReadAt(length, size-4)
	return err == nil && bytes.Equal(length, make([]byte, 4))
}

// sorted orders files, without those that are being compressed or were: the plain one counts.
func sorted(found []place) []place {
	by := map[string]place{}
	for _, p := range found {
		by[p.path] = p
	}
	var ordered []rotated
	for _, p := range found {
		if _, plain := by[strings.TrimSuffix(p.path, packed)]; !plain || !strings.HasSuffix(p.path, packed) {
			ordered = append(ordered, p.rotated)
		}
	}
	order(ordered)
	files := make([]place, len(ordered))
	for n, r := range ordered {
		files[n] = by[r.path]
	}
	return files
}

// slack is how much older a copy may seem than its original: not all that copy the time copy parts of a second.
const slack = 2 * time.Second

// find opens the file that a position is of, wherever it is now, which is at index in the listing; -1: it is not among
// those that are in order. There is none if it returns nil. Files that are known to be others are not looked at.
func (l *listing) find(livePath string, p source.LogPosition, others func(fs.FileInfo) bool, now time.Time) (f *file, index int, err error) {
	candidates := slices.Concat(l.files, l.others)
	if info, err := os.Stat(livePath); err == nil {
		candidates = append(candidates, place{rotated{path: livePath}, info})
	}
	written := time.Unix(0, p.Written)
	candidates = slices.DeleteFunc(candidates, func(c place) bool {
		// It was written to when the position was reached.
		return others(c.info) || inodeOf(c.info) != p.Inode && c.info.ModTime().Before(written.Add(-slack))
	})
	// A file that is not where it was has been copied or compressed: so it is hardly the live one.
	rank := func(c place) int {
		switch {
		case inodeOf(c.info) == p.Inode:
			return 0
		case c.info.ModTime().Before(written):
			return 4
		case c.path == livePath:
			return 3
		case strings.HasSuffix(c.path, packed):
			return 2
		}
		return 1
	}
	slices.SortStableFunc(candidates, func(a, b place) int { return cmp.Compare(rank(a), rank(b)) })
	for _, c := range candidates {
		one, isThere, unreadable := try(c, p, now)
		if isThere {
			return one, l.index(one.info), nil
		}
		err = errors.Join(err, unreadable)
	}
	return nil, -1, err // what can't be read may be it
}

// try opens a candidate and says whether it is the position's file.
func try(c place, p source.LogPosition, now time.Time) (*file, bool, error) {
	if !strings.HasSuffix(c.path, packed) && c.info.Size() < p.Offset {
		return nil, false, nil
	}
	f, err := openFile(c.path, now)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	s, isThere, err := at(f.content(), p)
	if err != nil || !isThere {
		f.close()
		return nil, false, err
	}
	f.number, f.known, f.read = p.File, s, time.Unix(0, p.Written)
	return f, true, nil
}

// index returns where a file is in the listing, or -1.
func (l *listing) index(info fs.FileInfo) int {
	return slices.IndexFunc(l.files, func(p place) bool { return os.SameFile(p.info, info) })
}

// since returns the index, at least the given one, behind which all files were written to after a time.
func (l *listing) since(index int, written time.Time) int {
	for n := index + 1; n < len(l.files); n++ {
		if !contentTime(l.files[n]).After(written) {
			index = n
		}
	}
	return index
}

// contentTime is when a file's content was last written to: of a compressed one it is what stands in its header, in whole
// seconds, since its own may be when it was compressed. One that doesn't say so is taken for old: what is lost is told, and
// nothing is read twice.
func contentTime(p place) time.Time {
	if !strings.HasSuffix(p.path, packed) {
		return p.written
	}
	f, err := os.Open(p.path)
	if err != nil {
		return time.Time{}
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return time.Time{}
	}
	if z.ModTime.Equal(p.written.Truncate(time.Second)) {
		return p.written
	}
	if z.ModTime.After(p.written) {
		return time.Time{} // some write what is no time
	}
	return z.ModTime
}
