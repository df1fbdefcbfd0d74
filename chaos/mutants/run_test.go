package mutants

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// event is what `go test -json` prints.
type event struct {
	Action, Test, Output, FailedBuild string
}

// overlay writes changed files to a folder, with what go's -overlay wants to know of them, and returns the name of that.
func overlay(t testing.TB, changed map[string][]byte) string {
	dir := t.TempDir()
	replace := map[string]string{}
	for name, text := range changed {
		original, err := filepath.Abs(filepath.Join(root, name))
		require.NoError(t, err)
		copied := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		require.NoError(t, os.WriteFile(copied, text, 0o600))
		replace[original] = copied
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	name := filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(name, text, 0o600))
	return name
}

// goTest runs tests of a package and returns the events.
func goTest(t testing.TB, pkg, run string, flags []string, more ...string) []event {
	args := append([]string{"test", "-json", "-vet=off", "-failfast", "-count=1", "-timeout=10m", "-run", run}, more...)
	cmd := exec.Command("go", append(append(args, pkg), flags...)...)
	cmd.Dir = root
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // a failing test is not our failure
		require.NoError(t, err)
	}
	var all []event
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var e event
		require.NoError(t, d.Decode(&e), "%s%s", out, errs.String())
		all = append(all, e)
	}
	require.NotEmpty(t, all, "go %v: %v: %s", cmd.Args, err, errs.String())
	return all
}

// survived says why the mutant was not killed by its test, or nothing.
func survived(test string, events []event) error {
	killed := false
	for _, e := range events {
		switch {
		case e.Action == "build-fail" || e.FailedBuild != "":
			return errors.New("it does not compile")
		case strings.HasPrefix(e.Output, "panic: test timed out"):
			return errors.New("its test timed out")
		case e.Action == "fail" && (e.Test == test || strings.HasPrefix(e.Test, test+"/")):
			killed = true
		}
	}
	if !killed {
		return fmt.Errorf("%s does not fail", test)
	}
	return nil
}

// output is what the run printed.
func output(events []event) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString(e.Output)
	}
	return b.String()
}

// TestSurvived gives the judge runs of which only one kills. If it failed, a mutant would count as killed by a test that
// doesn't see it.
func TestSurvived(t *testing.T) {
	fail := func(test string) event { return event{Action: "fail", Test: test} }
	require.NoError(t, survived("TestX", []event{fail("TestX"), fail("")}))
	require.NoError(t, survived("TestX", []event{fail("TestX/part"), fail("TestX")}))
	require.NoError(t, survived("TestX/part", []event{fail("TestX/part"), fail("TestX")}))
	for _, events := range [][]event{
		{},
		{{Action: "pass", Test: "TestX"}, fail("")},
		{fail("TestXY"), fail("")},
		{fail("TestX/other"), fail("TestX")},
		{{Action: "build-fail"}, {Action: "fail", FailedBuild: "p"}},
		{fail("TestX/part"), fail(""), {Action: "fail", FailedBuild: "p"}},
		{{Action: "output", Output: "panic: test timed out after 10m0s\n"}, fail("TestX/part")},
	} {
		require.Error(t, survived("TestX/part", events), "%v", events)
	}
}
