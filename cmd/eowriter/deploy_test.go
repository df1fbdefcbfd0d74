package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

func deployed(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	require.NoError(t, err)
	return string(text)
}

// unitSettings are a unit's lines, by their names.
func unitSettings(t *testing.T) map[string][]string {
	settings := map[string][]string{}
	for line := range strings.Lines(strings.ReplaceAll(deployed(t, "systemd/eowriter.service"), "\\\n", " ")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			settings[name] = append(settings[name], value)
		}
	}
	return settings
}

// dockerWords are the words of an instruction in its form without a shell.
func dockerWords(t *testing.T, instruction string) (words []string) {
	t.Helper()
	text := strings.ReplaceAll(deployed(t, "docker/Dockerfile"), "\\\n", " ")
	line := regexp.MustCompile(`(?m)^` + instruction + `\b[^\[\n]*(\[.*\])$`).FindStringSubmatch(text)
	require.NotNil(t, line, instruction)
	require.NoError(t, json.Unmarshal([]byte(line[1]), &words))
	return words
}

// manifest is what this test needs of the objects in deploy/kubernetes, whose own test holds them against all of Kubernetes' types.
type manifest struct {
	Kind string
	Data map[string]string
	Spec struct {
		Template struct {
			Spec struct {
				Grace int        `yaml:"terminationGracePeriodSeconds"`
				Init  []sidecars `yaml:"initContainers"`
			}
		}
	}
}

type sidecars struct {
	Args    []string
	Startup struct{ Exec struct{ Command []string } } `yaml:"startupProbe"`
}

func manifests(t *testing.T) map[string]manifest {
	all := map[string]manifest{}
	for d := yaml.NewDecoder(strings.NewReader(deployed(t, "kubernetes/statefulset.yaml"))); ; {
		var one manifest
		err := d.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all[one.Kind] = one
	}
}

// duration is one as systemd, Go and this program write it.
func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(strings.ReplaceAll(text, "min", "m"))
	require.NoError(t, err)
	return d
}

// flagValue is the value of --name among words.
func flagValue(t *testing.T, words []string, name string) string {
	t.Helper()
	i := slices.Index(words, "--"+name)
	require.GreaterOrEqual(t, i, 0, "%q has no --%s", words, name)
	return words[i+1]
}

// If it fails, what people copy to deploy the sidecar has flags that there aren't, or kills it before it has drained.
func TestDeploy(t *testing.T) {
	unit, kube := unitSettings(t), manifests(t)
	serveUnit := strings.Fields(unit["ExecStart"][0])[1:]
	serveDocker := dockerWords(t, "CMD")
	pod := kube["StatefulSet"].Spec.Template.Spec
	config := kube["ConfigMap"].Data["eowriter.yaml"]
	dir := t.TempDir()
	for _, c := range []struct {
		name   string
		words  []string
		config string
	}{
		{"systemd", serveUnit, "{}"},
		{"docker", serveDocker, "{}"},
		{"kubernetes", pod.Init[0].Args, config},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "eowriter.yaml"), []byte(c.config), 0o600))
		words := slices.Clone(c.words)
		for i := range words {
			words[i] = strings.Replace(words[i], "/etc/eowriter/", dir+"/", 1)
		}
		out, err := command(dir, append(words, "--check-config")...).CombinedOutput()
		require.NoError(t, err, "%s: %s", c.name, out)
	}
	for _, words := range [][]string{dockerWords(t, `HEALTHCHECK.*CMD`), pod.Init[0].Startup.Exec.Command} {
		require.Equal(t, "/usr/local/bin/eowriter", words[0])
		cmd, args, err := newRootCommand().Find(words[1:])
		require.NoError(t, err)
		require.Equal(t, "status", cmd.Name())
		require.NoError(t, cmd.ParseFlags(args))
		socket, err := cmd.Flags().GetString("socket")
		require.NoError(t, err)
		require.True(t, slices.Contains(serveDocker, socket) || strings.Contains(config, "socket: "+socket+"\n"), "nobody listens at %s", socket)
	}

	// Each has the time that draining takes, and some to end.
	const ending = 4 * time.Second
	drain := regexp.MustCompile(`(?m)^drain-timeout: (.*)$`).FindStringSubmatch(config)
	require.NotNil(t, drain)
	for _, c := range []struct {
		name         string
		drain, grace time.Duration
	}{
		{"systemd", duration(t, flagValue(t, serveUnit, "drain-timeout")), duration(t, unit["TimeoutStopSec"][0])},
		{"docker", duration(t, flagValue(t, serveDocker, "drain-timeout")), 10 * time.Second},
		{"kubernetes", duration(t, drain[1]), time.Duration(pod.Grace) * time.Second},
	} {
		require.GreaterOrEqual(t, c.grace, c.drain+ending, c.name)
	}
	require.Equal(t, []string{"notify"}, unit["Type"])
	require.Equal(t, []string{"2"}, unit["RestartPreventExitStatus"], "exitUsage")
	require.Equal(t, 2, exitUsage)
}

// If it fails, docs/deployment.md tells people to do what can't be done.
func TestDeploymentPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/deployment.md")
	require.NoError(t, err)
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`).FindAllSubmatch(text, -1) {
		if bytes.HasPrefix(link[1], []byte("http")) {
			continue
		}
		target, err := os.ReadFile(filepath.Join("..", "..", "docs", string(link[1])))
		require.NoError(t, err)
		if len(link[2]) == 0 {
			continue
		}
		title := strings.ReplaceAll(string(link[2][1:]), "-", "[ -]")
		require.Regexp(t, `(?im)^#+ `+title+`$`, string(target))
	}
	flags := newRootCommand()
	for _, name := range regexp.MustCompile("`--([a-z-]+)").FindAllSubmatch(text, -1) {
		require.True(t, isFlag(flags, string(name[1])) || slices.Contains(notOurs, string(name[1])), "--%s", name[1])
	}
}

// notOurs are flags of other programs on that page.
var notOurs = []string{"hostname", "stop-timeout", "read-only", "tmpfs", "user"}
