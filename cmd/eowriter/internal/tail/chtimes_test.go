package tail

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// chtimes sets the times of a file that may have no name any more.
func chtimes(f *os.File, t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	return unix.Futimes(int(f.Fd()), []unix.Timeval{tv, tv})
}
