package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/deadletter"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/testdata"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// The test binary is the command itself when it is called eowriter: the scripts, and the tests that kill it, run the
// real main.
func TestMain(m *testing.M) {
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0") // of the race detector: a second for each process otherwise
	testscript.Main(m, map[string]func(){"eowriter": main})
}

const (
	testTable = "projects/p/datasets/d/tables/t"
	flights   = "projects/p/datasets/d/tables/flights"
)

// The scripts say in their first lines what would break.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Values[serverKey{}] = new(*emulator.Server)
			month, err := testdata.FS.ReadFile("flights/flights-2013-01.ndjson.gz")
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(env.WorkDir, "january.ndjson.gz"), month, 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"emulator": startEmulator,
			"table":    countRows,
			"appends":  countAppends,
			"json":     findRow,
			"lines":    countLines,
			"zstd":     compress,
			"foreign":  appendForeign,
			"fault":    injectFault,
			"faults":   clearFaults,
			"expire":   expireStream,
			"finalize": finalizeStream,
			"drop":     dropTable,
			"gap":      damage,
			"exit":     exitWith,
		},
	})
}

// parsed is a schema in BigQuery's JSON form.
func parsed(ts *testscript.TestScript, text string) *storagepb.TableSchema {
	schema, err := rows.ParseSchema([]byte(text))
	ts.Check(err)
	return schema
}

// startEmulator is "emulator [FAULT...]": it serves these tables, at $ADDR, until the script ends: p.d.t, p.d.flights,
// p.d.short, which takes less than p.d.t does, and p.d.letters for dead letters.
func startEmulator(ts *testscript.TestScript, _ bool, args []string) {
	text, err := testdata.FS.ReadFile("flights/schema.json")
	ts.Check(err)
	opt := emulator.Options{Tables: map[string]*storagepb.TableSchema{
		testTable:                              parsed(ts, `[{"name": "n", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "s", "type": "STRING"}]`),
		flights:                                parsed(ts, string(text)),
		"projects/p/datasets/d/tables/short":   parsed(ts, `[{"name": "n", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "s", "type": "STRING", "maxLength": 3}]`),
		"projects/p/datasets/d/tables/letters": parsed(ts, deadletter.Schema),
	}}
	for _, spec := range args {
		f, err := emulator.ParseFault(spec)
		ts.Check(err)
		opt.Faults = append(opt.Faults, f)
	}
	s, err := emulator.Start(opt)
	ts.Check(err)
	ts.Defer(func() { ts.Check(s.Close()) })
	ts.Setenv("ADDR", s.Addr())
	*ts.Value(serverKey{}).(**emulator.Server) = s
}

// serverKey finds the emulator of a script.
type serverKey struct{}

func server(ts *testscript.TestScript) *emulator.Server {
	return *ts.Value(serverKey{}).(**emulator.Server)
}

// countRows is "table NAME N [VALUE...]": the table has N rows, and the values of their column n are these, in order.
func countRows(ts *testscript.TestScript, _ bool, args []string) {
	got := server(ts).Rows("projects/p/datasets/d/tables/" + args[0])
	if strconv.Itoa(len(got)) != args[1] {
		ts.Fatalf("table %s has %d rows, want %s", args[0], len(got), args[1])
	}
	for i, want := range args[2:] {
		values, err := got[i].Values()
		ts.Check(err)
		if n, ok := values["n"].(int64); !ok || strconv.FormatInt(n, 10) != want {
			ts.Fatalf("row %d has n = %v, want %s", i, values["n"], want)
		}
	}
}

// findRow is "json NAME PATTERN": a row of the table, as JSON with sorted keys, matches the pattern.
func findRow(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[1])
	var all []string
	for _, row := range server(ts).Rows("projects/p/datasets/d/tables/" + args[0]) {
		text, err := row.JSON()
		ts.Check(err)
		if pattern.Match(text) {
			return
		}
		all = append(all, string(text))
	}
	ts.Fatalf("no row of %s matches %s:\n%s", args[0], args[1], strings.Join(all, "\n"))
}

// countLines is "lines FILE N": the file has N lines, the last one with its newline.
func countLines(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if n := strconv.Itoa(strings.Count(text, "\n")); n != args[1] || !strings.HasSuffix(text, "\n") {
		ts.Fatalf("%s has %s lines, want %s:\n%s", args[0], n, args[1], text)
	}
}

// countAppends is "appends N": so many appends have reached the emulator, probes included.
func countAppends(ts *testscript.TestScript, _ bool, args []string) {
	if n := strconv.FormatInt(server(ts).Stats().Appends, 10); n != args[0] {
		ts.Fatalf("%s appends, want %s", n, args[0])
	}
}

// compress is "zstd FILE": it writes FILE.zst.
func compress(ts *testscript.TestScript, _ bool, args []string) {
	enc, err := zstd.NewWriter(nil)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".zst"), enc.EncodeAll([]byte(ts.ReadFile(args[0])), nil), 0o600))
}

// appendForeign is "foreign NAME N": somebody else writes N rows to the newest stream of a table.
func appendForeign(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	streams := server(ts).Streams("projects/p/datasets/d/tables/" + args[0])
	row := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 99) // n: 99
	_, err = server(ts).AppendForeign(streams[len(streams)-1].Name, slices.Repeat([][]byte{row}, n))
	ts.Check(err)
}

// newestStream is the newest stream of a table that a writer made.
func newestStream(ts *testscript.TestScript, name string) string {
	streams := server(ts).Streams("projects/p/datasets/d/tables/" + name)
	return streams[len(streams)-1].Name
}

// injectFault is "fault SPEC": from now on.
func injectFault(ts *testscript.TestScript, _ bool, args []string) {
	f, err := emulator.ParseFault(args[0])
	ts.Check(err)
	server(ts).Inject(f)
}

// clearFaults is "faults clear".
func clearFaults(ts *testscript.TestScript, _ bool, _ []string) { server(ts).ClearFaults() }

// expireStream is "expire NAME": the table's newest stream is gone.
func expireStream(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(server(ts).ExpireStream(newestStream(ts, args[0])))
}

// finalizeStream is "finalize NAME": somebody else finalizes the table's newest stream.
func finalizeStream(ts *testscript.TestScript, _ bool, args []string) {
	_, err := server(ts).FinalizeStream(newestStream(ts, args[0]))
	ts.Check(err)
}

// dropTable is "drop NAME".
func dropTable(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(server(ts).DropTable("projects/p/datasets/d/tables/" + args[0]))
}

// damage is "gap FILE N": it puts zeros over a file from byte N on.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := []byte(ts.ReadFile(args[0]))
	clear(b[n:])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}

// exitWith is "exit CODE ARG...": it runs eowriter and wants that exit code. Output goes to the files out and err.
func exitWith(ts *testscript.TestScript, _ bool, args []string) {
	var out, errs strings.Builder
	cmd := command(ts.MkAbs("."), args[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the code says it
	ts.Check(os.WriteFile(ts.MkAbs("out"), []byte(out.String()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("err"), []byte(errs.String()), 0o600))
	if code := strconv.Itoa(cmd.ProcessState.ExitCode()); code != args[0] {
		ts.Fatalf("exit code %s, want %s: %s", code, args[0], errs.String())
	}
}

// waitFor waits for what another process does; the time limit is only for a test that fails.
func waitFor[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		require.FailNow(t, "waited in vain")
		panic("unreachable")
	}
}
