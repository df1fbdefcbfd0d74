package chaos_test

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/eowriter/eowriter/chaos/workload"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if workload.IsChild() {
		os.Exit(workload.ChildMain())
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
