package chaos_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
	"github.com/stretchr/testify/require"
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
		// One row: no batch ends there. After a crash, whole batches of somebody else
		// that end where open ones of ours do can't be told from those (case 23).
		_, err := srv.AppendForeign(stream, [][]byte{workload.ForeignRow()})
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
				for _, p := range led.Partitions {
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

// TestForeignDeed has somebody else do something to a stream that is being written.
// If it failed, the writer would report rows as landed that are not there, or go on.
func TestForeignDeed(t *testing.T) {
	for _, deed := range foreignDeeds {
		for _, frozen := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%s", deed.name, mode(frozen)), func(t *testing.T) {
				t.Parallel()
				a := newArena(t, workload.Script{Frozen: frozen}, emulator.Options{})
				var n atomic.Int64
				var victim string // set by the goroutine of one append; read after the run
				hook := func(r emulator.Request) {
					if r.Offset < workload.ProbeOffset && n.Add(1) == 20 {
						victim = r.Stream
						if err := deed.do(a.srv, r.Stream); err != nil {
							t.Error(err)
						}
					}
				}
				a.onAppend.Store(&hook)
				failed := a.run()
				a.requireSound()
				for _, p := range openToRead(t, a.script.Ledger).Partitions {
					if p.Stream == victim {
						require.ErrorIs(t, failed[p.Key.Name], deed.stops)
						continue
					}
					require.NoError(t, failed[p.Key.Name])
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

// TestForeignBatches has somebody else append as many rows as the next two batches
// have, while both are on their way for the first time. If it failed, the writer would
// take an answer "already there" about rows that it had never sent before for its own,
// and lose its batches (invariant 6).
func TestForeignBatches(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		t.Run(mode(frozen), func(t *testing.T) {
			t.Parallel()
			a := newArena(t, workload.Script{Frozen: frozen}, emulator.Options{})
			next := map[string]chan struct{}{} // by partition: closed when the second one is sent
			for _, p := range partitions {
				next[p] = make(chan struct{})
			}
			const first, second = 10 * batchRows, 11 * batchRows
			a.onNote = func(n workload.Note) {
				if n.Kind == workload.Sent && n.Offset == second {
					close(next[n.Partition])
				}
			}
			hook := func(r emulator.Request) {
				if r.Offset != first {
					return
				}
				partition := ""
				for _, row := range tableRows(t, a.srv) {
					if row.Stream == r.Stream {
						partition = row.Partition
					}
				}
				select {
				case <-next[partition]:
				case <-time.After(10 * time.Second):
					t.Errorf("the batch at %d was not sent beside the one at %d", second, first)
				}
				rows := make([][]byte, 2*batchRows)
				for i := range rows {
					rows[i] = workload.ForeignRow()
				}
				if _, err := a.srv.AppendForeign(r.Stream, rows); err != nil {
					t.Error(err)
				}
				// Only this one is answered: a writer that believed the answer would wait.
				a.srv.Inject(emulator.Fault{Kind: emulator.Stall, Stream: r.Stream, After: 1})
			}
			a.onAppend.Store(&hook)
			failed := a.run()
			for _, p := range partitions {
				require.ErrorIs(t, failed[p], committed.ErrConflict)
			}
			a.requireSound()
			// Nor does a mere restart, to which those batches may have been sent and whose
			// probe would fit; nor one from another place.
			a.onAppend.Store(nil)
			a.onNote = nil
			a.srv.ClearFaults()
			a.settle()
			for _, again := range []func(){func() {}, func() {}, a.move} {
				again()
				want := a.expect(false)
				for _, p := range partitions {
					require.ErrorIs(t, want[p], committed.ErrConflict)
				}
				a.runAs(want)
			}
		})
	}
}
