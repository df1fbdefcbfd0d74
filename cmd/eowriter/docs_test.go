package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

// Who needs docs/operating.md is in trouble already: every command in it must be one that there is, with flags that there are,
// and every link must lead somewhere.
func TestOperatingPage(t *testing.T) {
	text, err := os.ReadFile("../../docs/operating.md")
	require.NoError(t, err)
	found := 0
	for line := range strings.Lines(string(text)) {
		_, command, ok := strings.Cut(line, "$ eowriter ")
		if !ok {
			continue
		}
		found++
		command, _, _ = strings.Cut(command, " #")
		command, _, _ = strings.Cut(command, " >")
		words := regexp.MustCompile(`"[^"]*"|\S+`).FindAllString(command, -1)
		for i := range words {
			words[i] = strings.Trim(words[i], `"`)
		}
		cmd, args, err := newRootCommand().Find(words)
		require.NoError(t, err, line)
		require.NotNil(t, cmd.RunE, line)
		require.NoError(t, cmd.ParseFlags(args), line)
		require.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), line)
		require.False(t, cmd.HasSubCommands(), line)
	}
	require.Greater(t, found, 10)

	anchors := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			anchors[strings.ReplaceAll(strings.ToLower(strings.TrimSpace(title)), " ", "-")] = true
		}
	}
	for _, link := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(string(text), -1) {
		require.True(t, anchors[link[1]], "no section %s", link[1])
	}
	var all func(*cobra.Command)
	all = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			require.NotEmpty(t, sub.Example, "%s has no example", sub.CommandPath())
			all(sub)
		}
	}
	for _, c := range newRootCommand().Commands() {
		if c.Name() == "ledger" {
			all(c)
		}
	}
}
