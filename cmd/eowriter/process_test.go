package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/bench"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/load"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/testdata"
	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
)

// command is the real program in a process of its own; testscript.Main put it into PATH.
func command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("eowriter", args...)
	cmd.Dir = dir
	return cmd
}

// flightsDir holds a month of flights and the schema.
func flightsDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"flights-2013-01.ndjson.gz", "schema.json"} {
		b, err := testdata.FS.ReadFile("flights/" + name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	return dir
}

const january = 27004 // rows

func loadArgs(addr string, more ...string) []string {
	return append([]string{"load", "--table", "p.d.flights", "--ledger", "t.ledger", "--endpoint", addr, "--insecure", "--json"}, more...)
}

func readReport(t *testing.T, out []byte) (r load.Report) {
	t.Helper()
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	require.NoError(t, json.Unmarshal(lines[len(lines)-1], &r))
	return r
}

func flightsSchema(t *testing.T) *storagepb.TableSchema {
	t.Helper()
	text, err := testdata.FS.ReadFile("flights/schema.json")
	require.NoError(t, err)
	schema, err := rows.ParseSchema(text)
	require.NoError(t, err)
	return schema
}

func startFlights(t *testing.T, opt emulator.Options) *emulator.Server {
	t.Helper()
	opt.Tables = map[string]*storagepb.TableSchema{flights: flightsSchema(t)}
	s, err := emulator.Start(opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// process is one that others send signals to, who wait until it has been started.
type process struct {
	mu sync.Mutex
	p  *os.Process
}

func (p *process) start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.NoError(t, cmd.Start())
	p.p = cmd.Process
}

func (p *process) signal(s os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.p.Signal(s) // it may have ended
}

// After a kill -9 the next run must append exactly the rest: the contract of load, for files that are read again and for
// standard input, whose rows are in the ledger. The kill comes while an append is being received, so that some batches
// are written without the writer knowing and others are bound only.
func TestKillNine(t *testing.T) {
	dir := flightsDir(t)
	text := unzip(t, filepath.Join(dir, "flights-2013-01.ndjson.gz"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plain.ndjson"), text, 0o600))
	for _, file := range []string{"flights-2013-01.ndjson.gz", "plain.ndjson", "-"} {
		for _, at := range []int64{1, 7, 20} {
			t.Run(fmt.Sprintf("%s at append %d", file, at), func(t *testing.T) {
				var victim process
				var appends atomic.Int64
				s := startFlights(t, emulator.Options{OnAppend: func(r emulator.Request) {
					if r.Offset < 1<<62 && appends.Add(1) == at {
						victim.signal(os.Kill) // the request is written all the same
					}
				}})
				run := func() *exec.Cmd {
					cmd := command(dir, loadArgs(s.Addr(), "--ledger", fmt.Sprintf("%d-%s.ledger", at, file), file)...)
					cmd.Stdin = bytes.NewReader(text)
					return cmd
				}
				first := run()
				victim.start(t, first)
				require.Error(t, first.Wait())
				require.Equal(t, syscall.SIGKILL, first.ProcessState.Sys().(syscall.WaitStatus).Signal())

				out, err := run().Output()
				require.NoError(t, err)
				r := readReport(t, out)
				require.Equal(t, int64(january), r.RowsRead)
				require.Equal(t, int64(january), r.RowsAppended+r.RowsConfirmed)
				require.GreaterOrEqual(t, r.RowsConfirmed, at*500, "these were in the table before")
				require.Equal(t, int64(0), r.StreamsCreated)
				requireFlights(t, text, s.Rows(flights))

				out, err = run().Output()
				require.NoError(t, err)
				r = readReport(t, out)
				require.Equal(t, int64(0), r.RowsAppended)
				require.Equal(t, int64(january), r.RowsConfirmed)
			})
		}
	}
}

func unzip(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	text, err := io.ReadAll(z)
	require.NoError(t, err)
	return text
}

// requireFlights wants the rows to be those of text, in its order.
func requireFlights(t *testing.T, text []byte, got []emulator.Row) {
	t.Helper()
	require.Len(t, got, january)
	enc, err := rows.Compile(flightsSchema(t))
	require.NoError(t, err)
	i := 0
	for line := range bytes.Lines(text) {
		want, err := enc.Append(nil, line)
		require.NoError(t, err)
		if !bytes.Equal(want, got[i].Data) {
			require.FailNow(t, "a row is out of place", "row %d", i)
		}
		i++
	}
}

// Ctrl-C must let land what was read, say how to go on, and leave the rest to the next run.
func TestInterrupt(t *testing.T) {
	var victim process
	var appends atomic.Int64
	s := startFlights(t, emulator.Options{OnAppend: func(r emulator.Request) {
		if r.Offset < 1<<62 && appends.Add(1) == 5 {
			victim.signal(os.Interrupt)
		}
	}, Faults: []emulator.Fault{{Kind: emulator.Stall, After: 5, Count: 1, Delay: 300_000_000}}})
	dir := flightsDir(t)
	cmd := command(dir, loadArgs(s.Addr(), "--window", "2", "--batch-rows", "100", "flights-2013-01.ndjson.gz")...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	victim.start(t, cmd)
	require.Error(t, cmd.Wait())
	require.Equal(t, exitFailure, cmd.ProcessState.ExitCode())
	require.Contains(t, errs.String(), "interrupted: run the same command again to load the rest")
	r := readReport(t, out.Bytes())
	require.Less(t, r.RowsRead, int64(january))
	require.Equal(t, r.RowsRead, r.RowsAppended)
	require.Len(t, s.Rows(flights), int(r.RowsAppended))

	second, err := command(dir, loadArgs(s.Addr(), "flights-2013-01.ndjson.gz")...).Output()
	require.NoError(t, err)
	require.Equal(t, january-r.RowsAppended, readReport(t, second).RowsAppended)
	require.Len(t, s.Rows(flights), january)
}

// Interrupted in the middle, the demo must leave neither files nor processes behind.
func TestInterruptedDemo(t *testing.T) {
	tmp := t.TempDir()
	cmd := command(tmp, "demo", "--months", "3")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	errs, err := cmd.StderrPipe() // the writer has a pipe of its own: this one ends with the demo
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(errs)
	for text := ""; !strings.Contains(text, "killed the writer"); {
		text, err = lines.ReadString('\n')
		require.NoError(t, err)
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(lines)
	require.NoError(t, err)
	require.Error(t, cmd.Wait())
	require.Equal(t, exitFailure, cmd.ProcessState.ExitCode())
	require.Contains(t, string(rest), "interrupted; nothing is left behind")
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left)
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, path := range processes {
		line, _ := os.ReadFile(path) // it may have ended
		require.NotContains(t, string(line), tmp, "the writer's ledger is in its arguments")
	}
}

// The emulator command must say where it listens before anything else, keep its data over a kill -9, and end with
// success when it is told to.
func TestEmulatorCommand(t *testing.T) {
	dir := flightsDir(t)
	start := func() (cmd *exec.Cmd, addr string, rest <-chan []byte) {
		cmd = command(dir, "emulator", "--listen", "127.0.0.1:0", "--data", "emu", "--table", "p.d.flights=schema.json", "--json")
		pipe, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewReader(pipe)
		line, err := lines.ReadBytes('\n')
		require.NoError(t, err)
		var first emulatorStart
		require.NoError(t, json.Unmarshal(line, &first))
		c := make(chan []byte, 1)
		go func() {
			b, _ := io.ReadAll(lines) // ends with the process
			c <- b
		}()
		return cmd, first.Address, c
	}
	cmd, addr, rest := start()
	out, err := command(dir, loadArgs(addr, "flights-2013-01.ndjson.gz")...).Output()
	require.NoError(t, err)
	require.Equal(t, int64(january), readReport(t, out).RowsAppended)
	require.NoError(t, cmd.Process.Kill())
	waitFor(t, rest)
	_ = cmd.Wait()

	cmd, addr, rest = start()
	// The same file under another name is another partition; the first one's stream is still known.
	require.NoError(t, os.Rename(filepath.Join(dir, "flights-2013-01.ndjson.gz"), filepath.Join(dir, "more.ndjson.gz")))
	out, err = command(dir, loadArgs(addr, "more.ndjson.gz")...).Output()
	require.NoError(t, err)
	require.Equal(t, int64(january), readReport(t, out).RowsAppended)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	var end emulatorEnd
	require.NoError(t, json.Unmarshal(waitFor(t, rest), &end))
	require.Equal(t, int64(january), end.Rows)
	require.NoError(t, cmd.Wait())
}

// The bench of the sidecar must count only what was answered, and leave no files behind.
func TestBenchSidecar(t *testing.T) {
	dir := t.TempDir()
	out, err := command(dir, "bench", "sidecar", "--producers", "3", "--duration", "200ms", "--dir", dir, "--json").Output()
	require.NoError(t, err)
	var results []bench.LoadResult
	require.NoError(t, json.Unmarshal(out, &results), "%s", out)
	require.Len(t, results, 3)
	for n, contender := range []string{"bare client", "sidecar, landed", "sidecar, stored"} {
		require.Equal(t, contender, results[n].Contender)
		require.Positive(t, results[n].Appends)
		require.LessOrEqual(t, results[n].P50, results[n].P99)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}
