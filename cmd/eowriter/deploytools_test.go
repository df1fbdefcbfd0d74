package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// needs skips a test that needs more than Go, or long, unless a variable says that it is wanted.
func needs(t *testing.T, variable, what string) {
	if os.Getenv(variable) == "" {
		t.Skipf("%s is not set: it needs %s", variable, what)
	}
}

// If it fails, systemd doesn't take the unit as it is meant, or what the unit forbids has been allowed again.
func TestUnit(t *testing.T) {
	needs(t, "EOWRITER_TEST_SYSTEMD", "systemd-analyze")
	dir := t.TempDir()
	self, err := exec.LookPath("eowriter")
	require.NoError(t, err)
	unit := filepath.Join(dir, "eowriter.service")
	text := strings.Replace(deployed(t, "systemd/eowriter.service"), "/usr/local/bin/eowriter", self, 1) // it has to be there
	require.NoError(t, os.WriteFile(unit, []byte(text), 0o600))
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))
	out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=15", unit).CombinedOutput() // 1.5 of 10
	require.NoError(t, err, "%s", out)
}

// If it fails, the image's program needs libraries that aren't there, tells paths of who built it, or can't say what it is. It is
// built as deploy/docker/Dockerfile has it, of what is committed.
func TestBuildForImage(t *testing.T) {
	needs(t, "EOWRITER_TEST_IMAGE", "git, and minutes to compile everything anew")
	var words []string
	for line := range strings.Lines(deployed(t, "docker/Dockerfile")) {
		if command, ok := strings.CutPrefix(line, "RUN CGO_ENABLED=0 go build "); ok {
			words = strings.Fields(command)
		}
	}
	require.NotEmpty(t, words)
	here, err := filepath.Abs("../..")
	require.NoError(t, err)
	clone, program := filepath.Join(t.TempDir(), "clone"), filepath.Join(t.TempDir(), "eowriter")
	out, err := exec.Command("git", "clone", "--quiet", "--shared", here, clone).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for i := range words {
		words[i] = strings.Replace(words[i], "/out/usr/local/bin/eowriter", program, 1)
	}
	build := exec.Command("go", append([]string{"build"}, words...)...)
	build.Dir, build.Env = clone, append(os.Environ(), "CGO_ENABLED=0")
	out, err = build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	f, err := elf.Open(program)
	require.NoError(t, err)
	defer f.Close()
	for _, p := range f.Progs {
		require.NotEqual(t, elf.PT_INTERP, p.Type, "it is linked dynamically")
	}
	commit, err := exec.Command("git", "-C", clone, "rev-parse", "HEAD").Output()
	require.NoError(t, err)
	out, err = exec.Command(program, "--version").Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "(commit "+strings.TrimSpace(string(commit))+", go")
	text, err := os.ReadFile(program)
	require.NoError(t, err)
	require.NotContains(t, string(text), clone)
}
