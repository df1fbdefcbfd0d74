package chaos_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/test/bufconn"
)

// inThePast runs something in a bubble, whose clock stands at the year 2000, with the
// service there, too.
func (a *arena) inThePast(t *testing.T, do func()) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) }) // see TestMain for whom this waits
		a.opt.Listener = bufconn.Listen(1 << 20)
		a.serve()
		do()
		require.NoError(t, a.srv.Close())
	})
	a.opt.Listener = nil
}

// TestClock sets the clock by a quarter of a century between a crash and the next start.
// If it failed, a clock that is set back or forth would lose, repeat or disorder rows, or
// stop the writer. Its only wall time is when the ledger wrote a partition last, from
// which it guesses whether the stream is near the end of its time to live.
func TestClock(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		newOne := func(t *testing.T) *arena {
			// The service's clock is its own: streams don't expire because ours is set.
			return newArena(t, workload.Script{Frozen: frozen}, emulator.Options{Data: t.TempDir(), StreamTTL: -1})
		}
		t.Run("back/"+mode(frozen), func(t *testing.T) {
			t.Parallel()
			a := newOne(t)
			a.crash(workload.Point{Step: committed.B3, Done: true, Nth: 20})
			a.settle()
			require.NoError(t, a.srv.Close())
			a.inThePast(t, func() {
				require.Empty(t, a.run())
				a.requireComplete()
			})
			require.Empty(t, a.log.Reasons, "no stream was old")
		})
		t.Run("forth/"+mode(frozen), func(t *testing.T) {
			t.Parallel()
			a := newOne(t)
			require.NoError(t, a.srv.Close())
			a.inThePast(t, func() { a.goOn(sourceEnd / 2) })
			a.serve()
			require.Empty(t, a.run())
			a.requireComplete()
			for _, p := range partitions {
				require.Equal(t, []ledger.Reason{ledger.Aging}, a.log.Reasons[p], "its stream seemed old")
			}
		})
	}
}
