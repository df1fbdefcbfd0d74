package chaos

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// foreignDeed is what somebody else does to a stream.
type foreignDeed struct {
	name  string
	stops error // what a writer with open batches on the stream stops with
	do    func(srv *emulator.Server, stream string) error
}

var foreignDeeds = []foreignDeed{
	{"finalize", committed.ErrFenced, func(srv *emulator.Server, stream string) error {
		_, err := srv.FinalizeStream(stream)
		return err
	}},
	{"append", committed.ErrConflict, func(srv *emulator.Server, stream string) error {
		// One row: no batch ends there. Whole batches of somebody else that end where
		// ours do can't be told from ours (case 23).
		row := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), foreignID)
		_, err := srv.AppendForeign(stream, [][]byte{row})
		return err
	}},
	{"expire", committed.ErrInDoubt, func(srv *emulator.Server, stream string) error {
		return srv.ExpireStream(stream)
	}},
}

// TestForeignDeedAfterCrash kills the writer at every step, has somebody else do
// something to its stream, and starts again. If it failed, a writer would go on beside
// another one, or give up where nothing can be lost.
func TestForeignDeedAfterCrash(t *testing.T) {
	ends := newTally(t, len(copies())*len(foreignDeeds), nil, committed.ErrFenced, committed.ErrConflict, committed.ErrInDoubt)
	for i, at := range copies() {
		for j, deed := range foreignDeeds {
			frozen := (i/2+j)%2 == 1
			t.Run(fmt.Sprintf("%v/%s/%s", at, deed.name, mode(frozen)), func(t *testing.T) {
				t.Parallel()
				a := stopAt(t, at, frozen)
				led := openToRead(t, a.script.Ledger)
				for _, p := range led.partitions {
					if s, _ := a.srv.Stream(p.Stream); p.Key.Name == "p0" && !s.Finalized {
						require.NoError(t, deed.do(a.srv, p.Stream))
					}
				}
				a.loseAnswers()
				if a.runAs(ends.count(a.expect(false))) {
					a.requireComplete()
				}
			})
		}
	}
}

// appendBatches is a foreign deed that ends where our next but one batch does. A
// writer that is at work knows that it has not sent the next one yet. After a crash
// nobody could know.
var appendBatches = foreignDeed{"append two batches", committed.ErrConflict, func(srv *emulator.Server, stream string) error {
	rows := make([][]byte, 2*batchRows)
	for i := range rows {
		rows[i] = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), foreignID)
	}
	_, err := srv.AppendForeign(stream, rows)
	return err
}}

// TestForeignDeed has somebody else do something to a stream that is being written.
// If it failed, the writer would report rows as landed that are not there, or go on.
func TestForeignDeed(t *testing.T) {
	for _, deed := range append(foreignDeeds, appendBatches) {
		for _, frozen := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%s", deed.name, mode(frozen)), func(t *testing.T) {
				t.Parallel()
				a := newArena(t, script{Frozen: frozen}, emulator.Options{})
				var n atomic.Int64
				var victim string // set by the goroutine of one append; read after the run
				hook := func(r emulator.Request) {
					if r.Offset < probeOffset && n.Add(1) == 20 {
						victim = r.Stream
						if err := deed.do(a.srv, r.Stream); err != nil {
							t.Error(err)
						}
					}
				}
				a.onAppend.Store(&hook)
				failed := a.run()
				a.requireSound()
				for _, p := range openToRead(t, a.script.Ledger).partitions {
					if p.Stream == victim {
						require.ErrorIs(t, failed[p.Key.Name], deed.stops)
						continue
					}
					require.NoError(t, failed[p.Key.Name])
				}
				if deed.name == appendBatches.name {
					return
				}
				// And so it stays.
				want := a.expect(false)
				require.Len(t, failed, 1)
				a.runAs(want)
				for p, err := range failed {
					require.ErrorIs(t, err, want[p])
				}
			})
		}
	}
}
