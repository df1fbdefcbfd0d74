package ledger

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// copyLedger copies a closed ledger and its companion files to another folder.
func copyLedger(t testing.TB, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(path))
	copyFile(t, path, to)
	copyFile(t, companionPath(path), companionPath(to))
	if _, err := os.Stat(path + ".segments"); err == nil {
		require.NoError(t, os.CopyFS(to+".segments", os.DirFS(path+".segments")))
		require.NoError(t, os.Chmod(to+".segments", 0o700))
	}
	return to
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o600))
}

// hold keeps a ledger until its standard input ends.
func hold(*Ledger) error {
	fmt.Println("holding")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// Two writers on one ledger would bind the same offsets: the second must be turned
// away, soon, and be told which file it is about.
func TestInUse(t *testing.T) {
	path := newPath(t)
	child, in, out := startChild(t, "hold", path)
	for out.Scan() && out.Text() != "holding" {
	}
	began := time.Now()
	_, err := Open(path, nil)
	require.ErrorIs(t, err, ErrInUse)
	require.ErrorContains(t, err, path)
	require.Less(t, time.Since(began), 1500*time.Millisecond) // a second and some slack for a busy machine
	_, err = OpenReadOnly(path)
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, in.Close())
	require.False(t, out.Scan(), "the child has no more to say")
	require.NoError(t, child.Wait())
	l := mustOpen(t, path, nil)
	_, err = Open(path, nil)
	require.ErrorIs(t, err, ErrInUse, "also in the same process")
	require.NoError(t, l.Close())
}

// Processes that start together on a ledger that does not exist yet must not each
// make one, where the second replaces the first.
func TestCreateTogether(t *testing.T) {
	path := newPath(t)
	ids := make(chan string, 8)
	var wg sync.WaitGroup
	for range cap(ids) {
		wg.Go(func() {
			l, err := Open(path, nil)
			for err != nil { // in use by one of the others
				if !strings.Contains(err.Error(), ErrInUse.Error()) {
					panic(err)
				}
				l, err = Open(path, nil)
			}
			ids <- l.ID()
			l.Close()
		})
	}
	wg.Wait()
	first := <-ids
	for range cap(ids) - 1 {
		require.Equal(t, first, <-ids)
	}
	names, err := filepath.Glob(path + ".new-*")
	require.NoError(t, err)
	require.Empty(t, names, "nothing is left over")
}

// What a ledger holds may be customers' rows, and a link may lead anywhere.
func TestRefusedFiles(t *testing.T) {
	path := newPath(t)
	require.NoError(t, mustOpen(t, path, nil).Close())
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, os.Chmod(path, 0o640))
	_, err = Open(path, nil)
	require.ErrorContains(t, err, "chmod 600 "+path)
	require.NoError(t, os.Chmod(path, 0o600))

	link := path + "-link"
	require.NoError(t, os.Symlink(path, link))
	_, err = Open(link, nil)
	require.ErrorContains(t, err, "not a plain file")
	_, err = Open(filepath.Dir(path), nil)
	require.ErrorContains(t, err, "not a plain file")
	_, err = OpenReadOnly(path + "-missing")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(filepath.Join(filepath.Dir(path), "missing", "x"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, os.Mkdir(path+".segments", 0o755))
	_, err = Open(path, nil)
	require.ErrorContains(t, err, "chmod 700")
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(path+".segments", 0o700))
		require.NoError(t, os.Chown(path, 12345, -1))
		_, err = Open(path, nil)
		require.ErrorContains(t, err, "belongs to user 12345")
	}
}

// A newer program's file must be left alone, and the message must say why.
func TestNewerFormat(t *testing.T) {
	path := newPath(t)
	require.NoError(t, mustOpen(t, path, nil).Close())
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(headBucket).Put(formatKey, appendFormat(nil, format+1))
	}))
	require.NoError(t, db.Close())
	for _, open := range []func() (*Ledger, error){
		func() (*Ledger, error) { return Open(path, nil) },
		func() (*Ledger, error) { return OpenReadOnly(path) },
	} {
		_, err = open()
		require.ErrorIs(t, err, ErrNewer)
		require.ErrorContains(t, err, "version 2")
		require.ErrorContains(t, err, path)
	}
}

// Invariant 8. If one of these kept its identity, partitions of a copied or
// restored ledger would be trusted, and rows bound twice or lost.
func TestSuspicion(t *testing.T) {
	path := newPath(t)
	reopen := func(path string) Identity {
		l, err := Open(path, nil)
		require.NoError(t, err)
		defer l.Close()
		return l.Identity()
	}
	original := reopen(path)
	require.NotZero(t, original.Nonce)
	require.NotZero(t, original.Inode)
	require.Equal(t, original, reopen(path), "in its place, nothing is suspicious")

	backup := path + ".backup"
	copyFile(t, path, backup)
	require.NotEqual(t, original, reopen(copyLedger(t, path)), "copied")
	require.Equal(t, original, reopen(path), "copying harms nothing")

	// Restored in its place: the same inode, an older content.
	b, err := os.ReadFile(backup)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	restored := reopen(path)
	require.NotEqual(t, original, restored)
	require.Equal(t, original.Inode, restored.Inode)

	require.NoError(t, os.Remove(companionPath(path)))
	lost := reopen(path)
	require.NotEqual(t, restored, lost, "the companion is gone")
	require.NoError(t, os.WriteFile(companionPath(path), []byte("garbage"), 0o600))
	damaged := reopen(path)
	require.NotEqual(t, lost, damaged)

	// A crash between the ledger's incarnation and the companion's is no move.
	companion, err := os.ReadFile(companionPath(path))
	require.NoError(t, err)
	require.Equal(t, damaged, reopen(path))
	require.NoError(t, os.WriteFile(companionPath(path), companion, 0o600))
	require.Equal(t, damaged, reopen(path))
	require.NoError(t, os.WriteFile(companionPath(path), companion, 0o600))
	require.NotEqual(t, damaged, reopen(path), "two behind is more than one crash")
}

// Openings that are cut off before the companion is written, one after another, are no
// move. If it fails, a service that is restarted while the disk is full takes all its
// partitions over, and stops in doubt where a stream has expired.
func TestSuspicionNotByCutOffOpenings(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, nil)
	original := l.Identity()
	require.NoError(t, l.Close())
	obstacle := filepath.Join(companionPath(path)+".new", "x")
	require.NoError(t, os.MkdirAll(obstacle, 0o700))
	for range 3 {
		_, err := Open(path, nil)
		require.ErrorContains(t, err, "write the incarnation")
	}
	require.NoError(t, os.RemoveAll(filepath.Dir(obstacle)))
	l = mustOpen(t, path, nil)
	require.Equal(t, original, l.Identity())
	require.NoError(t, l.Close())
}

// A ledger that was deleted by mistake must not be made anew in silence: everything
// would land again.
func TestDeleted(t *testing.T) {
	path := newPath(t)
	require.NoError(t, mustOpen(t, path, nil).Close())
	require.NoError(t, os.Remove(path))
	for range 2 {
		_, err := Open(path, nil)
		require.ErrorIs(t, err, ErrDeleted)
		require.ErrorContains(t, err, "remove "+companionPath(path)+" to begin anew")
		require.NoFileExists(t, path)
	}
	require.NoError(t, os.Remove(companionPath(path)))
	l := mustOpen(t, path, nil)
	require.EqualValues(t, 1, l.Incarnation())
	require.NoError(t, l.Close())
}

// The incarnation grows with every opening for writing, and with no other.
func TestIncarnation(t *testing.T) {
	path := newPath(t)
	for i := range uint64(3) {
		l := mustOpen(t, path, nil)
		require.Equal(t, i+1, l.Incarnation())
		require.NoError(t, l.Close())
		r, err := OpenReadOnly(path)
		require.NoError(t, err)
		require.Equal(t, i+1, r.Incarnation())
		require.Equal(t, l.ID(), r.ID())
		require.Equal(t, l.Identity(), r.Identity())
		require.NoError(t, r.Close())
	}
}

// Looking at a ledger must not change it, and several may look at once.
func TestReadOnly(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, small)
	p := mustOpenEpoch(t, l, "a", Frozen)
	rows := [][]byte{[]byte("one"), {}, []byte("three")}
	payload, err := freeze(l, rows)
	require.NoError(t, err)
	require.NoError(t, bind(l, p.ID, 1, Intent{Rows: 3, Of: 3, Schema: schema, Payload: payload}))
	require.NoError(t, l.Close())
	before, err := os.ReadFile(path)
	require.NoError(t, err)

	for range 2 {
		r, err := OpenReadOnly(path)
		require.NoError(t, err)
		defer r.Close()
		_, open, err := r.Partition(p.Key)
		require.NoError(t, err)
		got, err := thaw(r, open[0].Payload)
		require.NoError(t, err)
		require.Equal(t, rows, got)
		requireSound(t, r)
		require.ErrorIs(t, acknowledge(r, p.ID, 1, 3), ErrClosed)
		_, err = freeze(r, rows)
		require.ErrorIs(t, err, ErrClosed)
	}
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

// A copy that was made during the last run, and put back over the file, is not noticed: nothing beside it tells. If
// it fails where the companion was removed, as people are told to, it can't be made to be noticed.
func TestRestoredInTheSameRun(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, nil)
	p := mustOpenEpoch(t, l, "a", Replayable)
	backup, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, bind(l, p.ID, 1, batch(0, 0, 10)))
	require.NoError(t, l.Close())
	for _, noticed := range []bool{false, true} {
		if noticed {
			require.NoError(t, os.Remove(companionPath(path)))
		}
		require.NoError(t, os.WriteFile(path, backup, 0o600)) // the inode stays
		r, err := OpenReadOnly(path)
		require.NoError(t, err)
		require.Equal(t, noticed, r.Moved())
		require.Equal(t, !noticed, r.Owns(p.Owner))
		require.NoError(t, r.Close())
	}
}
