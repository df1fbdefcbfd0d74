package main

import (
	"context"
	"regexp"
	"slices"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/statusview"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What a flag's help begins with says what its value is.
var (
	isFile   = regexp.MustCompile(`^(YAML )?file\b|^Unix socket`)
	isFolder = regexp.MustCompile(`^folder\b`)
)

// addCompletions tells shells, by way of "eowriter completion", what a flag may have for a value: files where its help says file,
// and nothing where nobody can know. Arguments are files, but for commands that take none.
func addCompletions(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if _, known := cmd.GetFlagCompletionFunc(f.Name); known {
			return
		}
		complete := cobra.NoFileCompletions
		switch {
		case isFile.MatchString(f.Usage):
			complete = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
		case isFolder.MatchString(f.Usage):
			complete = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
		}
		_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // its error: there is one already
	})
	if cmd.Args != nil && cmd.Args(cmd, []string{"FILE"}) != nil {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		addCompletions(sub)
	}
}

// addCompletionCommand adds "eowriter completion", whose errors are like those of other commands.
func addCompletionCommand(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	c, _, _ := root.Find([]string{"completion"})
	c.Short = "Print a shell's script that completes command lines"
	c.Example = `  source <(eowriter completion bash)     # needs the package bash-completion
  eowriter completion zsh > "${fpath[1]}/_eowriter"
  eowriter completion fish > ~/.config/fish/completions/eowriter.fish`
	c.Args, c.RunE = noSuchCommand, needCommand(": bash, zsh, fish or powershell")
}

// tables completes --table with those that the sidecar knows, if it answers at once.
func (fl *statusFlags) tables(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	target, err := fl.target()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	client := statusview.NewClient(target)
	defer client.Close()
	view, err := client.Ask(ctx, statusview.Query{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var all []string
	for _, p := range view.Partitions {
		all = append(all, p.GetPartition().GetTable())
	}
	slices.Sort(all)
	return slices.Compact(all), cobra.ShellCompDirectiveNoFileComp
}
