package mutants

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// allVariable has all mutants run, and not only one of the ledger and one of recovery.
const allVariable = "EOWRITER_TEST_MUTANTS"

// TestPatches applies every patch and checks the types of what comes of it. If it failed, the code has moved away under
// a mutant, which has to be made anew.
func TestPatches(t *testing.T) {
	c := newCompiler(t)
	for _, m := range readMutants(t) {
		t.Run(m.name, func(t *testing.T) {
			changed, err := m.sources()
			require.NoError(t, err)
			require.NoError(t, c.check(changed))
		})
	}
}

// TestMutants runs each mutant's test with the mutant in. If it failed, one of them survived: a bug of that kind would
// pass all tests.
func TestMutants(t *testing.T) {
	mutants := readMutants(t)
	if os.Getenv(allVariable) == "" {
		sample := map[string]bool{"./ledger": true, "./recovery": true}
		mutants = slices.DeleteFunc(mutants, func(m mutant) bool {
			first := sample[m.pkg]
			sample[m.pkg] = false
			return !first
		})
	}
	skipped := requireHealthy(t, mutants)
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			if skipped[m.pkg+" "+m.test] {
				t.Skipf("%s of %s is skipped on this system", m.test, m.pkg)
			}
			changed, err := m.sources()
			require.NoError(t, err)
			events := goTest(t, m.pkg, pattern(m.test), m.flags, "-overlay="+overlay(t, changed))
			if err := survived(m.test, events); err != nil {
				t.Fatalf("%s (%s): %v\n%s", m.name, m.bug, err, output(events))
			}
			t.Logf("%s\nkilled by %s of %s", m.bug, m.test, m.pkg)
		})
	}
}

// requireHealthy runs the tests that kill without a mutant, each package's together: they must pass, or their failing
// would say nothing. It returns those that are skipped here.
func requireHealthy(t *testing.T, mutants []mutant) (skipped map[string]bool) {
	skipped = map[string]bool{}
	type run struct{ pkg, flags string }
	tests := map[run][]string{}
	for _, m := range mutants {
		r := run{m.pkg, strings.Join(m.flags, " ")}
		tests[r] = append(tests[r], m.test)
	}
	for r, names := range tests {
		whole := map[string]bool{}
		var patterns []string
		for _, name := range names {
			name, _, _ = strings.Cut(name, "/")
			if !whole[name] {
				whole[name] = true
				patterns = append(patterns, pattern(name))
			}
		}
		events := goTest(t, r.pkg, strings.Join(patterns, "|"), strings.Fields(r.flags))
		outcome := map[string]string{} // of each test; under "" the package's
		for _, e := range events {
			if e.Action == "pass" || e.Action == "fail" || e.Action == "skip" {
				outcome[e.Test] = e.Action
			}
		}
		require.Equal(t, "pass", outcome[""], "%s fails without a mutant:\n%s", r.pkg, output(events))
		for _, name := range names {
			require.NotEmpty(t, outcome[name], "%s has no %s", r.pkg, name)
			skipped[r.pkg+" "+name] = outcome[name] == "skip"
		}
	}
	return skipped
}
