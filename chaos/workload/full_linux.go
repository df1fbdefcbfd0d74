package workload

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// fillDisk makes the disk of this process's open ledger full: its descriptor becomes one
// of /dev/full.
func fillDisk(ledger string) {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		die("fill the disk", err)
	}
	const descriptors = "/proc/self/fd/"
	open, err := os.ReadDir(descriptors)
	if err != nil {
		die("fill the disk", err)
	}
	for _, e := range open {
		fd, err := strconv.Atoi(e.Name())
		if to, _ := os.Readlink(descriptors + e.Name()); err != nil || to != ledger {
			continue
		}
		if err := unix.Dup3(int(full.Fd()), fd, unix.O_CLOEXEC); err != nil {
			die("fill the disk", err)
		}
		return
	}
	die("fill the disk: the ledger is not open")
}
