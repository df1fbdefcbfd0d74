package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/stretchr/testify/require"
)

// runStatus runs "eowriter status" beside the sidecar, and returns what it printed and its exit code.
func (s *sidecar) runStatus(args ...string) (out, errs string, code int) {
	s.t.Helper()
	cmd := command(s.dir, append([]string{"status", "--socket", "run/s"}, args...)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		require.ErrorAs(s.t, err, new(*exec.ExitError))
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// push appends one row, which has to be accepted.
func (s *sidecar) push(path, row string) {
	s.t.Helper()
	status, a, err := s.call("POST", path, row)
	require.NoError(s.t, err)
	require.Equal(s.t, 200, status, a)
}

// If it fails, whoever looks after a sidecar by terminal or script is told that it is well when it isn't, or the other way round.
func TestStatus(t *testing.T) {
	srv, err := emulator.Start(emulator.Options{Tables: serveSchema(t)})
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Close()) }()
	s := newSidecar(t, srv.Addr())
	_, errs, code := s.runStatus("--check")
	require.Equal(t, exitFailure, code)
	require.Contains(t, errs, "the sidecar at run/s is not reached")
	require.Equal(t, 1, strings.Count(errs, "\n"), errs)

	s.start()
	s.push("a/rows?position=1", `{"n": 0, "s": "a"}`)
	out, errs, code := s.runStatus("--check")
	require.Zero(t, code, errs)
	require.Contains(t, out, "landed      1 row\n", "nobody asked before")
	require.Regexp(t, `(?m)^a +p\.d\.t +open `, out)
	require.NotContains(t, out, "\x1b", "it is no terminal")

	// Another one's stream is finalized by somebody: it halts, and the one that works is shown after it.
	s.push("%F0%9F%A6%86%E2%80%AE/rows?position=1", `{"n": 0, "s": "b"}`)
	var stream string
	for _, one := range srv.Streams(testTable) {
		if !strings.HasSuffix(one.Name, "/_default") {
			stream = one.Name // the newest
		}
	}
	_, err = srv.FinalizeStream(stream)
	require.NoError(t, err)
	_, _, err = s.call("POST", "%F0%9F%A6%86%E2%80%AE/rows?expect=1&position=2", `{"n": 1, "s": "b"}`)
	require.NoError(t, err)
	require.Eventually(t, func() bool { // answers may be half a second old
		out, _, code = s.runStatus()
		return strings.Contains(out, "halted")
	}, time.Minute, time.Millisecond, "%s", out)
	require.Zero(t, code, "it was asked")
	halted, fine := strings.Index(out, `halted    🦆\u202e of p.d.t`), strings.Index(out, "\na  ")
	require.Positive(t, halted, out)
	require.Greater(t, fine, halted, "what needs a person comes first: %s", out)
	require.Contains(t, out, "to resolve it: stop the sidecar, then eowriter ledger show ")
	_, _, code = s.runStatus("--check")
	require.Equal(t, exitFailure, code)
	_, _, code = s.runStatus("--check", "--table", "p.d.other")
	require.Zero(t, code)

	out, _, code = s.runStatus("--json")
	require.Zero(t, code)
	var view struct {
		Status struct {
			Totals struct {
				Attention []struct{ Attention string }
			}
		}
		Partitions []struct {
			Partition struct{ Table, Partition, State string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &view))
	require.Equal(t, "ATTENTION_HALTED", view.Status.Totals.Attention[0].Attention)
	require.Len(t, view.Partitions, 2)
	require.Equal(t, "STATE_HALTED", view.Partitions[0].Partition.State)
	_, errs, code = s.runStatus("--watch", "--check")
	require.Equal(t, exitUsage, code, errs)
	s.end()
}

// If it fails, whoever watches a sidecar goes on seeing what was before a restart, or nothing.
func TestStatusWatch(t *testing.T) {
	srv, err := emulator.Start(emulator.Options{Tables: serveSchema(t)})
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Close()) }()
	s := newSidecar(t, srv.Addr())
	s.start()
	watch := command(s.dir, "status", "--socket", "run/s", "--watch")
	out, err := watch.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, watch.Start())
	defer func() { _ = watch.Process.Kill() }()
	lines := bufio.NewReader(out)
	until := func(want string) {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			require.NoError(t, err, "%q does not come", want)
			if strings.Contains(line, want) {
				return
			}
		}
	}
	until("landed      0 rows")
	s.push("a/rows?position=1", `{"n": 0, "s": "a"}`)
	until("landed      1 row")
	s.kill()
	until("the sidecar at run/s is not reached")
	s.start()
	until("the sidecar was started anew at ")
	until("landed      1 row")
	require.NoError(t, watch.Process.Signal(os.Interrupt))
	require.NoError(t, watch.Wait(), "Ctrl-C is how it ends")
	s.end()
}

// If it fails, a token is shown to whoever listens on the way, or a sidecar that wants one can't be asked.
func TestStatusTarget(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(file, []byte("secret\n"), 0o600))
	for _, c := range []struct {
		flags statusFlags
		err   string
	}{
		{statusFlags{}, "--socket or --address is needed"},
		{statusFlags{address: "127.0.0.1:8460"}, "want a URL"},
		{statusFlags{address: "ftp://127.0.0.1:8460"}, "want a URL"},
		{statusFlags{address: "http://192.0.2.1:8460", tokenFile: file}, "in plain text"},
		{statusFlags{address: "https://192.0.2.1:8460", tokenFile: file}, ""},
		{statusFlags{address: "http://127.0.0.1:8460", tokenFile: file}, ""},
		{statusFlags{socket: "s", tokenFile: file}, ""},
		{statusFlags{socket: "s", tokenFile: filepath.Join(dir, "none")}, "no such file"},
		{statusFlags{socket: "s", tokenFile: os.DevNull}, "one line with the token"},
	} {
		target, err := c.flags.target()
		if c.err != "" {
			require.ErrorContains(t, err, c.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "secret", target.Token)
	}
}
