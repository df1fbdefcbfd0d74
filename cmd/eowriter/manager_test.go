package main

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/stretchr/testify/require"
)

// fakeManager is where a sidecar tells systemd how it does.
type fakeManager struct {
	t    *testing.T
	path string
	conn *net.UnixConn
	told [][]string // a message's lines
}

func newFakeManager(t *testing.T) *fakeManager {
	t.Helper()
	f := &fakeManager{t: t, path: filepath.Join(t.TempDir(), "notify")}
	var err error
	f.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: f.path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.conn.Close() })
	return f
}

// next waits for the next message.
func (f *fakeManager) next() []string {
	f.t.Helper()
	buf := make([]byte, 4096)
	require.NoError(f.t, f.conn.SetReadDeadline(time.Now().Add(2*time.Minute))) // for a test that hangs
	n, err := f.conn.Read(buf)
	require.NoError(f.t, err)
	lines := strings.Split(string(buf[:n]), "\n")
	f.told = append(f.told, lines)
	return lines
}

// until waits for a message with such a line, which it returns.
func (f *fakeManager) until(want string) string {
	f.t.Helper()
	for {
		for _, line := range f.next() {
			if strings.Contains(line, want) {
				return line
			}
		}
	}
}

// environ has the sidecar tell f, and give a sign of life within so many seconds.
func (f *fakeManager) environ(seconds int) []string {
	return append(os.Environ(), "NOTIFY_SOCKET="+f.path, "WATCHDOG_USEC="+strconv.Itoa(seconds*1e6))
}

// If it fails, systemd starts programs that need the sidecar before it takes requests, kills one that works or keeps one
// that doesn't, or takes an end that was asked for as a crash.
func TestManager(t *testing.T) {
	srv, err := emulator.Start(emulator.Options{Tables: serveSchema(t)})
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Close()) }()
	f := newFakeManager(t)
	s := newSidecar(t, srv.Addr())
	s.env = f.environ(1)
	s.start()
	require.Contains(t, f.next(), "READY=1", "nothing is said before")
	status, _, err := s.call(http.MethodGet, "a", "")
	require.NoError(t, err)
	require.Equal(t, 200, status, "it is ready: it answers")
	for range 3 {
		f.until("WATCHDOG=1")
	}
	status, a, err := s.call(http.MethodPost, "a/rows?position=1", `{"n": 0, "s": "a"}`)
	require.NoError(t, err)
	require.Equal(t, 200, status, a)
	f.until("STATUS=partitions: 1, appends that have not landed: 0")

	// While it drains it lives, too.
	srv.Inject(emulator.Fault{Kind: emulator.Stall})
	status, a, err = s.call(http.MethodPost, "a/rows?expect=1&position=2&ack=stored", `{"n": 1, "s": "a"}`)
	require.NoError(t, err)
	require.Equal(t, 200, status, a)
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
	f.until("STOPPING=1")
	f.until("STATUS=draining: partitions: 1, appends that have not landed: 1")
	require.Contains(t, f.told[len(f.told)-1], "WATCHDOG=1")
	srv.ClearFaults()
	srv.ResetConnections()
	require.NoError(t, s.cmd.Wait(), "%s", &s.errs)
	ready := slices.IndexFunc(f.told, func(lines []string) bool { return slices.Contains(lines, "READY=1") })
	require.Zero(t, ready)
}

// If it fails, a sidecar whose disk hangs is left alone for ever. The disk hangs by strace, which holds every sync.
func TestManagerOfAHangingDisk(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: it makes the disk hang")
	}
	srv, err := emulator.Start(emulator.Options{Tables: serveSchema(t)})
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Close()) }()
	f := newFakeManager(t)
	s := newSidecar(t, srv.Addr())
	s.env = f.environ(1)
	s.start()
	f.until("WATCHDOG=1")

	hang := exec.Command(strace, "-f", "-p", strconv.Itoa(s.cmd.Process.Pid), "-o", "/dev/null",
		"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_enter=3600000000")
	said, err := hang.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, hang.Start())
	line, err := bufio.NewReader(said).ReadString('\n')
	require.NoError(t, err)
	if !strings.Contains(line, "attached") {
		_ = hang.Wait()
		t.Skipf("strace may not trace here: %s", line)
	}
	letGo := func() {
		_ = hang.Process.Signal(syscall.SIGINT) // it detaches: the syncs go on
		_ = hang.Wait()
	}
	defer letGo()
	answers := make(chan int, 1)
	go func() {
		status, _, err := s.call(http.MethodPost, "a/rows?position=1", `{"n": 0, "s": "a"}`)
		if err != nil {
			status = 0
		}
		answers <- status
	}()
	f.until("STATUS=the ledger's disk hangs")
	for range 3 { // it stays so
		require.NotContains(t, f.next(), "WATCHDOG=1")
	}
	letGo()
	f.until("WATCHDOG=1")
	require.Equal(t, 200, <-answers)
	s.end()
}
