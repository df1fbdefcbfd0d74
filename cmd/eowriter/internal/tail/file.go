package tail

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/klauspost/compress/gzip"
)

// file is one file of a log's chain, open.
type file struct {
	number uint64 // in the chain, from 1
	path   string // where it was found
	info   fs.FileInfo
	inode  uint64
	f      *os.File
	gz     *unpacked // of a compressed file; nil: f is plain

	size    int64     // the most bytes that it was seen to have; of a compressed one: 0
	written time.Time // when it was last written to, as of the last look
	grew    time.Time // when it was seen to grow last, by this process's clock
	named   bool      // it had a name at the last look
	known   seen      // what it had at the last look: nobody may have begun to read it

	read time.Time // when it had last been written to, as of when what was read of it was read
	rows int64     // where the last row ends that was read of it
	left time.Time // when reading went on with the next one; zero: not yet
	end  int64     // how far it was read then
	over bool      // there is no more of it than that: it was truncated
}

// openFile opens a regular file.
func openFile(path string, now time.Time) (*file, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not be waited for
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file", source.Name(path))
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	one := &file{
		path: path, f: f, info: info, inode: inodeOf(info), named: true,
		size: info.Size(), written: info.ModTime(), read: info.ModTime(), grew: now,
	}
	if strings.HasSuffix(path, packed) {
		one.gz, one.size = &unpacked{path: path, f: f}, 0
	}
	return one, nil
}

func inodeOf(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

func (f *file) close() { _ = f.f.Close() } // read only: nothing to lose

// content is what the file has, uncompressed.
func (f *file) content() io.ReaderAt {
	if f.gz != nil {
		return f.gz
	}
	return f.f
}

// look brings up to date what is known of it, and returns its size.
func (f *file) look(now time.Time) (size int64, err error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		f.named = s.Nlink > 0
	}
	if f.gz != nil {
		return 0, nil
	}
	if info.Size() > f.size {
		f.size, f.grew = info.Size(), now
	}
	f.written = info.ModTime()
	return info.Size(), nil
}

// swap has another file take its place, which has the same content as far as it was read.
func (f *file) swap(by *file) {
	f.close()
	f.path, f.info, f.inode, f.f, f.gz, f.over = by.path, by.info, by.inode, by.f, by.gz, false
	f.written, f.grew, f.named = by.written, by.grew, true
}

// quiet says that nobody has written to it for so long.
func (f *file) quiet(settle time.Duration, now time.Time) bool {
	return f.gz != nil || now.Sub(f.written) >= settle || now.Sub(f.grew) >= settle
}

// learn takes up what the file has, which was found to have what was known of it before.
func (f *file) learn() error {
	if f.gz != nil || f.size <= f.known.offset {
		return nil
	}
	s, err := load(f.f, f.size)
	if err == nil {
		f.known, f.read = s, f.written
	}
	return notThere(err)
}

// all is what is seen of the file up to its end, as far as that can be told.
func (f *file) all() (seen, error) {
	if f.gz != nil {
		return f.known, nil
	}
	return load(f.f, f.size)
}

// unpacked reads a gzip file at offsets of its content: cheaply forward, and a little back.
type unpacked struct {
	path string
	f    *os.File
	z    *gzip.Reader
	at   int64  // bytes of the content that were read
	back []byte // the last of them
	size int64  // of the content, if it was read to its end
}

// maxBack is how much of what was read is kept: rows that a batch had no room for are read again.
const maxBack = 2 * chunk

// ReadAt reads content.
func (u *unpacked) ReadAt(b []byte, off int64) (n int, err error) {
	if u.z == nil || off < u.at-int64(len(u.back)) {
		if err := u.restart(); err != nil {
			return 0, u.explain(err)
		}
	}
	for u.at < off && err == nil {
		err = u.more(int(min(off-u.at, chunk)))
	}
	for n < len(b) && err == nil {
		if behind := u.at - off - int64(n); behind > 0 {
			n += copy(b[n:], u.back[int64(len(u.back))-behind:])
		} else {
			err = u.more(min(len(b)-n, chunk))
		}
	}
	if err == io.EOF {
		u.size = u.at
		return n, err
	}
	if err != nil {
		u.z = nil // it is begun anew
	}
	return n, u.explain(err)
}

func (u *unpacked) restart() (err error) {
	u.at, u.back = 0, u.back[:0]
	if _, err := u.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewReaderSize(u.f, chunk/2)
	if u.z == nil {
		u.z, err = gzip.NewReader(in)
		return err
	}
	return u.z.Reset(in)
}

// more reads up to n bytes on.
func (u *unpacked) more(n int) error {
	if len(u.back)+n > maxBack {
		u.back = u.back[:copy(u.back, u.back[len(u.back)+n-maxBack:])]
	}
	had := len(u.back)
	u.back = append(u.back, make([]byte, n)...)
	n, err := u.z.Read(u.back[had:])
	u.back = u.back[:had+n]
	u.at += int64(n)
	if n > 0 {
		return nil
	}
	return err
}

// explain says what a file looks like that is being compressed still, or was cut off.
func (u *unpacked) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return fmt.Errorf("%s: %w (%v): it is waited for; remove it if it stays so, and its rest is reported as lost", source.Name(u.path), errTorn, err)
	}
	return fmt.Errorf("%s: read: %w", source.Name(u.path), err)
}

// errTorn is for compressed files that aren't whole.
var errTorn = errors.New("the compressed file is not whole")
