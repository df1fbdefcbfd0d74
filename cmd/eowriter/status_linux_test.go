package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// newTerminal returns the two ends of a pseudo terminal of that size.
func newTerminal(t *testing.T, columns, rows uint16) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	fd := int(ours.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = theirs.Close() })
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}))
	return ours, theirs
}

// If it fails, a terminal isn't given back as it was, has lines broken into a heap, or has colours that its user doesn't want.
func TestStatusOnATerminal(t *testing.T) {
	srv, err := emulator.Start(emulator.Options{Tables: serveSchema(t)})
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Close()) }()
	s := newSidecar(t, srv.Addr())
	s.start()
	s.push("a/rows?position=1", `{"n": 0, "s": "a"}`)
	for _, noColor := range []bool{false, true} {
		ours, theirs := newTerminal(t, 40, 12)
		watch := command(s.dir, "status", "--socket", "run/s", "--watch")
		watch.Stdout = theirs
		watch.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=")
		if noColor {
			watch.Env = append(watch.Env, "NO_COLOR=1")
		}
		require.NoError(t, watch.Start())
		in, all := bufio.NewReader(ours), ""
		until := func(want string) {
			for !strings.Contains(all, want) {
				b, err := in.ReadByte()
				require.NoError(t, err, "%q", all)
				all += string([]byte{b})
			}
		}
		const frame = "\x1b[H"
		until("\x1b[J" + frame) // the second frame has begun
		require.NoError(t, watch.Process.Signal(os.Interrupt))
		require.NoError(t, watch.Wait())
		until("\x1b[?25h\x1b[?1049l")
		require.True(t, strings.HasPrefix(all, "\x1b[?1049h\x1b[?25l"+frame), "%q", all)
		require.Equal(t, !noColor, strings.Contains(all, "\x1b[1m"), "%q", all)
		_, first, _ := strings.Cut(all, frame)
		first, _, _ = strings.Cut(first, "\x1b[J")
		lines := strings.Split(first, "\r\n")
		require.LessOrEqual(t, len(lines), 12)
		for _, line := range lines {
			line = strings.NewReplacer("\x1b[K", "", "\x1b[1m", "", "\x1b[0m", "").Replace(line)
			require.LessOrEqual(t, len([]rune(line)), 40, line)
			require.NotContains(t, line, "\x1b")
		}
	}
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, s.cmd.Wait())
}
