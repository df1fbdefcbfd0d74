package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/stretchr/testify/require"
)

// mostMemory is what a sidecar may ever have resident, whatever is done to it.
const mostMemory = 256 << 20

// patience is how long others may have to wait: any machine is faster, and it is less than the minute after which the sidecar
// gives up slow bodies, so whoever has to wait for that is found.
const patience = 45 * time.Second

// attacked is a sidecar that is attacked by its port while a producer who does nothing wrong pushes rows by its socket.
type attacked struct {
	*sidecar
	srv      *emulator.Server
	answered atomic.Int64 // appends of that producer
}

// attack starts both. At the test's end the sidecar must be the process that it was, must not have needed more memory than it
// may, and every row of the producer's must be in the table once.
func attack(t *testing.T, args ...string) *attacked {
	srv, err := emulator.Start(emulator.Options{Tables: serveSchema(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	a := &attacked{sidecar: newSidecar(t, srv.Addr(), args...), srv: srv}
	a.start()
	stop := make(chan struct{})
	var producing sync.WaitGroup
	producing.Go(func() { a.keepProducing(stop) })
	t.Cleanup(func() {
		a.goesOn(t)
		close(stop)
		producing.Wait()
		peak := highWater(t, a.cmd.Process.Pid)
		t.Logf("%d appends were answered meanwhile; at most %d MiB were resident", a.answered.Load(), peak>>20)
		require.True(t, raceEnabled || peak < mostMemory, "more than it may have")
		a.end()
		require.NotContains(t, a.errs.String(), "panic")
		requireOnce(t, srv, "good", int(a.answered.Load()))
	})
	return a
}

// large is for attacks by size and number: what they cost is the question, and the race detector multiplies it.
func large(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes more memory and time than the attack")
	}
}

// keepProducing pushes a row after the other.
func (a *attacked) keepProducing(stop <-chan struct{}) {
	for n := 0; ; {
		select {
		case <-stop:
			return
		default:
		}
		path := fmt.Sprintf("good/rows?position=%d", n+1)
		if n > 0 {
			path += fmt.Sprintf("&expect=%d", n)
		}
		status, got, err := a.call(http.MethodPost, path, fmt.Sprintf(`{"n": %d, "s": "good"}`, n))
		switch {
		case err == nil && status == 200:
			n++
			a.answered.Store(int64(n))
		case err == nil && (status == 429 || status == 503):
			time.Sleep(time.Millisecond) // as it was told to
		default:
			a.t.Errorf("the producer on the socket got %d, %v, %v", status, got, err)
			return
		}
	}
}

// goesOn waits until the producer was answered a few times more: whatever is being done to the sidecar, it serves others.
func (a *attacked) goesOn(t *testing.T) {
	t.Helper()
	before := a.answered.Load()
	require.Eventually(t, func() bool { return t.Failed() || a.answered.Load() >= before+3 }, patience, time.Millisecond,
		"others are not served any more")
}

// address is that of the first port.
func (a *attacked) address() string { return a.ports[0][strings.Index(a.ports[0], "//")+2:] }

// dial opens a connection that is closed at the test's end.
func (a *attacked) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", a.address())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(2*time.Minute))) // a test that hangs should say where
	return c
}

// raw sends bytes as they are, and returns the status that they are answered with; 0: the connection ends without an answer.
func (a *attacked) raw(t *testing.T, text string) int {
	t.Helper()
	c := a.dial(t)
	_, _ = io.WriteString(c, text) // it may be closed before it has taken all
	answer, _ := io.ReadAll(io.LimitReader(c, 1<<20))
	found := regexp.MustCompile(`^HTTP/1.1 (\d{3}) `).FindSubmatch(answer)
	if found == nil {
		return 0
	}
	status, err := strconv.Atoi(string(found[1]))
	require.NoError(t, err)
	return status
}

// post posts a body to a path of the port.
func (a *attacked) post(t *testing.T, path string, body []byte, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, a.ports[0]+path, bytes.NewReader(body))
	require.NoError(t, err)
	for n := 0; n < len(header); n += 2 {
		req.Header.Set(header[n], header[n+1])
	}
	// The answer may come before all of the body was taken: one who says "Connection: close" may lose it in a reset.
	tr := &http.Transport{DisableCompression: true}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// rowsPath is the route for lines of a partition that only attackers write to.
const rowsPath = "/v1/tables/p.d.t/partitions/evil/rows"

// appendCall is the call that does the same.
const appendCall = "/eowriter.v1.Writer/Append"

// highWater is the most that a process has had resident.
func highWater(t *testing.T, pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	require.NotNil(t, found)
	kb, err := strconv.ParseInt(string(found[1]), 10, 64)
	require.NoError(t, err)
	return kb << 10
}

// tree lists the files in a folder.
func tree(t *testing.T, dir string) (all []string) {
	require.NoError(t, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		all = append(all, path)
		return err
	}))
	return all
}
