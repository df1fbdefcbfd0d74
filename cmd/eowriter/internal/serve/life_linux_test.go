package serve

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// If it fails, a sidecar whose ledger can't be written goes on as if it could, or whoever started it doesn't learn that it is
// to be started again.
func TestLedgerFails(t *testing.T) {
	g := newRig(t, nil)
	c := g.client(false)
	status, text, _ := push(t, c, rowsOf+"a/rows?position=1", strings.NewReader(lineOf(0)))
	require.Equal(t, 200, status, text)
	// The disk is full from now on.
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	require.NoError(t, err)
	defer full.Close()
	links, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	for _, link := range links {
		if to, _ := os.Readlink(link); to == g.opt.Ledger {
			fd, err := strconv.Atoi(filepath.Base(link))
			require.NoError(t, err)
			require.NoError(t, unix.Dup3(int(full.Fd()), fd, unix.O_CLOEXEC))
		}
	}
	status, text, _ = push(t, c, rowsOf+"a/rows?expect=1&position=2", strings.NewReader(lineOf(1)))
	require.Equal(t, 503, status, text)
	require.Contains(t, text, "REASON_UNRESOLVED")
	require.ErrorIs(t, <-g.done, ledger.ErrFailed)
	g.done <- nil // for the end of the test
	require.NoError(t, g.stop())
	g.start()
	status, text, _ = push(t, c, rowsOf+"a/rows?expect=1&position=2", strings.NewReader(lineOf(1)))
	require.Equal(t, 200, status, text)
	require.Equal(t, []int64{0, 1}, g.numbers())
}
