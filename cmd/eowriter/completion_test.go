package main

import (
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/stretchr/testify/require"
)

// If it fails, a shell offers what can't be meant, or nothing where there is something to offer.
func TestCompletion(t *testing.T) {
	srv, err := emulator.Start(emulator.Options{Tables: serveSchema(t)})
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Close()) }()
	s := newSidecar(t, srv.Addr())
	s.start()
	s.push("a/rows?position=1", `{"n": 0, "s": "a"}`)
	const files, folders, nothing = ":0", ":16", ":4"
	for line, want := range map[string]string{
		"st":                             "status\n" + nothing,
		"serve --ledger ":                files,
		"serve --config ":                files,
		"serve --socket ":                files,
		"serve --listen ":                nothing,
		"serve ":                         nothing,
		"serve --drain-t":                "--drain-timeout\n" + nothing,
		"load ":                          files,
		"load --schema ":                 files,
		"ledger show ":                   files,
		"emulator --data ":               folders,
		"status --socket run/s --table ": "p.d.t\n" + nothing,
		"status --socket none --table ":  nothing,
		"status --token-file ":           files,
		"completion ":                    "bash\nfish\npowershell\nzsh\n" + nothing,
	} {
		words := strings.Split(line, " ")
		out, err := command(s.dir, append([]string{"__completeNoDesc"}, words...)...).Output()
		require.NoError(t, err, line)
		require.Equal(t, want+"\n", string(out), line)
	}
	s.end()
}

// bashCompletion is what the script needs of the package bash-completion.
const bashCompletion = `
_get_comp_words_by_ref() { cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=("${COMP_WORDS[@]}") cword=$COMP_CWORD; }
complete() { :; }
compopt() { options+="$* "; }
type() { [[ $2 == compopt ]] && echo builtin || builtin type "$@"; }
source <(eowriter completion bash)
for line; do
	options= COMPREPLY=() COMP_LINE=$line COMP_POINT=${#line} COMP_TYPE=9
	read -ra COMP_WORDS <<<"$line"
	[[ $line == *' ' ]] && COMP_WORDS+=('')
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	__start_eowriter
	echo "$line: ${COMPREPLY[*]%% *}; $options"
done`

// If it fails, the script that a shell is given doesn't do what the command would have it do.
func TestBashCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	dir := t.TempDir()
	cmd := exec.Command(bash, "-c", bashCompletion, "bash", "eowriter sta", "eowriter ledger show ord", "eowriter serve --listen ord")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "eowriter sta: status; +o default \n"+
		"eowriter ledger show ord: ; \n"+ // nothing of ours: bash's default, which is files
		"eowriter serve --listen ord: ; +o default \n", string(out))
	for _, shell := range []string{"zsh", "fish", "powershell"} {
		out, err := command(dir, "completion", shell).Output()
		require.NoError(t, err)
		require.Contains(t, string(out), "__complete", shell)
	}
	err = command(dir, "completion", "ksh").Run()
	require.Equal(t, exitUsage, err.(*exec.ExitError).ExitCode())
}

// If it fails, nobody can tell from a program that misbehaves what it was built from.
func TestVersion(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v1.2.3"}}
	require.Equal(t, "v1.2.3 (go1.26.8)", versionOf(info))
	info.Settings = []debug.BuildSetting{
		{Key: "GOOS", Value: "linux"}, {Key: "GOARCH", Value: "arm64"},
		{Key: "vcs.revision", Value: "c8c50a5a8b4e"}, {Key: "vcs.modified", Value: "true"},
	}
	require.Equal(t, "v1.2.3 (commit c8c50a5a8b4e, with changes since, go1.26.8 linux/arm64)", versionOf(info))
}
