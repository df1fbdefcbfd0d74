package telemetry

import "golang.org/x/sys/unix"

// diskOf returns how many bytes of a folder's disk are free for us, and how many it has.
func diskOf(dir string) (free, size int64, ok bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, false
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, true
}
