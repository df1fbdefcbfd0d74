package committed_test

import (
	"os"
	"testing"

	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// fill makes the open ledger's disk full: its descriptor becomes one of /dev/full.
func (b *bench) fill() {
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	require.NoError(b.t, err)
	defer full.Close()
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(b.t, err)
	for _, e := range open {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); to == b.path {
			var fd int
			for _, c := range e.Name() {
				fd = fd*10 + int(c-'0')
			}
			require.NoError(b.t, unix.Dup3(int(full.Fd()), fd, unix.O_CLOEXEC))
			return
		}
	}
	require.Fail(b.t, "the ledger's file is not open")
}

// If it fails, a writer goes on although it can't know what its ledger holds
// (invariant 7), or one of its partitions does.
func TestLedgerFails(t *testing.T) {
	b, resume := stalled(t, committed.Options{})
	p, other, idle := b.partition("a", true), b.partition("b", true), b.partition("c", true)
	before := b.append(p, 0, 2)
	require.NoError(t, before[1].Stored(b.ctx()))
	b.fill()
	after := b.appendUntil(ledger.ErrFailed, other, 0, 2)
	e := b.requireStopped(other, committed.ErrUnknown)
	require.ErrorIs(t, e, ledger.ErrFailed)
	require.ErrorIs(t, e, unix.ENOSPC)
	for _, r := range after {
		require.ErrorIs(t, r.Stored(b.ctx()), committed.ErrUnknown)
		_, err := r.Wait(b.ctx())
		require.ErrorIs(t, err, committed.ErrUnknown)
	}
	resume() // the answers for the first partition come, and can't be acknowledged
	b.requireStopped(p, committed.ErrUnknown)
	for _, r := range before {
		require.NoError(t, r.Stored(b.ctx()))
		_, err := r.Wait(b.ctx())
		require.ErrorIs(t, err, committed.ErrUnknown)
	}
	_, err := idle.Append(b.ctx(), committed.Batch{Rows: batch(0, 1).Rows})
	if err == nil { // it is told with the result, or at once
		b.requireStopped(idle, committed.ErrUnknown)
	}
	require.NotEmpty(t, b.ids(), "the first has landed, the second may have been cut off")

	require.ErrorIs(t, b.w.Close(b.ctx()), committed.ErrUnknown)
	require.ErrorIs(t, b.led.Close(), ledger.ErrFailed)
	b.open()
	p = b.partition("a", true)
	require.Len(t, p.Found(), 2)
	require.NoError(t, p.Drain(b.ctx()))
	b.requireRows(20)
	require.Nil(t, b.partition("b", true).Position())
	b.requireSound()
}
