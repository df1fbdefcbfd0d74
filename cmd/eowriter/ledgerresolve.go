package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
	"github.com/spf13/cobra"
)

func newLedgerResolveCommand() *cobra.Command {
	var (
		path, name, table string
		asJSON            bool
	)
	cmd := &cobra.Command{
		Use:   "resolve --partition NAME [--table PROJECT.DATASET.TABLE] LEDGER",
		Short: "Let a halted partition start again, once you have looked",
		Long: `Let a halted partition start again, once you have looked. It prints why the partition was halted and clears the mark.

A partition is halted when it found out what a restart would not see:

  conflict  somebody else wrote to its stream, or the service lost rows
  fenced    another owner took it over: a copy of this ledger, or a newer one
  in doubt  its stream is gone, and with it the answer whether open batches landed

Before you resolve:

  - Find the other writer, and make sure that it has ended. After "fenced", go on with the newer ledger instead, if
    there is one.
  - Compare the table with the batches that are open: eowriter ledger show --partition NAME LEDGER.

What happens on the next start: the stream is asked for its end, and the answer decides anew. What the end covers
counts as landed, without being compared: rows that somebody else wrote in the place of open batches of yours pass for
yours, and yours are never sent. What the end does not cover is sent. If it does not fit, or the stream is finalized or
gone, the partition is halted again.

No writer may have the ledger open. Nothing is sent.`,
		Example: `  eowriter ledger show --partition flights-2013-01.ndjson.gz flights.ledger
  eowriter ledger resolve --partition flights-2013-01.ndjson.gz flights.ledger`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if name == "" {
				return usagef("--partition is needed")
			}
			if table != "" {
				var err error
				if table, err = tableName(table); err != nil {
					return err
				}
			}
			return writeLedger(path, args, func(led *ledger.Ledger) error {
				return resolve(cmd.OutOrStdout(), led, name, table, asJSON)
			})
		},
	}
	ledgerFlag(cmd, &path)
	cmd.Flags().StringVar(&name, "partition", "", "the halted partition's name")
	cmd.Flags().StringVar(&table, "table", "", "its table, PROJECT.DATASET.TABLE; needed if several have a partition of this name")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// writeLedger opens a ledger that is there for writing, runs change and closes it.
func writeLedger(path string, args []string, change func(*ledger.Ledger) error) error {
	path, err := ledgerPath(path, args)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil { // Open would make it
		return fmt.Errorf("open ledger %s: %w", path, err)
	}
	led, err := ledger.Open(path, nil)
	if err != nil {
		return err
	}
	return closing(led, change)
}

// resolve prints why the partition was halted, and takes that back.
func resolve(out io.Writer, led *ledger.Ledger, name, table string, asJSON bool) error {
	p, err := findPartition(led, name, table)
	if err != nil {
		return err
	}
	shown := resolvedView{Ledger: led.Path(), Partition: source.DisplayName(p.Key.Name), Table: shortTable(p.Key.Table), Epoch: p.Epoch}
	if p.Halt != nil {
		shown.Halt = viewHalt(p.Halt)
	}
	if asJSON {
		err = printJSON(out, shown)
	} else {
		err = shown.print(out)
	}
	if err != nil || p.Halt == nil {
		return err
	}
	done := make(chan error, 1)
	led.Resolve(p.ID, p.Epoch, nil, func(err error) { done <- err })
	if err := <-done; err != nil {
		return err
	}
	if !asJSON {
		_, err = fmt.Fprintln(out, "resolved: on the next start the stream's end decides; what it covers counts as landed")
	}
	return err
}

// findPartition returns the one partition of this name, in this table unless that is empty.
func findPartition(led *ledger.Ledger, name, table string) (ledger.Partition, error) {
	all, err := led.Partitions()
	if err != nil {
		return ledger.Partition{}, err
	}
	var found []ledger.Partition
	var tables []string
	for _, p := range all {
		if named(p, name) && (table == "" || table == p.Key.Table) {
			found = append(found, p)
			tables = append(tables, shortTable(p.Key.Table))
		}
	}
	switch len(found) {
	case 0:
		return ledger.Partition{}, fmt.Errorf("%s: no partition %q", led.Path(), name)
	case 1:
		return found[0], nil
	}
	return ledger.Partition{}, usagef("--table is needed: %s have a partition %q", strings.Join(tables, " and "), name)
}

// named says whether a partition has this name, as the ledger has it or as it is shown.
func named(p ledger.Partition, name string) bool {
	return name == p.Key.Name || name == source.DisplayName(p.Key.Name)
}

// resolvedView is what ledger resolve prints, as JSON or as text.
type resolvedView struct {
	Ledger    string    `json:"ledger"`
	Partition string    `json:"partition"`
	Table     string    `json:"table"`
	Epoch     uint64    `json:"epoch"`
	Halt      *haltView `json:"halt"` // what was resolved; null: nothing
}

func (v *resolvedView) print(out io.Writer) (err error) {
	if v.Halt == nil {
		_, err = fmt.Fprintf(out, "partition %s of %s is not halted: nothing to resolve\n", source.Printable(v.Partition), v.Table)
		return err
	}
	_, err = fmt.Fprintf(out, "partition %s of %s, epoch %d: halted %s\n", source.Printable(v.Partition), v.Table, v.Epoch, v.Halt)
	return err
}

// haltView is a halt as it is shown.
type haltView struct {
	Cause  string    `json:"cause"`
	Offset int64     `json:"offset"`
	Detail string    `json:"detail"`
	At     time.Time `json:"at"`
}

func viewHalt(h *ledger.Halt) *haltView {
	return &haltView{h.Cause.String(), h.Offset, h.Detail, h.At}
}

func (h *haltView) String() string {
	return fmt.Sprintf("%s: %s at offset %d: %s", h.At.UTC().Format(time.DateTime), h.Cause, h.Offset, source.Printable(h.Detail))
}
