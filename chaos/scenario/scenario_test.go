package scenario

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

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

// TestViolation plays a scenario in which a row is written twice. If it failed, nobody
// would learn of a violation, or not how to find its cause.
func TestViolation(t *testing.T) {
	twice := Scenario{"twice", "", func(r *round) error {
		if err := r.plain(false); err != nil {
			return err
		}
		if err := r.mustFinish(turn{}); err != nil {
			return err
		}
		row := r.srv.Rows(workload.Table)[0]
		if _, err := r.srv.AppendForeign(row.Stream, [][]byte{row.Data}); err != nil {
			return err
		}
		r.diary.did("a row was written twice")
		return r.judge(true, nil)
	}}
	var totals Totals
	report, err := Run(t.Context(), []Scenario{twice}, Options{
		Program: []string{os.Args[0]}, Seed: 7, Rows: 100, Duration: time.Hour, Dir: t.TempDir(),
		Progress: func(t Totals) { totals = t },
	})
	require.NoError(t, err)
	require.False(t, report.OK, "and it ends long before the hour is over")
	require.Positive(t, totals.Violations)
	r := report.Results[0]
	require.EqualValues(t, totals.Violations, r.Violations)
	f := r.Failures[0]
	require.Regexp(t, `^duplicated: partition p\d: row 0 is at 0 of `, f.Why[0])
	require.Len(t, f.Events, recent)
	require.Contains(t, f.Events[recent-1], "a row was written twice")
	require.Equal(t, fmt.Sprintf("eowriter chaos --scenario twice --seed %d --rows 100", f.Seed), f.Again)
	require.GreaterOrEqual(t, f.Seed, uint64(7))
	text, err := os.ReadFile(f.Schedule)
	require.NoError(t, err)
	var s schedule
	require.NoError(t, json.Unmarshal(text, &s))
	require.Equal(t, f.Seed, s.Seed)
	require.Equal(t, f.Why, s.Why)
	require.Equal(t, "a row was written twice", s.Done[len(s.Done)-1].What)
}

// TestDraw draws the same decisions in another order. If it failed, a seed would not play
// again what it played.
func TestDraw(t *testing.T) {
	a, b := &round{seed: 3}, &round{seed: 3}
	first, second := a.anyTurn(a.draw("turn", 1)), a.anyTurn(a.draw("turn", 2))
	require.Equal(t, second.String(), b.anyTurn(b.draw("turn", 2)).String())
	require.Equal(t, first.String(), b.anyTurn(b.draw("turn", 1)).String())
	require.Equal(t, a.serviceFaults(0.1), b.serviceFaults(0.1))
	require.Equal(t, a.wireFaults(0.1), b.wireFaults(0.1))
	other := &round{seed: 4}
	require.NotEqual(t, a.serviceFaults(0.1), other.serviceFaults(0.1))
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
