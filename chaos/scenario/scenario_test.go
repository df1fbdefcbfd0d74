package scenario

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/netfault"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if workload.IsChild() {
		os.Exit(workload.ChildMain())
	}
	// Most of a round's time is waiting.
	if err := flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// TestScenarios plays a short round of each scenario. If one failed, that trouble would
// lose, repeat or disorder rows, or the writer would guess where it must stop.
func TestScenarios(t *testing.T) {
	for _, s := range List() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			report, err := Run(t.Context(), []Scenario{s}, Options{Program: []string{os.Args[0]}, Seed: 1, Rows: 400, Dir: t.TempDir()})
			require.NoError(t, err)
			r := report.Results[0]
			for _, f := range r.Failures {
				t.Errorf("%s:\n%s\n%s", f.Again, violation(f.Why), strings.Join(f.Events, "\n"))
			}
			t.Logf("%d rows, faults %v, settled %v", r.Rows, r.Faults, r.Settled)
		})
	}
}

// TestEveryKind looks for a scenario of each kind of fault. If it failed, a new kind would
// be one that no writer was ever tried with.
func TestEveryKind(t *testing.T) {
	for _, k := range emulator.KindList() {
		require.Len(t, Find("service/"+string(k.Kind)), 1)
	}
	for _, k := range netfault.KindList() {
		require.Len(t, Find("wire/"+string(k.Kind)), 1)
	}
}
