package chaos_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/stretchr/testify/require"
)

// copyLedger copies the closed ledger, all its files, and returns the copy's path.
func (a *arena) copyLedger() string {
	to := filepath.Join(folder(a.t), "copy.ledger")
	a.copyFiles(a.script.Ledger, to, true)
	return to
}

// restore puts a copy of the ledger in its place: into the very file that is there,
// as a backup program does, with the companion file of the copy or without.
func (a *arena) restore(from string, companion bool) {
	a.copyFiles(from, a.script.Ledger, companion)
	a.log.Restored()
}

// copyFiles copies a ledger over another, or to where there is none.
func (a *arena) copyFiles(from, to string, companion bool) {
	files := []string{""}
	if companion {
		files = append(files, ".incarnation")
	}
	for _, suffix := range files {
		a.copyFile(from+suffix, to+suffix)
	}
	require.NoError(a.t, os.RemoveAll(to+".segments"))
	if _, err := os.Stat(from + ".segments"); err != nil {
		return
	}
	require.NoError(a.t, os.Mkdir(to+".segments", 0o700))
	segments, err := os.ReadDir(from + ".segments")
	require.NoError(a.t, err)
	for _, s := range segments {
		a.copyFile(filepath.Join(from+".segments", s.Name()), filepath.Join(to+".segments", s.Name()))
	}
}

// copyFile copies a file, into the one that is there if there is one, and leaves the
// holes that a ledger mostly consists of.
func (a *arena) copyFile(from, to string) {
	in, err := os.Open(from)
	require.NoError(a.t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	require.NoError(a.t, err)
	defer func() { require.NoError(a.t, out.Close()) }()
	chunk, hole := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := in.ReadAt(chunk, at)
		if !bytes.Equal(chunk[:n], hole[:n]) {
			_, err := out.WriteAt(chunk[:n], at)
			require.NoError(a.t, err)
		}
		at += int64(n)
		if err == io.EOF {
			require.NoError(a.t, out.Truncate(at))
			return
		}
		require.NoError(a.t, err)
	}
}

// use has the next runs work with another ledger.
func (a *arena) use(path string) {
	a.script.Ledger = path
	a.log.Restored()
}

// move puts the ledger into another place, as a move to another disk does: the file
// is a new one, and the old one is gone.
func (a *arena) move() {
	from := a.script.Ledger
	a.script.Ledger = a.copyLedger()
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
	for _, p := range openToRead(a.t, a.script.Ledger).Partitions {
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
	for _, p := range led.Partitions {
		rows = max(rows, boundOf(a.t, p, led.Open[p.Key.Name]))
	}
	return rows
}
