//go:build linux

package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system of its own that a test can fill.
func smallDisk(t *testing.T, size string) string {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system to fill it")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		t.Skipf("no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
	return dir
}

// fill takes all that the disk has but left bytes.
func fillDisk(t *testing.T, dir string, left int64) (filler string) {
	var st unix.Statfs_t
	require.NoError(t, unix.Statfs(dir, &st))
	filler = filepath.Join(dir, "filler")
	free := int64(st.Bfree) * st.Bsize
	require.Greater(t, free, left)
	require.NoError(t, os.WriteFile(filler, make([]byte, free-left), 0o600))
	return filler
}

// A full disk stops the writer, and what it was told is durable is there when there
// is room again.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, "8m")
	path := filepath.Join(dir, "l")
	l := mustOpen(t, path, small)
	p := mustOpenEpoch(t, l, "a", Replayable)
	filler := fillDisk(t, dir, 40<<10)
	durable := int64(0)
	var err error
	for n := int64(0); err == nil; n++ {
		require.Less(t, n, int64(10_000), "the disk never got full")
		if err = bind(l, p.ID, 1, batch(n, n, 1)); err == nil {
			durable++
		}
	}
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorIs(t, err, unix.ENOSPC)
	require.ErrorIs(t, l.Close(), ErrFailed)
	require.NoError(t, os.Remove(filler))

	l = mustOpen(t, path, small)
	got, open, err := l.Partition(p.Key)
	require.NoError(t, err)
	require.GreaterOrEqual(t, got.Next, durable)
	require.LessOrEqual(t, got.Next, durable+1, "only the last one's outcome was unknown")
	require.Len(t, open, int(got.Next))
	requireSound(t, l)
	require.NoError(t, bind(l, p.ID, 1, batch(got.Next, got.Next, 1)))
	require.NoError(t, l.Close())
}

// When there is no room for rows, only that batch is refused: what is bound can
// still be acknowledged, and that makes room.
func TestFullDiskForRows(t *testing.T) {
	dir := smallDisk(t, "8m")
	l := mustOpen(t, filepath.Join(dir, "l"), small)
	p := mustOpenEpoch(t, l, "a", Frozen)
	filler := fillDisk(t, dir, 300<<10)
	var err error
	n := int64(0)
	for ; ; n++ {
		var payload Payload
		if payload, err = freeze(l, rowsOf(n)); err != nil {
			break
		}
		require.NoError(t, bind(l, p.ID, 1, Intent{Number: uint64(n*3 + 3), Start: n * 3, Rows: 3, Of: 3, Schema: schema, Payload: payload}), fmt.Sprint(n))
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.ErrorContains(t, err, l.Path())
	require.NoError(t, l.Err(), "not sticky")
	require.NoError(t, acknowledge(l, p.ID, 1, (n-1)*3))
	freezeAndBind(t, l, p, n)
	requireSound(t, l)
	require.NoError(t, os.Remove(filler))
	require.NoError(t, l.Close())
}
