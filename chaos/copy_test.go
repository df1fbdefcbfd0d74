package chaos

import (
	"os"
	"path/filepath"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/stretchr/testify/require"
)

// copyLedger copies the closed ledger, all its files, and returns the copy's path.
func (a *arena) copyLedger() string {
	to := filepath.Join(a.t.TempDir(), "copy.ledger")
	a.copyFiles(a.script.Ledger, to, true)
	return to
}

// restore puts a copy of the ledger in its place: into the very file that is there,
// as a backup program does, with the companion file of the copy or without.
func (a *arena) restore(from string, companion bool) {
	a.copyFiles(from, a.script.Ledger, companion)
	clear(a.stored) // of the time after the copy
}

// copyFiles copies a ledger over another, or to where there is none.
func (a *arena) copyFiles(from, to string, companion bool) {
	files := []string{""}
	if companion {
		files = append(files, ".incarnation")
	}
	for _, suffix := range files {
		b, err := os.ReadFile(from + suffix)
		require.NoError(a.t, err)
		require.NoError(a.t, os.WriteFile(to+suffix, b, 0o600)) // keeps the inode of a file that is there
	}
	require.NoError(a.t, os.RemoveAll(to+".segments"))
	if _, err := os.Stat(from + ".segments"); err != nil {
		return
	}
	require.NoError(a.t, os.Mkdir(to+".segments", 0o700))
	segments, err := os.ReadDir(from + ".segments")
	require.NoError(a.t, err)
	for _, s := range segments {
		b, err := os.ReadFile(filepath.Join(from+".segments", s.Name()))
		require.NoError(a.t, err)
		require.NoError(a.t, os.WriteFile(filepath.Join(to+".segments", s.Name()), b, 0o600))
	}
}

// use has the next runs work with another ledger.
func (a *arena) use(path string) {
	a.script.Ledger = path
	clear(a.stored)
}

// move puts the ledger into another place, as a move to another disk does: the file
// is a new one, and the old one is gone.
func (a *arena) move() {
	from := a.script.Ledger
	stored := a.stored
	a.script.Ledger = a.copyLedger()
	a.stored = stored // still holds: this is no copy of an earlier time
	for _, suffix := range []string{"", ".incarnation", ".segments"} {
		require.NoError(a.t, os.RemoveAll(from+suffix))
	}
}

// loseAnswers has the first answer of each stream that the ledger knows get lost, and
// the first ones to Create and Finalize.
func (a *arena) loseAnswers() {
	lose := func(stream string) {
		a.srv.Inject(emulator.Fault{Kind: emulator.CloseAfter, Stream: stream, Count: 1})
	}
	for _, p := range openToRead(a.t, a.script.Ledger).partitions {
		lose(p.Stream)
		if p.Seal != nil {
			lose(p.Seal.Successor)
		}
	}
	a.srv.Inject(emulator.Fault{Kind: emulator.CreateLost, Count: 1})
	a.srv.Inject(emulator.Fault{Kind: emulator.FinalizeLost, Count: 1})
}

// reached is the position, in rows, up to which any partition has bound batches.
func (a *arena) reached() (rows int64) {
	led := openToRead(a.t, a.script.Ledger)
	for _, p := range led.partitions {
		rows = max(rows, rowsAt(p.Position))
		for _, in := range led.open[p.Key.Name] {
			rows = max(rows, rowsAt(in.After))
		}
	}
	return rows
}
