package main

import (
	"errors"
	"fmt"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
	"github.com/spf13/cobra"
)

func newLedgerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Look at a ledger, and decide what only a person can",
		Long: `Look at a ledger, and decide what only a person can. A ledger that a writer has open can't be looked at until that
has ended.

  look    show, letters, export, check; verify also asks the service, and changes nothing there
  decide  resolve (a halted partition), skip (a batch that is refused for ever)
  tidy    retire (a partition that is finished), compact (a file that has grown)

Those that change something only say what they would do, until --yes is added.

A ledger is the file itself, the small file FILE.incarnation beside it and, for standard input, the folder
FILE.segments: they go together. It is not backed up: an older copy doesn't know what was written since. docs/operating.md
of this project says what to do instead, symptom by symptom.`,
		Example: "  eowriter ledger show flights.ledger",
		Args:    noSuchCommand,
		RunE:    needCommand(": show, letters, export, check, verify, resolve, skip, retire or compact"),
	}
	cmd.AddCommand(newLedgerShowCommand(), newLedgerLettersCommand(), newLedgerExportCommand(), newLedgerCheckCommand(),
		newLedgerVerifyCommand(), newLedgerResolveCommand(), newLedgerSkipCommand(), newLedgerRetireCommand(), newLedgerCompactCommand())
	return cmd
}

// ledgerFlag adds --ledger, which can also be given as the only argument.
func ledgerFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "ledger", "", "the ledger; or give it as an argument")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("%s takes one ledger, not %d", cmd.CommandPath(), len(args))
		}
		return nil
	}
}

// ledgerPath returns the path that the flag or the argument gives.
func ledgerPath(path string, args []string) (string, error) {
	if len(args) == 1 {
		path = args[0]
	}
	if path == "" {
		return "", usagef("a ledger is needed")
	}
	return path, nil
}

// readLedger opens the ledger that the flag or the argument names, runs read and closes it. Nothing is written.
func readLedger(path string, args []string, read func(*ledger.Ledger) error) error {
	path, err := ledgerPath(path, args)
	if err != nil {
		return err
	}
	led, err := ledger.OpenReadOnly(path)
	if err != nil {
		return busy(path, err)
	}
	return closing(led, read)
}

// busy is err, or says what to do if a writer has the ledger: it has it for itself alone.
func busy(path string, err error) error {
	if errors.Is(err, ledger.ErrInUse) {
		return fmt.Errorf("%w: stop the writer of %s first, the sidecar (eowriter serve) or a load; do this again, and start it again", ledger.ErrInUse, path)
	}
	return err
}

// closing runs use and closes the ledger.
func closing(led *ledger.Ledger, use func(*ledger.Ledger) error) error {
	err := use(led)
	if closed := led.Close(); err == nil {
		err = closed
	}
	return err
}

func newLedgerShowCommand() *cobra.Command {
	var (
		path, name string
		asJSON     bool
	)
	cmd := &cobra.Command{
		Use:   "show [--partition NAME] LEDGER",
		Short: "Show what a ledger knows of its partitions",
		Long: `Show what a ledger knows of its partitions: state (owned; sealed while its stream is being replaced; halted, why and
when, until "ledger resolve"; resolved until that was carried out), mode, stream and epoch, the offsets up to which rows
have landed (acked) and are bound (next), the open batches, the rows that became dead letters and how many of those wait
to be delivered, and the position at which the source goes on. With --partition also the open batches one by one and the
streams of earlier epochs.

Below stands what is in doubt, in words, and what to do about it.`,
		Example: `  eowriter ledger show flights.ledger
  eowriter ledger show --partition flights-2013-01.ndjson.gz flights.ledger
  eowriter ledger show --json flights.ledger`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return readLedger(path, args, func(led *ledger.Ledger) error {
				list, err := describeLedger(led, name)
				switch {
				case err != nil:
					return err
				case asJSON:
					return printJSON(cmd.OutOrStdout(), list)
				case name != "":
					return list.printDetails(cmd.OutOrStdout())
				}
				return list.print(cmd.OutOrStdout())
			})
		},
	}
	ledgerFlag(cmd, &path)
	cmd.Flags().StringVar(&name, "partition", "", "show only partitions of this name, with details")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// violation is what --json prints of one.
type violation struct {
	Table     string `json:"table,omitempty"`
	Partition string `json:"partition,omitempty"`
	Text      string `json:"text"`
}

func newLedgerCheckCommand() *cobra.Command {
	var (
		path   string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "check LEDGER",
		Short: "Check a whole ledger: every record's checksum, every invariant",
		Long: `Check a whole ledger: every record's checksum, and every invariant that it must hold. Exit code 1 if something is wrong:
then the file was damaged, or written by somebody else. What is merely in doubt (ledger show) is said, too, and is
nothing wrong.`,
		Example: "  eowriter ledger check flights.ledger",
		RunE: func(cmd *cobra.Command, args []string) error {
			return readLedger(path, args, func(led *ledger.Ledger) error {
				found, err := led.Check()
				if err != nil {
					return err
				}
				return reportViolations(cmd, led, found, asJSON)
			})
		},
	}
	ledgerFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func reportViolations(cmd *cobra.Command, led *ledger.Ledger, found []ledger.Violation, asJSON bool) error {
	out := cmd.OutOrStdout()
	list := make([]violation, len(found))
	for i, v := range found {
		list[i] = violation{Table: shortTable(v.Key.Table), Partition: source.DisplayName(v.Key.Name), Text: v.Text}
		if !asJSON {
			if _, err := fmt.Fprintln(out, v); err != nil {
				return err
			}
		}
	}
	var doubts []doubt
	if len(found) == 0 {
		var err error
		if doubts, err = doubtsOf(led); err != nil {
			return err
		}
	}
	if asJSON {
		if err := printJSON(out, checkView{led.Path(), list, append([]doubt{}, doubts...)}); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("%s: %s: don't write with it, and keep it: docs/operating.md says how to go on without it", led.Path(), plural.Of(len(found), "violation", "violations"))
	}
	if asJSON {
		return nil
	}
	if _, err := fmt.Fprintf(out, "%s: nothing wrong\n", led.Path()); err != nil {
		return err
	}
	return printDoubts(out, doubts)
}

// checkView is what ledger check prints as JSON.
type checkView struct {
	Ledger     string      `json:"ledger"`
	Violations []violation `json:"violations"`
	Doubts     []doubt     `json:"doubts"`
}
