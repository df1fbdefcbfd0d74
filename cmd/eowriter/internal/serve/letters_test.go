package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/deadletter"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/retry"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const deadTable = "projects/p/datasets/d/tables/dead"

// addDeadTable makes the table for letters at the service.
func (g *rig) addDeadTable() {
	ts, err := rows.ParseSchema([]byte(deadletter.Schema))
	require.NoError(g.t, err)
	require.NoError(g.t, g.srv.CreateTable(deadTable, ts))
}

// mixed is a body of two rows, one of which is refused.
func mixed(n int) string { return fmt.Sprintf("{\"n\": %d}\n{\"n\": \"bad %d\"}\n", n, n) }

// bury pushes mixed n to a partition.
func (g *rig) bury(c *http.Client, partition string, n int) {
	g.t.Helper()
	url := fmt.Sprintf("%s%s/rows?bad-rows=dead-letters&expect=%s&position=%s", rowsOf, partition, position(n), position(n+1))
	status, text, _ := push(g.t, c, url, strings.NewReader(mixed(n)))
	require.Equal(g.t, 200, status, text)
}

// lettersIn reads files of letters, and returns the numbers of the rows by partition.
func lettersIn(t testing.TB, paths ...string) map[string][]int {
	t.Helper()
	var records []deadletter.Record
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for line := range bytes.Lines(text) {
			var r deadletter.Record
			require.NoError(t, json.Unmarshal(line, &r), "%s", line)
			records = append(records, r)
		}
	}
	return numbersOf(t, records)
}

// numbersOf returns the numbers of the rows that are letters, which must be numbered from 1 in each partition.
func numbersOf(t testing.TB, records []deadletter.Record) map[string][]int {
	t.Helper()
	got := map[string][]int{}
	for _, r := range records {
		var n int
		_, err := fmt.Sscanf(*r.Record, `{"n": "bad %d"}`, &n)
		require.NoError(t, err, *r.Record)
		require.EqualValues(t, len(got[r.PartitionName])+1, r.Number, "letters of %s", r.PartitionName)
		got[r.PartitionName] = append(got[r.PartitionName], n)
	}
	return got
}

// lettersInTable are the letters in the table.
func (g *rig) lettersInTable() map[string][]int {
	g.t.Helper()
	var records []deadletter.Record
	for _, row := range g.srv.Rows(deadTable) {
		v, err := row.Values()
		require.NoError(g.t, err)
		delete(v, "refused_at") // a number there
		text, err := json.Marshal(v)
		require.NoError(g.t, err)
		var r deadletter.Record
		require.NoError(g.t, json.Unmarshal(text, &r))
		records = append(records, r)
	}
	return numbersOf(g.t, records)
}

// eventually waits; the time limit is only for a test that fails.
func eventually(t testing.TB, happened func() bool) {
	t.Helper()
	require.Eventually(t, happened, time.Minute, time.Millisecond)
}

// If it fails, refused rows are not where the operator wants them: those of an earlier run, of each partition, while the
// sidecar runs, and what lands at its end; or a file can't be rotated.
func TestLettersToAFile(t *testing.T) {
	g := newRig(t, nil)
	g.bury(g.client(false), "a", 0)
	require.NoError(t, g.stop())
	path := filepath.Join(g.dir, "dead.ndjson")
	g.opt.DeadLetters = path
	g.start()
	eventually(t, func() bool { return strings.Contains(g.log.String(), "dead letters delivered") })
	require.Equal(t, map[string][]int{"a": {0}}, lettersIn(t, path))
	c := g.client(false)
	g.bury(c, "b", 0)
	g.bury(c, "a", 1)
	eventually(t, func() bool {
		return strings.Count(g.log.String(), "dead letters delivered") >= 2 && len(lettersIn(t, path)["a"]) == 2
	})

	rotated := path + ".1"
	require.NoError(t, os.Rename(path, rotated))
	g.bury(c, "b", 1)
	g.bury(c, "b", 2)
	require.NoError(t, g.stop())
	require.Equal(t, map[string][]int{"a": {0, 1}, "b": {0, 1, 2}}, lettersIn(t, rotated, path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode(), "it holds rows")

	g.start()
	g.bury(g.client(false), "b", 3)
	require.NoError(t, g.stop())
	require.Equal(t, map[string][]int{"a": {0, 1}, "b": {0, 1, 2, 3}}, lettersIn(t, rotated, path))
}

// If it fails, a place that doesn't take letters stops the sidecar, or they are not delivered once it does.
func TestLettersToATable(t *testing.T) {
	g := newRig(t, func(opt *Options) {
		opt.DeadTable, opt.DrainTimeout = deadTable, 0
		opt.Ingest.Reopen = retry.Policy{Initial: time.Millisecond, Max: 20 * time.Millisecond, Multiplier: 2}
	})
	c := g.client(false)
	g.bury(c, "a", 0)
	eventually(t, func() bool { return strings.Contains(g.log.String(), "dead letters are not delivered") })
	g.bury(c, "a", 1)
	g.addDeadTable()
	eventually(t, func() bool { return len(g.lettersInTable()["a"]) == 2 })
	g.bury(c, "b", 0)
	eventually(t, func() bool { return len(g.lettersInTable()["b"]) == 1 })

	const own = "http://localhost/v1/tables/p.d.dead/partitions/dead%20letters%20of%20partition%201"
	status, text, _ := push(t, c, own+"/rows", strings.NewReader(lineOf(0)))
	require.Equal(t, 400, status, text)
	require.Contains(t, text, "takes no appends")

	// Letters that were on their way to the table at the end land with the next start, once.
	g.srv.Inject(emulator.Fault{Kind: emulator.Stall, Table: deadTable})
	g.bury(c, "a", 2)
	eventually(t, func() bool {
		req, err := http.NewRequest(http.MethodGet, own, nil)
		require.NoError(t, err)
		_, text, _ := do(t, c, req)
		return strings.Contains(text, `"acked":"2","next":"3"`)
	})
	require.NoError(t, g.stop())
	require.Contains(t, g.log.String(), "dead letters wait in the ledger for the next start")
	g.letGo()
	g.start()
	eventually(t, func() bool { return len(g.lettersInTable()["a"]) == 3 })
	require.NoError(t, g.stop())
	require.Equal(t, map[string][]int{"a": {0, 1, 2}, "b": {0}}, g.lettersInTable())
}

// If it fails, a sidecar overwrites a file that is none of letters, or serves without saying that they go nowhere.
func TestLettersFileThatCannotBe(t *testing.T) {
	g := newRig(t, nil)
	opt := g.opt
	opt.Ledger, opt.DeadLetters = filepath.Join(g.dir, "other"), filepath.Join(g.dir, "notes")
	require.NoError(t, os.WriteFile(opt.DeadLetters, []byte("my notes\n"), 0o600))
	require.ErrorContains(t, Run(context.Background(), opt), "is not a dead letter")
}

// killVariable holds what a child process does; without it TestLettersChild is none.
const killVariable = "EOWRITER_SERVE_CHILD"

// child is a sidecar that kills itself when a step of a letter is done for the Nth time; 0: it doesn't.
type child struct {
	Addr, Ledger, Socket, File, Table, Step string
	Nth                                     int
}

// TestLettersChild is the process that TestKilledWithLetters kills.
func TestLettersChild(t *testing.T) {
	text := os.Getenv(killVariable)
	if text == "" {
		t.Skip("the child of TestKilledWithLetters")
	}
	var c child
	require.NoError(t, json.Unmarshal([]byte(text), &c))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1)) // ends with the test
		cancel()
	}()
	n := 0
	require.NoError(t, Run(ctx, Options{
		MaxConnections: 1000, MaxRequests: 1000,
		Ledger: c.Ledger, Socket: c.Socket, DeadLetters: c.File, DeadTable: c.Table,
		ClientOptions: []option.ClientOption{
			option.WithEndpoint(c.Addr), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		},
		Ingest: ingest.Defaults(), StreamAppends: 8, DrainTimeout: time.Minute,
		Log:   slog.New(slog.DiscardHandler),
		Ready: func([]string) { fmt.Println("ready") },
		step: func(step string) { // one partition's at a time
			if step == c.Step {
				if n++; n == c.Nth {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {}
				}
			}
		},
	}))
}

// run has the child serve while push says so or until it has killed itself, which it says.
func (c child) run(t *testing.T, push func() bool) (killed bool) {
	t.Helper()
	arg, err := json.Marshal(c)
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0], "-test.run=^TestLettersChild$")
	cmd.Env = append(os.Environ(), killVariable+"="+string(arg))
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	var out bytes.Buffer
	ready := make(chan struct{})
	w := &watched{&out, ready}
	cmd.Stdout, cmd.Stderr = w, w
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	select {
	case <-ready:
	case <-ended:
	}
	for push() {
	}
	_ = stdin.Close() // it may have ended
	<-ended
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() && status.Signal() == syscall.SIGKILL {
		return true
	}
	require.Zero(t, status.ExitStatus(), out.String())
	return false
}

// watched says when the child is ready.
type watched struct {
	to    *bytes.Buffer
	ready chan struct{}
}

func (w *watched) Write(p []byte) (int, error) {
	if w.to.Len() == 0 {
		close(w.ready)
	}
	return w.to.Write(p)
}

// A sidecar that is killed at any step of a letter, again and again, must deliver each once, those of all partitions.
func TestKilledWithLetters(t *testing.T) {
	for _, to := range []struct {
		what, table string
		steps       []string
	}{
		{"file", "", []string{"D1", "D2", "D3", "D4"}},
		{"table", deadTable, []string{"D1", "O1", "O2", "O3", "B1", "B2", "B3", "B5", "B6", "B7", "D4"}},
	} {
		for _, step := range to.steps {
			t.Run(to.what+" "+step, func(t *testing.T) {
				t.Parallel()
				g := newRig(t, nil) // for its service; this sidecar has nothing to do
				g.addDeadTable()
				g.socket = filepath.Join(g.dir, "child", "s")
				c := child{
					Addr: g.srv.Addr(), Ledger: filepath.Join(g.dir, "child.ledger"), Socket: g.socket,
					Table: to.table, Step: step,
				}
				if to.table == "" {
					c.File = filepath.Join(g.dir, "dead")
				}
				testKilled(t, g, c)
			})
		}
	}
}

func testKilled(t *testing.T, g *rig, c child) {
	const each = 4
	next := map[string]int{"a": 0, "b": 0}
	// push has what a producer does next, and says whether there is more.
	push := func() bool {
		client := g.client(false)
		for _, name := range []string{"a", "b"} {
			n := next[name]
			if n == each {
				continue
			}
			url := fmt.Sprintf("%s%s/rows?bad-rows=dead-letters&expect=%s&position=%s", rowsOf, name, position(n), position(n+1))
			resp, err := client.Post(url, "", strings.NewReader(mixed(n)))
			if err != nil {
				return false // it is dead
			}
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK { // also if it was there before
				next[name]++
			}
			return true
		}
		return false
	}
	kills := 0
	for _, nth := range []int{1, 1, 2, 1} {
		c.Nth = nth
		if c.run(t, push) {
			kills++
		}
	}
	require.Positive(t, kills, "the step didn't come")
	c.Nth = 0
	require.False(t, c.run(t, push))
	want := map[string][]int{"a": {0, 1, 2, 3}, "b": {0, 1, 2, 3}}
	if c.Table != "" {
		require.Equal(t, want, g.lettersInTable())
	} else {
		require.Equal(t, want, lettersIn(t, c.File))
	}
	got := g.numbers()
	slices.Sort(got)
	require.Equal(t, []int64{0, 0, 1, 1, 2, 2, 3, 3}, got)
}
