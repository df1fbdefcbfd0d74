package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/deadletter"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
	"github.com/spf13/cobra"
)

func newLedgerLettersCommand() *cobra.Command {
	var (
		path, name       string
		asJSON, contents bool
	)
	cmd := &cobra.Command{
		Use:   "letters [--partition NAME] [--contents] LEDGER",
		Short: "List the dead letters that wait in a ledger",
		Long: `List the dead letters that wait in a ledger to be delivered by "load --dead-letters": rows that the encoder or the
service refused. The rows themselves are shown only with --contents. Reasons never quote them, but the service's may.

With --json, and with --contents, each letter is an object on a line of its own, as load --dead-letters writes it.`,
		Example: `  eowriter ledger letters flights.ledger
  eowriter ledger letters --contents --partition flights-2013-01.ndjson.gz flights.ledger`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return readLedger(path, args, func(led *ledger.Ledger) error {
				if asJSON || contents {
					enc := json.NewEncoder(cmd.OutOrStdout())
					enc.SetEscapeHTML(false)
					return eachLetter(led, name, func(r deadletter.Record, _ int) error {
						if !contents {
							r.Record, r.Bytes = nil, nil
						}
						return enc.Encode(r)
					})
				}
				return listLetters(cmd.OutOrStdout(), led, name)
			})
		},
	}
	ledgerFlag(cmd, &path)
	cmd.Flags().StringVar(&name, "partition", "", "only those of partitions of this name")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each letter")
	cmd.Flags().BoolVar(&contents, "contents", false, "show the rows, too: they are data")
	return cmd
}

func listLetters(out io.Writer, led *ledger.Ledger, name string) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PARTITION\tTABLE\tNUMBER\tBATCH AFTER\tROW\tBYTES\tREFUSED BY\tAT\tREASON")
	err := eachLetter(led, name, func(r deadletter.Record, size int) error {
		_, err := fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d\t%d\t%s\t%s\t%s\n", source.Printable(r.PartitionName), r.Table, r.Number,
			r.Before, r.Row, size, r.RefusedBy, r.RefusedAt, source.Printable(r.Reason))
		return err
	})
	if err != nil {
		return err
	}
	return t.Flush()
}

// eachLetter calls f for every waiting letter of partitions of a name, or of all, with its size.
func eachLetter(led *ledger.Ledger, name string, f func(deadletter.Record, int) error) error {
	parts, err := led.Partitions()
	if err != nil {
		return err
	}
	for i := range parts {
		if name != "" && !named(parts[i], name) {
			continue
		}
		if err := lettersOf(led, &parts[i], f); err != nil {
			return err
		}
	}
	return nil
}

// lettersOf calls f for every waiting letter of a partition, with its size.
func lettersOf(led *ledger.Ledger, p *ledger.Partition, f func(deadletter.Record, int) error) error {
	for at := p.Delivered; at < p.Dead; {
		letters, err := led.Letters(p.ID, at, 1<<20)
		if err != nil || len(letters) == 0 {
			return err
		}
		for j := range letters {
			r, err := deadletter.NewRecord(led, p, &letters[j])
			if err != nil {
				return err
			}
			if err := f(r, len(letters[j].Content)); err != nil {
				return err
			}
		}
		at = letters[len(letters)-1].Number
	}
	return nil
}
