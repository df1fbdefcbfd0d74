package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// unsynced counts the pages of a file that a power loss would take: they are in the page cache alone.
func unsynced(t testing.TB, path string) uint64 {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	var c unix.Cachestat_t
	err = unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &c, 0)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) {
		t.Skipf("the kernel does not tell which pages are dirty: %v", err)
	}
	require.NoError(t, err)
	return c.Dirty + c.Writeback
}

// requireTelling skips on file systems whose pages are always dirty (tmpfs) or never (some network file systems).
func requireTelling(t testing.TB) {
	path := filepath.Join(t.TempDir(), "control")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.Write(make([]byte, 4096))
	require.NoError(t, err)
	before := unsynced(t, path)
	require.NoError(t, f.Sync())
	if after := unsynced(t, path); before == 0 || after != 0 {
		t.Skipf("the file system has %d dirty pages before a sync and %d after it", before, after)
	}
}

// If it fails, a caller is told that an intent or its rows are on disk while they are in the page cache alone: a power
// loss takes them, although they may have been sent.
func TestToldMeansOnDisk(t *testing.T) {
	requireTelling(t)
	path := newPath(t)
	l := mustOpen(t, path, small)
	p := mustOpenEpoch(t, l, "a", Frozen)
	for i := range int64(20) {
		freezeAndBind(t, l, p, i)
		require.Zero(t, unsynced(t, path), "an intent is bound")
		for _, segment := range segmentFiles(t, l) {
			require.Zero(t, unsynced(t, segment), "its rows are bound")
		}
		require.NoError(t, acknowledge(l, p.ID, 1, i*3+3))
		require.Zero(t, unsynced(t, path), "acknowledged")
	}
}
