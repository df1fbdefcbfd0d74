package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/deadletter"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// childVariable holds what a child process does; without it this is the test.
const childVariable = "EOWRITER_LOAD_CHILD"

// child is a load that kills itself the Nth time that Step is done, or begins; "": the Nth step of all.
type child struct {
	Addr, Ledger, File, Table string
	Files                     []string
	Step                      string
	Done                      bool
	Nth                       int  // 0: it doesn't
	Discover                  bool // the table's schema; else it is given, with more than the table takes
}

func (c child) String() string {
	when := "before"
	if c.Done {
		when = "after"
	}
	return fmt.Sprintf("%s %s #%d", when, c.Step, c.Nth)
}

const deadTable = "projects/p/datasets/d/tables/dead"

func childMain(text string) int {
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	var mu sync.Mutex
	n := 0
	var wide *storagepb.TableSchema
	if !c.Discover {
		var err error
		if wide, err = rows.ParseSchema([]byte(`[{"name": "n", "type": "INTEGER"}, {"name": "s", "type": "STRING"}]`)); err != nil {
			panic(err)
		}
	}
	report, err := Run(context.Background(), Options{
		Table: table, Ledger: c.Ledger, Files: c.Files, Schema: wide, MaxDead: Limit{Count: 1000}, DeadLetters: c.File, DeadTable: c.Table,
		BatchRows: 10, BatchBytes: 1 << 20, Window: 4, Parallel: 2, deliver: time.Millisecond,
		ClientOptions: []option.ClientOption{
			option.WithEndpoint(c.Addr), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		},
		step: func(step string, done bool) {
			if c.Nth == 0 || c.Step != "" && (step != c.Step || done != c.Done) {
				return
			}
			mu.Lock() // never let go of when it is time
			if n++; n == c.Nth {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			mu.Unlock()
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		return 1
	}
	return 0
}

// run runs the child, with text as its standard input, and says whether it killed itself.
func (c child) run(t *testing.T, text []byte) (r Report, killed bool) {
	t.Helper()
	arg, err := json.Marshal(c)
	require.NoError(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(arg))
	cmd.Stdin = bytes.NewReader(text)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() && status.Signal() == syscall.SIGKILL {
		return r, true
	}
	require.NoError(t, err, errs.String())
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	return r, false
}

// dirty is n lines: the encoder refuses every 7th, the service every 11th of the others.
func dirty(start, n int) []byte {
	var b bytes.Buffer
	for i := start; i < start+n; i++ {
		switch {
		case i%7 == 3:
			fmt.Fprintf(&b, "{\"n\": %d, \"bad\": true}\n", i)
		case i%11 == 5:
			fmt.Fprintf(&b, "{\"n\": %d, \"s\": \"too long\"}\n", i)
		default:
			fmt.Fprintf(&b, "{\"n\": %d}\n", i)
		}
	}
	return b.Bytes()
}

// toTheEnd runs the load, which is killed and started again until it ends, and returns the letters.
func (c child) toTheEnd(t *testing.T, s *emulator.Server, stdin []byte) []deadletter.Record {
	t.Helper()
	_, killed := c.run(t, stdin)
	require.True(t, killed, "the step didn't come")
	for _, nth := range []int{3, 25} { // and then what follows
		again := c
		again.Step, again.Nth = "", nth
		again.run(t, stdin)
	}
	return c.finish(t, s, stdin)
}

// finish runs the load, which ends, and once more, which finds nothing to do, and returns the letters.
func (c child) finish(t *testing.T, s *emulator.Server, stdin []byte) []deadletter.Record {
	t.Helper()
	c.Nth = 0
	r, killed := c.run(t, stdin)
	require.False(t, killed)
	require.Equal(t, int64(180), r.RowsRead)
	require.Equal(t, r.RowsRead, r.RowsAppended+r.RowsConfirmed+r.RowsDead)
	require.Equal(t, int64(0), r.LettersWaiting)
	letters := delivered(t, s, c)

	r, _ = c.run(t, stdin)
	require.Equal(t, int64(0), r.RowsAppended+r.RowsDead+r.LettersDelivered)
	require.Equal(t, letters, delivered(t, s, c))
	return letters
}

// delivered are the letters at their destination.
func delivered(t *testing.T, s *emulator.Server, c child) (letters []deadletter.Record) {
	t.Helper()
	var lines [][]byte
	if c.Table != "" {
		for _, row := range s.Rows(deadTable) {
			v, err := row.Values()
			require.NoError(t, err)
			delete(v, "refused_at") // a number there
			text, err := json.Marshal(v)
			require.NoError(t, err)
			lines = append(lines, text)
		}
	} else {
		text, err := os.ReadFile(c.File)
		require.NoError(t, err)
		lines = slices.Collect(bytes.Lines(text))
	}
	for _, line := range lines {
		var r deadletter.Record
		require.NoError(t, json.Unmarshal(line, &r))
		letters = append(letters, r)
	}
	return letters
}

// requireEachOnce compares the table and the letters with the input.
func requireEachOnce(t *testing.T, s *emulator.Server, letters []deadletter.Record, want func(row int) string) {
	t.Helper()
	seen := map[int64]string{}
	note := func(n int64, what string) {
		require.Empty(t, seen[n], "row %d is there twice", n)
		seen[n] = what
	}
	for stream, list := range numbers(t, s) {
		require.True(t, slices.IsSorted(list), "the order of %s", stream)
		for _, n := range list {
			note(n, "landed")
		}
	}
	last := map[string]int64{}
	for _, l := range letters {
		require.Equal(t, last[l.PartitionName]+1, l.Number, "the order of the letters")
		last[l.PartitionName] = l.Number
		var row struct{ N json.Number } // a string, in the JSON of an encoded row
		require.NoError(t, json.Unmarshal([]byte(*l.Record), &row))
		n, err := row.N.Int64()
		require.NoError(t, err)
		note(n, l.RefusedBy)
	}
	for _, part := range [][2]int{{0, 120}, {1000, 60}} {
		for i := part[0]; i < part[0]+part[1]; i++ {
			require.Equal(t, want(i), seen[int64(i)], strconv.Itoa(i))
		}
	}
	require.Len(t, seen, 180)
}
