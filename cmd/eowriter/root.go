package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes, relied on by scripts.
const (
	exitSuccess = 0
	exitFailure = 1
	exitUsage   = 2
)

// usageError is a command line that can't be meant: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errReported is a failure that has been told already.
var errReported = errors.New("reported")

// execute runs one command line. Results go to stdout, everything else to stderr.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitSuccess
	}
	if !errors.Is(err, errReported) {
		printError(stderr, err)
	}
	if usage := (usageError{}); errors.As(err, &usage) {
		fmt.Fprintf(stderr, "eowriter: see %s --help\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailure
}

// printError prints one line for each of several errors.
func printError(w io.Writer, err error) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(w, "eowriter: %s\n", line)
	}
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "eowriter",
		Short: "Write rows to BigQuery, each exactly once",
		Long: `Write rows to BigQuery, each exactly once.

Every flag can also be set by a variable, EOWRITER_ and the flag's name in capitals (EOWRITER_BATCH_ROWS for
--batch-rows), or in a YAML file given with --config, whose keys are the flags' names, either at the top or under the
name of a subcommand. The command line wins over variables, and those over the file.

Exit code: 0 success, 1 failure, 2 usage.`,
		Example:       "  eowriter demo",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q", args[0])
			}
			return nil
		},
		RunE:              needCommand(""),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return applySettings(cmd) },
	}
	root.SetVersionTemplate("eowriter {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().String("config", "", "YAML file with values of flags")
	root.AddCommand(
		newDemoCommand(),
		newLoadCommand(),
		newServeCommand(),
		newStatusCommand(),
		newEmulatorCommand(),
		newLedgerCommand(),
		newSchemaCommand(),
		newChaosCommand(),
		newBenchCommand(),
	)
	addCompletionCommand(root)
	addCompletions(root)
	return root
}

// noSuchCommand refuses an argument of a command that only has subcommands.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unknown command %q for %s", args[0], cmd.CommandPath())
	}
	return nil
}

// needCommand is what a command that only has subcommands does; which says what there is.
func needCommand(which string) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		_ = cmd.Help() // to stdout, which can't be reported about there
		return usagef("a command is needed%s", which)
	}
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument %q", cmd.CommandPath(), args[0])
	}
	return nil
}
