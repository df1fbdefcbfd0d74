package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The README's session must work as it stands there, and say what it says there: it is the first thing that people try.
func TestReadmeSidecar(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	session := regexp.MustCompile("(?s)## Run it as a sidecar.*?```sh\n(.*?)```").FindSubmatch(text)
	require.NotNil(t, session)
	script := strings.ReplaceAll(string(session[1]), "127.0.0.1:9060", freePort(t))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // for a session that hangs
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = t.TempDir()
	transcript, err := os.Create(filepath.Join(cmd.Dir, "transcript")) // no pipe: that would last as long as what is left behind
	require.NoError(t, err)
	defer transcript.Close()
	cmd.Stdout, cmd.Stderr = transcript, transcript
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // none of its processes may stay
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err = cmd.Run()
	defer func() { _ = cmd.Cancel() }()
	out, unread := os.ReadFile(transcript.Name())
	require.NoError(t, unread)
	require.NoError(t, err, "%s", out)
	at := 0
	for line := range strings.Lines(script) {
		want, expected := strings.CutPrefix(strings.TrimSpace(line), "# {")
		if !expected {
			continue
		}
		found := strings.Index(string(out[at:]), "{"+want)
		require.GreaterOrEqual(t, found, 0, "%s is not in what is left of\n%s", line, out)
		at += found
	}
	require.Contains(t, string(out[at:]), "everything has landed")
}

// freePort is an address of this machine that nobody listens on, now.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
