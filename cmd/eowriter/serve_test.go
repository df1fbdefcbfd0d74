package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
)

// sidecar is "eowriter serve" in a process of its own, on a socket.
type sidecar struct {
	t      *testing.T
	dir    string
	args   []string
	env    []string // nil: the test's
	cmd    *exec.Cmd
	errs   bytes.Buffer
	client *http.Client
	ports  []string // URLs, in the order of their flags
}

func newSidecar(t *testing.T, addr string, args ...string) *sidecar {
	s := &sidecar{t: t, dir: t.TempDir()}
	s.args = append([]string{"serve", "--ledger", "l", "--socket", "run/s", "--endpoint", addr, "--insecure"}, args...)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.dir, "run", "s"))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	s.client = &http.Client{Transport: transport}
	t.Cleanup(s.kill)
	return s
}

// start returns once requests are taken.
func (s *sidecar) start() {
	s.t.Helper()
	s.cmd = command(s.dir, s.args...)
	s.cmd.Env = s.env
	s.errs.Reset()
	s.cmd.Stderr = &s.errs
	out, err := s.cmd.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, s.cmd.Start())
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	require.NoError(s.t, err, "it has ended: %s", &s.errs)
	require.Equal(s.t, "unix:run/s\n", line)
	s.ports = nil
	for _, arg := range s.args {
		if strings.HasSuffix(arg, "listen") {
			line, err := lines.ReadString('\n')
			require.NoError(s.t, err)
			s.ports = append(s.ports, strings.TrimSpace(line))
		}
	}
}

func (s *sidecar) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill() // it may have ended
		_ = s.cmd.Wait()
	}
}

// end tells it to end, and wants it to end well.
func (s *sidecar) end() {
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(s.t, s.cmd.Wait(), "%s", &s.errs)
}

// answered is what the sidecar says, as far as the test needs it.
type answered struct {
	Position string `json:"position"`
	Current  string `json:"current_position"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
}

// call makes a request; an error is that of a sidecar that is dead.
func (s *sidecar) call(method, path, body string) (status int, a answered, err error) {
	req, err := http.NewRequest(method, "http://sidecar/v1/tables/p.d.t/partitions/"+path, strings.NewReader(body))
	require.NoError(s.t, err)
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, a, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, a, err
	}
	require.NoError(s.t, json.Unmarshal(text, &a), "%s", text)
	return resp.StatusCode, a, nil
}

// number is a position as the number of rows before it.
func number(position string) int {
	n, _ := strconv.Atoi(position)
	return n
}

// produce pushes rows [0, total) of a partition, as any producer does: it asks for the position, sends what comes next,
// and asks again when it gets no answer. revive has the sidecar run again.
func (s *sidecar) produce(partition string, total int, ack string, revive func()) {
	at, known := 0, false
	for at < total || !known {
		if !known {
			status, a, err := s.call(http.MethodGet, partition, "")
			if err != nil {
				revive()
				continue
			}
			require.Equal(s.t, 200, status)
			at, known = number(a.Position), true
			continue
		}
		n := min(1+at%7, total-at)
		var body strings.Builder
		for i := at; i < at+n; i++ {
			fmt.Fprintf(&body, `{"n": %d, "s": %q}`+"\n", i, partition)
		}
		path := fmt.Sprintf("%s/rows?position=%d&ack=%s", partition, at+n, ack)
		if at > 0 {
			path += fmt.Sprintf("&expect=%d", at)
		}
		status, a, err := s.call(http.MethodPost, path, body.String())
		switch {
		case err != nil:
			known = false
			revive()
		case status == 200:
			require.Equal(s.t, strconv.Itoa(at+n), a.Position)
			at += n
		case status == 412:
			at = number(a.Current)
		case status == 429 || status == 503:
			known = false
		default:
			require.FailNow(s.t, "unexpected answer", "%d: %v", status, a)
		}
	}
}

// requireOnce wants rows 0 to n-1 of a partition in the table, each once and in order.
func requireOnce(t *testing.T, s *emulator.Server, partition string, n int) {
	t.Helper()
	next := int64(0)
	for _, row := range s.Rows(testTable) {
		v, err := row.Values()
		require.NoError(t, err)
		if v["s"] == partition {
			require.Equal(t, next, v["n"])
			next++
		}
	}
	require.EqualValues(t, n, next)
}

const serveTable = `[{"name": "n", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "s", "type": "STRING"}]`

func serveSchema(t *testing.T) map[string]*storagepb.TableSchema {
	schema, err := rows.ParseSchema([]byte(serveTable))
	require.NoError(t, err)
	return map[string]*storagepb.TableSchema{testTable: schema}
}

// With the sidecar killed again and again while the service drops connections and answers, each row that a producer meant
// to send must be in the table once and in order. The kill comes while an append is being received: some are
// written without the sidecar knowing, others are durable only.
func TestServeKilled(t *testing.T) {
	for _, ack := range []string{"landed", "stored"} {
		t.Run(ack, func(t *testing.T) {
			var appends atomic.Int64
			var victim atomic.Pointer[os.Process]
			srv, err := emulator.Start(emulator.Options{Tables: serveSchema(t), Seed: 5, Faults: []emulator.Fault{
				{Kind: emulator.ResetAfter, Every: 11}, {Kind: emulator.CloseAfter, Every: 13}, {Kind: emulator.CloseBefore, Every: 17},
			}, OnAppend: func(r emulator.Request) {
				if p := victim.Load(); r.Offset < 1<<62 && appends.Add(1)%10 == 0 && p != nil && victim.CompareAndSwap(p, nil) {
					_ = p.Kill()
				}
			}})
			require.NoError(t, err)
			defer func() { require.NoError(t, srv.Close()) }()
			s := newSidecar(t, srv.Addr())
			kills := 0
			revive := func() {
				if s.cmd != nil {
					_ = s.cmd.Wait()
					kills++
				}
				s.start()
				if kills < 8 {
					victim.Store(s.cmd.Process)
				}
			}
			revive()
			s.produce("a", 400, ack, revive)
			s.produce("b", 200, ack, revive)
			victim.Store(nil)
			srv.ClearFaults()
			if _, _, err := s.call(http.MethodGet, "a", ""); err != nil {
				revive()
			}
			s.end()
			require.GreaterOrEqual(t, kills, 5)
			requireOnce(t, srv, "a", 400)
			requireOnce(t, srv, "b", 200)
			require.Contains(t, s.errs.String(), "everything has landed")
		})
	}
}

// What was stored before a kill must land after the next start, without anybody asking for it; and a second sidecar must
// not be able to take the ledger meanwhile.
func TestServeLandsWhatWasStored(t *testing.T) {
	srv, err := emulator.Start(emulator.Options{Tables: serveSchema(t)})
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Close()) }()
	s := newSidecar(t, srv.Addr())
	s.start()
	status, a, err := s.call(http.MethodPost, "a/rows?position=1", `{"n": 0, "s": "a"}`)
	require.NoError(t, err)
	require.Equal(t, 200, status, a)
	second := command(s.dir, append(s.args, "--socket", "run2/s")...)
	out, err := second.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, exitFailure, second.ProcessState.ExitCode())
	require.Contains(t, string(out), "in use")
	require.Equal(t, 1, strings.Count(string(out), "\n"), "one line: %s", out)
	for _, args := range [][]string{{"show"}, {"verify", "--endpoint", srv.Addr(), "--insecure"}, {"resolve", "--partition", "a"}, {"skip", "--partition", "a", "--yes"}, {"compact", "--yes"}} {
		out, err := command(s.dir, append(append([]string{"ledger"}, args...), "l")...).CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), "stop the writer of l first, the sidecar (eowriter serve) or a load", args)
	}

	srv.Inject(emulator.Fault{Kind: emulator.Stall})
	status, a, err = s.call(http.MethodPost, "a/rows?expect=1&position=3&ack=stored", "{\"n\": 1, \"s\": \"a\"}\n{\"n\": 2, \"s\": \"a\"}")
	require.NoError(t, err)
	require.Equal(t, 200, status, a)
	s.kill()
	srv.ClearFaults()
	s.start()
	require.Eventually(t, func() bool { return len(srv.Rows(testTable)) == 3 }, 30*time.Second, time.Millisecond)
	requireOnce(t, srv, "a", 3)
	s.end()
}

// What a halted partition's error says to do must be all there is to do: stop, look, resolve, start.
func TestServeAfterAHalt(t *testing.T) {
	srv, err := emulator.Start(emulator.Options{Tables: serveSchema(t)})
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Close()) }()
	s := newSidecar(t, srv.Addr())
	s.start()
	push := func(expect, position int) (int, answered) {
		status, a, err := s.call(http.MethodPost, fmt.Sprintf("a/rows?expect=%d&position=%d", expect, position), fmt.Sprintf(`{"n": %d, "s": "a"}`, expect))
		require.NoError(t, err)
		return status, a
	}
	status, a, err := s.call(http.MethodPost, "a/rows?position=1", `{"n": 0, "s": "a"}`)
	require.NoError(t, err)
	require.Equal(t, 200, status, a)
	_, err = srv.AppendForeign(srv.Streams(testTable)[1].Name, [][]byte{srv.Rows(testTable)[0].Data})
	require.NoError(t, err)
	status, a = push(1, 2) // accepted, and then somebody else's row is there
	require.Equal(t, 503, status, a)
	require.Eventually(t, func() bool { _, a = push(2, 3); return a.Reason == "REASON_HALTED" }, time.Minute, time.Millisecond)
	require.Contains(t, a.Message, "stop the sidecar")
	s.end()
	s.start() // it doesn't pass by itself
	_, a = push(2, 3)
	require.Equal(t, "REASON_HALTED", a.Reason, a)
	s.end()
	require.Contains(t, s.errs.String(), `msg="partition is halted" table=p.d.t partition=a`)

	out, err := command(s.dir, "ledger", "show", "l").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "eowriter ledger resolve --partition a")
	out, err = command(s.dir, "ledger", "resolve", "--partition", "a", "--yes", "l").CombinedOutput()
	require.NoError(t, err, "%s", out)
	s.start()
	status, a = push(2, 3)
	require.Equal(t, 200, status, a)
	s.end()
}
