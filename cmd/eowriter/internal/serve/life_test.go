package serve

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/eowriter/eowriter/chaos/emulator"
)

// If it fails, other users of the machine can write rows, or read what others wrote.
func TestSocketIsItsOwners(t *testing.T) {
	g := newRig(t, nil)
	dir, err := os.Stat(filepath.Dir(g.socket))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700)|os.ModeDir, dir.Mode())
	socket, err := os.Stat(g.socket)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600)|os.ModeSocket, socket.Mode())
	for _, path := range []string{g.opt.Ledger, g.opt.Ledger + ".incarnation", g.socket + ".lock"} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
	}
	require.NoError(t, g.stop())
	require.NoFileExists(t, g.socket)
}

// If it fails, a sidecar that was killed can't be started again, or two serve one socket, or one takes what isn't its own.
func TestSocketFiles(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "own")
	path := filepath.Join(own, "s")
	first, err := open(&Options{Socket: path})
	require.NoError(t, err)
	_, err = open(&Options{Socket: path})
	require.ErrorContains(t, err, "another process serves there")
	// A kill leaves the file.
	first.all[0].Listener.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, first.close())
	require.FileExists(t, path)
	second, err := open(&Options{Socket: path})
	require.NoError(t, err)
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, second.close())

	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err = open(&Options{Socket: path})
	require.ErrorContains(t, err, "something else than a socket")
	wide := filepath.Join(dir, "wide")
	require.NoError(t, os.Mkdir(wide, 0o755))
	_, err = open(&Options{Socket: filepath.Join(wide, "s")})
	require.ErrorContains(t, err, "others may enter")
	require.NoError(t, os.Symlink(own, filepath.Join(dir, "link")))
	_, err = open(&Options{Socket: filepath.Join(dir, "link", "s")})
	require.ErrorContains(t, err, "no folder")
	_, err = open(&Options{Socket: filepath.Join(dir, "no", "such", "s")})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = open(&Options{Socket: filepath.Join(dir, strings.Repeat("x", 108))})
	require.ErrorContains(t, err, "107 bytes")
	if os.Geteuid() == 0 {
		theirs := filepath.Join(dir, "theirs")
		require.NoError(t, os.Mkdir(theirs, 0o700))
		require.NoError(t, os.Chown(theirs, 12345, 12345))
		_, err = open(&Options{Socket: filepath.Join(theirs, "s")})
		require.ErrorContains(t, err, "somebody else's")
	}
	_, err = open(&Options{Listen: "0.0.0.0:0"})
	require.ErrorContains(t, err, "only on loopback")
}

// If it fails, somebody who can't start it doesn't learn why, or a start leaves something behind.
func TestStartFails(t *testing.T) {
	g := newRig(t, nil)
	again := g.opt
	again.Ready = nil
	require.ErrorIs(t, Run(context.Background(), again), ledger.ErrInUse)

	unreachable := g.opt
	unreachable.Ledger, unreachable.ContactTimeout = filepath.Join(g.dir, "other"), 300*time.Millisecond
	srv, err := emulator.Start(emulator.Options{})
	require.NoError(t, err)
	unreachable.ClientOptions = srv.ClientOptions()
	require.NoError(t, srv.Close())
	err = Run(context.Background(), unreachable)
	require.ErrorContains(t, err, "the service is not reached within 300ms")
	require.ErrorContains(t, err, "connection refused")

	taken := g.opt
	taken.Ledger, taken.Listen = filepath.Join(g.dir, "third"), ""
	require.ErrorContains(t, Run(context.Background(), taken), "another process serves there")
}

// If it fails, a stop loses what was accepted, takes for ever, or doesn't say what is left.
func TestStop(t *testing.T) {
	g := newRig(t, func(opt *Options) { opt.DrainTimeout = 200 * time.Millisecond })
	c := g.client(false)
	for n := range 10 {
		status, text, _ := push(t, c, rowsOf+"a/rows?ack=stored&expect="+position(n)+"&position="+position(n+1), strings.NewReader(lineOf(n)))
		require.Equal(t, 200, status, text)
	}
	require.NoError(t, g.stop())
	require.Len(t, g.numbers(), 10)
	require.Contains(t, g.log.String(), "everything has landed")

	g.start()
	status, text, _ := push(t, c, rowsOf+"a/rows?expect=10&position=11", strings.NewReader(lineOf(10)))
	require.Equal(t, 200, status, text)
	g.stall()
	waiting := make(chan int, 1)
	go func() {
		status, _, _ := push(t, g.client(false), rowsOf+"a/rows?expect=11&position=12", strings.NewReader(lineOf(11)))
		waiting <- status
	}()
	require.Eventually(t, func() bool {
		resp, err := c.Get(rowsOf + "a")
		require.NoError(t, err)
		defer resp.Body.Close()
		b := make([]byte, 1000)
		n, _ := resp.Body.Read(b)
		return strings.Contains(string(b[:n]), `"open_appends":1`)
	}, 30*time.Second, time.Millisecond)
	require.NoError(t, g.stop())
	require.Equal(t, 503, <-waiting, "it is told to ask again")
	require.Contains(t, g.log.String(), `msg="left for the next start" table=p.d.t partition=a appends=1`)
	g.letGo()
	g.start()
	require.Eventually(t, func() bool { return len(g.numbers()) == 12 }, 30*time.Second, time.Millisecond)
}

// If it fails, a partition that the service refuses ends the sidecar, or the next producer isn't told to wait.
func TestRefusedPartition(t *testing.T) {
	g := newRig(t, nil)
	c := g.client(false)
	push(t, c, rowsOf+"a/rows?position=1", strings.NewReader(lineOf(0)))
	g.srv.Inject(emulator.Fault{Kind: emulator.ErrorBefore, Error: status.New(codes.PermissionDenied, "no access")})
	code, text, header := push(t, c, rowsOf+"a/rows?expect=1&position=2", strings.NewReader(lineOf(1)))
	require.Equal(t, 503, code, text)
	require.Contains(t, text, "REASON_UNRESOLVED")
	require.NotEmpty(t, header.Get("Retry-After"))
	require.Eventually(t, func() bool {
		code, text, header = push(t, c, rowsOf+"a/rows?expect=2&position=3", strings.NewReader(lineOf(2)))
		return strings.Contains(text, "REASON_UNAVAILABLE")
	}, 30*time.Second, time.Millisecond)
	require.Equal(t, 503, code)
	require.NotEmpty(t, header.Get("Retry-After"))
	require.Contains(t, text, "no access")
	g.srv.ClearFaults()
}
