package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// compactAndDie kills this process at a step of a compaction.
func compactAndDie() int {
	_, _, err := compact(os.Getenv("LEDGER_TEST_PATH"), func(step string) {
		if step == os.Getenv("LEDGER_TEST_STEP") {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	fmt.Println(err)
	return 1
}

// wasteful makes a closed ledger that has been used for a while: most of it is free. One partition
// is trusted and one suspicious, one is sealed, one has a person's word, one an order to skip.
func wasteful(t *testing.T) (path string, left map[string]Partition) {
	made := newPath(t)
	l := mustOpen(t, made, small)
	mustOpenEpoch(t, l, "suspicious", Replayable)
	require.NoError(t, l.Close())
	path = copyLedger(t, made)
	l = mustOpen(t, path, small)

	p := mustOpenEpoch(t, l, "trusted", Frozen)
	for i := range int64(150) {
		payload, err := freeze(l, rowsOf(i))
		require.NoError(t, err)
		in := Intent{Number: uint64(i*3 + 3), Start: i * 3, Rows: 3, Of: 3, Digest: DigestOf(rowsOf(i)), Schema: schema, Payload: payload,
			Dead: []Dead{{Content: make([]byte, 8<<10)}}}
		require.NoError(t, bind(l, p.ID, 1, in))
	}
	require.NoError(t, acknowledge(l, p.ID, 1, 149*3))
	require.NoError(t, wait(func(done func(error)) { l.Deliver(p.ID, 148, done) }))

	sealed := mustOpenEpoch(t, l, "sealed", Replayable)
	require.NoError(t, seal(l, sealed.ID, 1, Seal{Successor: "s2", Reason: Aging}))
	doubtful := inDoubt(t, l, "resolved")
	require.NoError(t, resolve(l, doubtful.ID, 1, &Resolution{Landed: 20}))
	skipped := mustOpenEpoch(t, l, "skipped", Replayable)
	require.NoError(t, bind(l, skipped.ID, 1, batch(0, 0, 2)))
	require.NoError(t, skip(l, skipped.ID, 1, 2, "poisoned"))
	require.NoError(t, l.Close())
	return path, partitionsOf(t, path)
}

// partitionsOf reads the partitions of a closed ledger, without who owns them.
func partitionsOf(t *testing.T, path string) map[string]Partition {
	l, err := OpenReadOnly(path)
	require.NoError(t, err)
	defer l.Close()
	requireSound(t, l)
	all, err := l.Partitions()
	require.NoError(t, err)
	found := map[string]Partition{}
	for _, p := range all {
		if p.Owner == l.Identity() {
			p.Owner = Identity{Machine: "trusted"}
		} else {
			p.Owner = Identity{Machine: "suspicious"}
		}
		if p.Seal != nil {
			require.Equal(t, p.Owner.Machine == "trusted", p.Seal.Owner == l.Identity())
			p.Seal.Owner = p.Owner
		}
		found[p.Key.Name] = p
	}
	return found
}

// If it fails, compacting loses something, makes nothing smaller, or passes for a move: then every
// partition would be taken over, and a person's word be void; or a suspicious one becomes trusted.
func TestCompact(t *testing.T) {
	path, want := wasteful(t)
	before, after, err := Compact(path)
	require.NoError(t, err)
	require.Less(t, after.File, before.File/2)
	require.Less(t, before.Used, before.File/2)
	require.InDelta(t, before.Used, after.Used, 64<<10)
	require.Positive(t, before.FreeSegments)
	require.Zero(t, after.FreeSegments)
	require.Equal(t, before.Segments-before.FreeSegments, after.Segments)
	requireCompacted(t, path, want)
	require.Equal(t, "suspicious", want["suspicious"].Owner.Machine)
	require.Equal(t, "trusted", want["trusted"].Owner.Machine)

	again, after, err := Compact(path)
	require.NoError(t, err)
	require.InDelta(t, again.File, after.File, 64<<10)
	requireCompacted(t, path, want)
}

// If it fails, whoever watches a ledger that is open is told a wrong size: a writer and a reader must see the same.
func TestSizeWhileOpen(t *testing.T) {
	path, _ := wasteful(t)
	l := mustOpen(t, path, small)
	p := mustOpenEpoch(t, l, "more", Replayable)
	for i := range int64(50) {
		require.NoError(t, bind(l, p.ID, 1, batch(i, i, 1)))
	}
	live, err := l.Size()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	closed, err := sizeOf(path)
	require.NoError(t, err)
	require.InDelta(t, closed.Used, live.Used, 64<<10)
	require.Less(t, live.Used, live.File/2)
}

// requireCompacted opens a ledger and sees that all is there, in its place, and can be used.
func requireCompacted(t *testing.T, path string, want map[string]Partition) {
	t.Helper()
	require.Equal(t, want, partitionsOf(t, path))
	l := mustOpen(t, path, small)
	require.False(t, l.Moved())
	require.NotNil(t, resolutionOf(t, l, key("resolved")))
	p, open, err := l.Partition(key("trusted"))
	require.NoError(t, err)
	require.Equal(t, l.Identity(), p.Owner)
	rows, err := thaw(l, open[0].Payload)
	require.NoError(t, err)
	require.Equal(t, rowsOf(149), rows)
	payload, err := freeze(l, rowsOf(150))
	require.NoError(t, err)
	l.Release(payload)
	require.NoError(t, l.Close())
	left, err := filepath.Glob(path + ".new-*")
	require.NoError(t, err)
	require.Empty(t, left, "a copy that a killed compaction was making")
}

// If it fails, a crash while a ledger is compacted loses it, or leaves two files that both pass for
// it: from the moment in which the copy has its name, the old file is a suspicious one by whatever
// name it comes back, and so is, until then, the copy.
func TestKilledWhileCompacting(t *testing.T) {
	for _, step := range []string{"C1", "C2", "C3", "C4", "C5", "C6"} {
		t.Run(step, func(t *testing.T) {
			path, want := wasteful(t)
			old := path + ".old"
			require.NoError(t, os.Link(path, old))
			t.Setenv("LEDGER_TEST_STEP", step)
			child, _, out := startChild(t, "compact", path)
			require.False(t, out.Scan(), "it said %s", out.Text())
			require.Error(t, child.Wait())
			require.True(t, child.ProcessState.Sys().(syscall.WaitStatus).Signaled())

			named, err := os.Stat(path)
			require.NoError(t, err)
			was, err := os.Stat(old)
			require.NoError(t, err)
			require.Equal(t, step >= "C4", !os.SameFile(named, was), "the copy has the name")
			rest, err := filepath.Glob(path + ".new-*")
			require.NoError(t, err)
			for _, name := range rest {
				requireSuspicious(t, name)
			}
			if step < "C4" {
				require.NoError(t, os.Remove(old)) // the same file
				require.Len(t, rest, map[string]int{"C1": 0, "C2": 1, "C3": 1}[step])
			} else {
				requireSuspicious(t, old)
			}
			requireCompacted(t, path, want)
			_, _, err = Compact(path)
			require.NoError(t, err)
			requireCompacted(t, path, want)
			if step >= "C4" { // brought back in its place, after the copy was used
				require.NoError(t, os.Rename(old, path))
				l := mustOpen(t, path, small)
				require.True(t, l.Moved())
			}
		})
	}
}

// requireSuspicious opens a copy of a file under its own name: all of its partitions are to be taken over.
func requireSuspicious(t *testing.T, name string) {
	t.Helper()
	r, err := OpenReadOnly(name)
	if err != nil {
		return // not a ledger yet
	}
	require.NoError(t, r.Close())
	l := mustOpen(t, name, small)
	require.True(t, l.Moved())
	all, err := l.Partitions()
	require.NoError(t, err)
	for _, p := range all {
		require.NotEqual(t, l.Identity(), p.Owner)
		require.Nil(t, p.Resolution)
	}
	require.NoError(t, l.Close())
	require.NoError(t, os.Remove(companionPath(name)))
}

// If it fails, an opening takes a file from under a process that is making it, removes one that isn't the ledger's, or leaves
// those of the dead for ever.
func TestDeadFilesAreRemoved(t *testing.T) {
	path := newPath(t)
	require.NoError(t, mustOpen(t, path, small).Close())
	beside := func(name string) *os.File {
		f, err := os.OpenFile(path+name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		require.NoError(t, err)
		_, err = f.WriteString("not a ledger yet")
		require.NoError(t, err)
		return f
	}
	require.NoError(t, beside(".new-1").Close())
	require.NoError(t, os.Link(path, path+".new-2")) // by a create that died before it removed this name
	stay := []string{".new-3", ".new-4", ".new-x", ".new-", ".new-5x", "x.new-6"}
	living := beside(".new-3")
	defer living.Close()
	require.NoError(t, unix.Flock(int(living.Fd()), unix.LOCK_EX))
	for _, name := range stay[1:] {
		require.NoError(t, beside(name).Close())
	}
	require.NoError(t, os.Truncate(path+".new-4", 0)) // not locked yet, perhaps
	require.NoError(t, os.Mkdir(path+".new-7", 0o700))
	require.NoError(t, os.Symlink(path, path+".new-8"))
	r, err := OpenReadOnly(path)
	require.NoError(t, err)
	require.FileExists(t, path+".new-1", "a reader changes nothing")
	require.NoError(t, r.Close())

	require.NoError(t, mustOpen(t, path, small).Close())
	require.NoFileExists(t, path+".new-1")
	require.NoFileExists(t, path+".new-2")
	for _, name := range append(stay, ".new-8") {
		require.FileExists(t, path+name)
	}
	require.DirExists(t, path+".new-7")
	require.NoError(t, mustOpen(t, path, small).Close(), "it is there still")
}

// If it fails, a writer that waits for the ledger gets it while it is being compacted, and freezes rows in a
// segment that is then removed: they are lost.
func TestLockedWhileCompacting(t *testing.T) {
	path, want := wasteful(t)
	_, _, err := compact(path, func(step string) {
		if step < "C4" {
			return // the old file is still the ledger
		}
		_, err := Open(path, small)
		require.ErrorIs(t, err, ErrInUse, step)
	})
	require.NoError(t, err)
	requireCompacted(t, path, want)
}

// If it fails, a ledger is compacted under a writer, or a damaged one replaced by what is left of it.
func TestCompactRefuses(t *testing.T) {
	path, want := wasteful(t)
	l := mustOpen(t, path, small)
	_, _, err := Compact(path)
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, l.Close())
	requireCompacted(t, path, want)
	_, _, err = Compact(path + "-missing")
	require.Error(t, err)

	require.NoError(t, os.Truncate(path, 16<<10))
	bytes, err := os.ReadFile(path)
	require.NoError(t, err)
	_, _, err = Compact(path)
	require.ErrorIs(t, err, ErrCorrupt)
	same, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, bytes, same)
}
