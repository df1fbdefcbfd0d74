package recovery_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
)

// The verdict table. A case is one value for every dimension; a rule names the
// values it is about and leaves out the dimensions that must not matter. Each case
// has to be covered by exactly one rule, so the table can neither contradict itself
// nor leave anything to the code.

// dimensions of a situation, each with its values.
var dimensions = []struct {
	name   string
	values []string
}{
	{"sent", []string{"may have been", "never"}},                                   // before the append that is answered
	{"start", []string{"acked", "above"}},                                          // of the intent
	{"probed", []string{"fitted", "not yet"}},                                      // in this incarnation
	{"sealed", []string{"ours", "no"}},                                             // our seal is durable
	{"ledger", []string{"ours", "suspicious"}},                                     // invariant 8
	{"open", []string{"intents", "none"}},                                          //
	{"schema", []string{"renewed", "as it was"}},                                   // since the start
	{"offset", []string{"same", "none", "another"}},                                // reported with OK
	{"end", []string{"none", "own", "later", "short", "acked", "unknown", "zero"}}, // reported with an offset error
}

type rule struct {
	answers string // classes, or "*"
	when    string // "dimension=value|value ..."
	want    recovery.Verdict
	why     string // the row of ARCHITECTURE.md's table
}

var judgeRules = []rule{
	{"ok", "offset=same|none", recovery.Acked, "OK at the intent's offset, or without one"},
	{"ok", "offset=another", recovery.Conflict, "OK at another offset"},

	{"already_exists", "sent=may have been end=none|own|later", recovery.Acked, "the reported end, if any, is at or beyond the intent's and a boundary we know"},
	{"already_exists", "sent=may have been end=short|acked|zero", recovery.Conflict, "the reported end lies below the intent's"},
	{"already_exists", "sent=may have been end=unknown", recovery.Conflict, "the reported end is no boundary we know"},
	{"already_exists", "sent=never", recovery.Conflict, "never sent: somebody else wrote there (invariant 6)"},

	{"out_of_range", "start=above", recovery.Rewind, "an earlier append failed"},
	{"out_of_range", "start=acked", recovery.AskAgain, "a lagging view"},

	{"finalized", "sealed=ours", recovery.FinishRotation, "our seal is durable"},
	{"finalized", "sealed=no", recovery.Fenced, "no seal of ours"},

	{"gone", "open=intents", recovery.InDoubt, "open intents may have landed there"},
	{"gone", "open=none probed=fitted", recovery.NewEpoch, "no open intent, and the probe of this incarnation fitted"},
	{"gone", "open=none probed=not yet ledger=ours", recovery.NewEpoch, "no open intent, and nothing is suspicious"},
	{"gone", "open=none probed=not yet ledger=suspicious", recovery.InDoubt, "a copy doesn't know what else had landed (history 7)"},

	{"row_errors", "", recovery.Refused, "until dead letters exist: stop, nothing lost"},
	{"too_large", "", recovery.Split, "a large batch is split"},
	{"extra_fields", "", recovery.Propagate, "extra fields after a schema change"},
	{"mismatch", "schema=renewed", recovery.Propagate, "a widened type has not arrived yet"},
	{"mismatch", "schema=as it was", recovery.Blocked, "the writer schema is wrong"},
	{"transient", "", recovery.Again, "quota, throttling, INTERNAL, UNAVAILABLE, ABORTED, EOF, ..."},
	{"idle", "", recovery.Again, "the idle close after 600 s is normal life"},
	{"blocked", "", recovery.Blocked, "PERMISSION_DENIED, ..., bare INVALID_ARGUMENT"},
}

var probeRules = []rule{
	{"out_of_range", "end=acked", recovery.Acked, "E is acked"},
	{"out_of_range", "end=own|later", recovery.Acked, "E is the end of an intent that may have been sent"},
	{"out_of_range", "end=short|unknown", recovery.Conflict, "E is no boundary that may have been reached"},
	{"out_of_range", "end=zero", recovery.AskAgain, "E < acked may be a lagging view (history 8)"},
	{"out_of_range", "end=none", recovery.Uncounted, "without a number: seal, and Finalize's count tells"},

	{"ok already_exists", "", recovery.Conflict, "nothing can be at 2^62"},

	{"finalized", "sealed=ours", recovery.FinishRotation, "our seal is durable"},
	{"finalized", "sealed=no", recovery.Fenced, "no seal of ours (history 4)"},
	{"gone", "open=intents", recovery.InDoubt, "open intents may have landed there"},
	{"gone", "open=none probed=fitted", recovery.NewEpoch, "no open intent, and the probe of this incarnation fitted"},
	{"gone", "open=none probed=not yet ledger=ours", recovery.NewEpoch, "no open intent, and nothing is suspicious"},
	{"gone", "open=none probed=not yet ledger=suspicious", recovery.InDoubt, "a copy doesn't know what else had landed (history 7)"},

	{"row_errors", "", recovery.Refused, "the probe's row is valid: a person has to look"},
	{"too_large", "", recovery.Split, "the machine makes this Blocked: one small row"},
	{"extra_fields", "", recovery.Propagate, "extra fields after a schema change"},
	{"mismatch", "schema=renewed", recovery.Propagate, "a widened type has not arrived yet"},
	{"mismatch", "schema=as it was", recovery.Blocked, "the writer schema is wrong"},
	{"transient idle", "", recovery.Again, "nothing is certain"},
	{"blocked", "", recovery.Blocked, "only a person can help"},
}

// The window of every case: acked is 10, intents end at 12 (never sent unless a
// dimension says so), 15 (the judged one, of [12, 15) or [10, 15)), 20 (may have
// been sent) and nowhere else.
const (
	acked    = 10
	ownEnd   = 15
	laterEnd = 20
)

func ends(value string) int64 {
	return map[string]int64{"none": -1, "own": ownEnd, "later": laterEnd, "short": 14, "acked": acked, "unknown": 17, "zero": 3}[value]
}

func situation(c map[string]string) recovery.Situation {
	s := recovery.Situation{
		Start: acked, First: acked, End: ownEnd,
		MaySent:    c["sent"] == "may have been",
		Sealed:     c["sealed"] == "ours",
		Open:       c["open"] == "intents",
		Probed:     c["probed"] == "fitted",
		Suspicious: c["ledger"] == "suspicious",
		Renewed:    c["schema"] == "renewed",
		Known:      func(end int64) bool { return end == ownEnd || end == laterEnd },
	}
	if c["start"] == "above" {
		s.Start = acked + 2
	}
	return s
}

func answer(class retry.Class, c map[string]string) *retry.Answer {
	a := &retry.Answer{Class: class, Offset: -1, Expected: ends(c["end"])}
	if class == retry.OK {
		a.Offset = map[string]int64{"same": situation(c).Start, "none": -1, "another": situation(c).Start + 1}[c["offset"]]
	}
	return a
}

// classes returns every class that retry knows. A class unknown to it prints as a number.
func classes(t *testing.T) []retry.Class {
	var all []retry.Class
	for c := retry.Class(0); !strings.HasPrefix(c.String(), "class_"); c++ {
		all = append(all, c)
		require.Less(t, len(all), 200, "retry.Class.String has no unknown value any more")
	}
	return all
}

// cases calls visit with every combination of the dimensions' values.
func cases(visit func(map[string]string)) {
	c := map[string]string{}
	var choose func(int)
	choose = func(d int) {
		if d == len(dimensions) {
			visit(c)
			return
		}
		for _, v := range dimensions[d].values {
			c[dimensions[d].name] = v
			choose(d + 1)
		}
	}
	choose(0)
}

// clauses reads a rule's when.
func clauses(t *testing.T, when string) map[string][]string {
	found := map[string][]string{}
	name := ""
	for _, word := range strings.Fields(when) {
		if n, v, ok := strings.Cut(word, "="); ok {
			name = n
			found[name] = strings.Split(v, "|")
			continue
		}
		last := found[name] // values may have spaces
		last[len(last)-1] += " " + word
	}
	for name, values := range found {
		known := []string(nil)
		for _, d := range dimensions {
			if d.name == name {
				known = d.values
			}
		}
		require.Subset(t, known, values, "a rule names what no case has: %s", when)
	}
	return found
}

func matches(when map[string][]string, c map[string]string) bool {
	for name, values := range when {
		fits := false
		for _, v := range values {
			fits = fits || c[name] == v
		}
		if !fits {
			return false
		}
	}
	return true
}

// checkRules plays every class in every situation. It also fails when retry gets a
// class that the table has no row for, and when a row covers no case.
func checkRules(t *testing.T, rules []rule, judge func(*retry.Answer, recovery.Situation) recovery.Verdict) {
	whens := make([]map[string][]string, len(rules))
	for i, r := range rules {
		whens[i] = clauses(t, r.when)
	}
	used := make([]int, len(rules))
	played := 0
	for _, class := range classes(t) {
		cases(func(c map[string]string) {
			hit := -1
			for i, r := range rules {
				if strings.Contains(" "+r.answers+" ", " "+class.String()+" ") && matches(whens[i], c) {
					require.Equal(t, -1, hit, "%v %v is covered by two rows", class, c)
					hit = i
				}
			}
			if hit < 0 {
				require.Fail(t, "no row", "class %v, %v", class, c)
			}
			used[hit]++
			played++
			if got := judge(answer(class, c), situation(c)); got != rules[hit].want {
				require.Equal(t, rules[hit].want.String(), got.String(), "%s: class %v, %v", rules[hit].why, class, c)
			}
		})
	}
	for i, n := range used {
		require.NotZero(t, n, "row %d (%s %s) covers no case", i, rules[i].answers, rules[i].when)
	}
	t.Logf("%d cases, %d rows", played, len(rules))
}

// If it fails, an answer to an append is taken for something that it does not mean:
// rows get lost, doubled, or a partition stops without need.
func TestJudge(t *testing.T) { checkRules(t, judgeRules, recovery.Judge) }

// If it fails, a stream is trusted or given up against what its probe said.
func TestJudgeProbe(t *testing.T) {
	checkRules(t, probeRules, func(a *retry.Answer, s recovery.Situation) recovery.Verdict {
		return recovery.JudgeProbe(a, acked, s)
	})
}

// If it fails, a rotation acknowledges rows that are not in the finalized stream, or
// binds rows again that are.
func TestJudgeCount(t *testing.T) {
	known := func(end int64) bool { return end == ownEnd || end == laterEnd }
	for count, want := range map[int64]recovery.Verdict{
		acked:        recovery.Acked, // nothing of the window landed
		ownEnd:       recovery.Acked,
		laterEnd:     recovery.Acked,
		acked - 1:    recovery.Conflict, // acknowledged rows are missing
		0:            recovery.Conflict,
		-1:           recovery.Conflict,
		acked + 1:    recovery.Conflict, // inside an intent
		ownEnd - 1:   recovery.Conflict,
		ownEnd + 1:   recovery.Conflict,
		laterEnd + 1: recovery.Conflict, // rows that nobody here bound
	} {
		require.Equal(t, want.String(), recovery.JudgeCount(count, acked, known).String(), "count %d", count)
	}
	// A boundary below acked is no way back, even if somebody calls it known.
	all := func(int64) bool { return true }
	require.Equal(t, recovery.Conflict, recovery.JudgeCount(acked-1, acked, all))
	require.Equal(t, recovery.Acked, recovery.JudgeCount(acked, acked, func(int64) bool { return false }))
}

// If it fails, a stop reaches people under a wrong name.
func TestVerdictString(t *testing.T) {
	seen := map[string]bool{}
	for v := recovery.Acked; v <= recovery.Done; v++ {
		require.NotEmpty(t, v.String())
		require.False(t, seen[v.String()], "%s names two verdicts", v)
		seen[v.String()] = true
	}
	require.Equal(t, "done", recovery.Done.String())
	require.Equal(t, "invalid", fmt.Sprint(recovery.Done+1))
}
