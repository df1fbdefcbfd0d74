package chaos_test

import (
	"path/filepath"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/stretchr/testify/require"
)

// copyLedger copies the closed ledger, all its files, and returns the copy's path.
func (a *arena) copyLedger() string {
	to := filepath.Join(folder(a.t), "copy.ledger")
	require.NoError(a.t, workload.CopyLedger(a.script.Ledger, to, true))
	return to
}

// restore puts a copy of the ledger in its place: into the very file that is there,
// as a backup program does, with the companion file of the copy or without.
func (a *arena) restore(from string, companion bool) {
	require.NoError(a.t, workload.CopyLedger(from, a.script.Ledger, companion))
	a.log.Restored()
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
	require.NoError(a.t, workload.RemoveLedger(from))
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
