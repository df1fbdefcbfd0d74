package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/eowriter/eowriter/committed"
	"go.uber.org/goleak"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// childVariable holds the script of a child process; without it this is the test.
const childVariable = "EOWRITER_CHAOS_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		os.Exit(childMain(text))
	}
	// Most of a test's time is waiting, for a disk or a child.
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m,
		// managedwriter keeps one asleep for 20 s after each connection; it can't be told to stop.
		goleak.IgnoreAnyFunction("cloud.google.com/go/bigquery/storage/managedwriter.(*connection).getStream.func1"),
		goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"),
	)
}

// childTime bounds a run; it is far more than any needs.
const childTime = 30 * time.Second

// childMain runs a script, telling file descriptor 3 what it learns, until it ends
// or kills itself.
func childMain(text string) int {
	var s script
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		fmt.Fprintln(os.Stderr, "read the script:", err)
		return 2
	}
	pipe := os.NewFile(3, "notes")
	tell := func(n note) {
		line, err := json.Marshal(n)
		if err == nil {
			_, err = pipe.Write(append(line, '\n')) // one write: whole, also if we die right after it
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "tell:", err)
			os.Exit(2)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), childTime)
	defer cancel()
	status := 0
	for partition, err := range s.run(ctx, endpoint(s.Endpoint), tell) {
		fmt.Fprintf(os.Stderr, "partition %s: %v\n", partition, err)
		status = 1
	}
	if ctx.Err() != nil {
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
	}
	return status
}

func endpoint(address string) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(address),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

// point is a moment of a run: the Nth time that Step begins, or is done. Without a
// Step it is the Nth event of any step.
type point struct {
	Step committed.Step `json:",omitempty"`
	Done bool           `json:",omitempty"`
	Nth  int
}

func (p point) String() string {
	if p.Step == "" {
		return fmt.Sprintf("event %d", p.Nth)
	}
	when := "before"
	if p.Done {
		when = "after"
	}
	return fmt.Sprintf("%s %s #%d", when, p.Step, p.Nth)
}

// killer kills this process, without a chance to do anything more, at a point.
type killer struct {
	at point

	mu sync.Mutex // guards n; never let go of when it is time
	n  int
}

func (k *killer) step(e committed.StepEvent) {
	if k.at.Nth == 0 || k.at.Step != "" && (e.Step != k.at.Step || e.Done != k.at.Done) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.n++; k.n == k.at.Nth {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// note is one thing that a run learnt, in the order of learning.
type note struct {
	Kind      noteKind
	Partition string
	From, To  int64  `json:",omitempty"` // rows
	Stream    string `json:",omitempty"`
	Offset    int64  `json:",omitempty"`
	Reason    uint8  `json:",omitempty"` // ledger.Reason
}

type noteKind string

const (
	resumed noteKind = "resumed" // the partition is open, at position From
	stored  noteKind = "stored"  // a result said that rows [From, To) are durable
	sent    noteKind = "sent"    // an event said that an append at Offset is on its way
	landed  noteKind = "landed"  // a result said that rows [From, To) are at Offset of Stream
	found   noteKind = "found"   // an event said that a batch, perhaps of an earlier run, is there
	sealed  noteKind = "sealed"  // an event said that the stream is to be replaced, for Reason
)

// run starts a child with the script and returns what it learnt and how it died.
// kill is given the process as soon as there is one.
func (s script) child(t testing.TB, started func(*os.Process, <-chan struct{})) (notes []note, killed bool, stderr string) {
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd, errs := command(string(text), w)
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	started(cmd.Process, exited)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var n note
		if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
			t.Errorf("a child said %q: %v", lines.Text(), err)
			break
		}
		notes = append(notes, n)
	}
	err = cmd.Wait()
	close(exited)
	var exit interface{ Sys() any }
	if errors.As(err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if err != nil && !killed {
		stderr = fmt.Sprintf("%v: %s", err, errs.String())
	}
	return notes, killed, stderr
}
