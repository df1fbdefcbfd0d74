package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxVector is the most buffers that one pwritev takes (IOV_MAX).
const maxVector = 1024

// writeVector writes the buffers one after another from offset on. It uses vec up.
func writeVector(f *os.File, vec [][]byte, offset int64) error {
	for len(vec) > 0 {
		n, err := unix.Pwritev(int(f.Fd()), vec[:min(len(vec), maxVector)], offset)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", f.Name(), err)
		}
		offset += int64(n)
		written := n > 0
		for len(vec) > 0 && n >= len(vec[0]) {
			n -= len(vec[0])
			vec = vec[1:]
			written = true // an empty buffer is progress too
		}
		if !written {
			return fmt.Errorf("write %s: %w", f.Name(), io.ErrShortWrite)
		}
		if n > 0 {
			vec[0] = vec[0][n:]
		}
	}
	return nil
}

// syncData makes what was written to f durable.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// reserve takes the file's blocks now, so that a full disk shows here and not
// later. File systems that can't are left to the writing of zeros.
func reserve(f *os.File, size int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}
