package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
	"github.com/spf13/cobra"
)

// changeFlags are those of the commands that change a ledger: without --yes they only say what they would do.
type changeFlags struct {
	path   string
	yes    bool
	asJSON bool
}

func (c *changeFlags) add(cmd *cobra.Command) {
	ledgerFlag(cmd, &c.path)
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do it; without this flag nothing is changed")
	cmd.Flags().BoolVar(&c.asJSON, "json", false, "print one JSON object")
}

// use opens the ledger, for writing only with --yes, runs change and closes it.
func (c *changeFlags) use(args []string, change func(*ledger.Ledger) error) error {
	if !c.yes {
		return readLedger(c.path, args, change)
	}
	path, err := ledgerPath(c.path, args)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil { // Open would make it
		return fmt.Errorf("open ledger %s: %w", path, err)
	}
	led, err := ledger.Open(path, nil)
	if err != nil {
		return busy(path, err)
	}
	return closing(led, change)
}

// ended prints how the command ended: the last line of its text.
func (c *changeFlags) ended(out io.Writer, done string) error {
	if !c.yes {
		done = "nothing was changed: add --yes to do it"
	}
	_, err := fmt.Fprintln(out, done)
	return err
}

// written waits for a write to the ledger.
func written(write func(done func(error))) error {
	done := make(chan error, 1)
	write(func(err error) { done <- err })
	return <-done
}

// partitionFlags name one partition.
type partitionFlags struct{ name, table string }

func (p *partitionFlags) add(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&p.name, "partition", "", what)
	cmd.Flags().StringVar(&p.table, "table", "", "its table, PROJECT.DATASET.TABLE; needed if several have a partition of this name")
}

// check wants a partition to be named.
func (p *partitionFlags) check() error {
	if p.name == "" {
		return usagef("--partition is needed")
	}
	return p.checkTable()
}

func (p *partitionFlags) checkTable() (err error) {
	if p.table != "" {
		p.table, err = tableName(p.table)
	}
	return err
}

// find returns the one partition of this name, in this table unless that is empty, and its open batches.
func (p *partitionFlags) find(led *ledger.Ledger) (part ledger.Partition, open []ledger.Intent, err error) {
	all, err := led.Partitions()
	if err != nil {
		return part, nil, err
	}
	var found []ledger.Partition
	var tables []string
	for _, q := range all {
		if named(q, p.name) && (p.table == "" || p.table == q.Key.Table) {
			found = append(found, q)
			tables = append(tables, shortTable(q.Key.Table))
		}
	}
	switch len(found) {
	case 0:
		return part, nil, fmt.Errorf("%s: no partition %q", led.Path(), p.name)
	case 1:
		return led.Partition(found[0].Key)
	}
	return part, nil, usagef("--table is needed: %s have a partition %q", strings.Join(tables, " and "), p.name)
}

// named says whether a partition has this name, as the ledger has it or as it is shown.
func named(p ledger.Partition, name string) bool {
	return name == p.Key.Name || name == source.DisplayName(p.Key.Name)
}

// movedWarning is said before a person decides something about a suspicious partition.
const movedWarning = "warning: this ledger was moved, copied or restored: the table may have rows that it does not know of, and no other copy may be in use"

// suspicious says whether a partition's stream may be another owner's by now.
func suspicious(led *ledger.Ledger, p *ledger.Partition) bool {
	return !led.Owns(p.Owner)
}
