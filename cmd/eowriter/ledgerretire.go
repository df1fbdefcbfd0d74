package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/spf13/cobra"
)

const retireHelp = `Retire a partition that is finished for good: its stream is finalized, and the ledger forgets it, its position too. If
the same file is loaded again afterwards, it is loaded from its start, a second time. With --yes it is done.

A partition is retired only if nothing of it is open, no dead letter waits, and it is not halted. --stale retires all such
partitions that were not written to for so many days, and leaves the others.

Retiring asks the service: a stream that is not as the ledger says stops it like any start. What was begun before a crash
is finished by the next start.`

// retireFlags are the flags of ledger retire as they were given.
type retireFlags struct {
	changeFlags
	partitionFlags
	service serviceFlags
	stale   int // days; 0: not given
	timeout time.Duration
}

func newLedgerRetireCommand() *cobra.Command {
	var flags retireFlags
	cmd := &cobra.Command{
		Use:   "retire {--partition NAME | --stale DAYS} [--endpoint HOST:PORT --insecure] [--yes] LEDGER",
		Short: "Finalize and forget a partition that is finished for good",
		Long:  retireHelp,
		Example: `  eowriter ledger retire --partition flights-2013-01.ndjson.gz flights.ledger
  eowriter ledger retire --stale 90 --yes flights.ledger`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("stale") && flags.stale < 1 {
				return usagef("--stale must be 1 or more days")
			}
			if (flags.name == "") == (flags.stale == 0) {
				return usagef("either --partition or --stale is needed")
			}
			if err := flags.checkTable(); err != nil {
				return err
			}
			return flags.use(args, func(led *ledger.Ledger) error { return flags.run(cmd.Context(), cmd.OutOrStdout(), led) })
		},
	}
	flags.changeFlags.add(cmd)
	flags.partitionFlags.add(cmd, "the partition's name")
	f := cmd.Flags()
	f.IntVar(&flags.stale, "stale", 0, "all partitions that were not written to for so many days")
	f.DurationVar(&flags.timeout, "timeout", time.Minute, "how long to try, for each partition")
	flags.service.add(f)
	return cmd
}

// retiredPartition is one partition in what ledger retire prints.
type retiredPartition struct {
	Partition string    `json:"partition"`
	Table     string    `json:"table"`
	Rows      int64     `json:"rows"` // landed, over all epochs
	Updated   time.Time `json:"updated"`
	Done      bool      `json:"done"`
	Refused   string    `json:"refused,omitempty"` // why it is not retired
}

// retireView is what ledger retire prints as JSON.
type retireView struct {
	Ledger     string             `json:"ledger"`
	Partitions []retiredPartition `json:"partitions"`
	Done       bool               `json:"done"` // false: it was only said what would be done
}

// run retires what was named. One that can't be retired is a failure, unless --stale found it.
func (f *retireFlags) run(ctx context.Context, out io.Writer, led *ledger.Ledger) error {
	found, err := f.found(led)
	if err != nil {
		return err
	}
	view := retireView{Ledger: led.Path(), Partitions: []retiredPartition{}, Done: f.yes}
	var w *committed.Writer
	if f.yes {
		if w, err = openWriter(ctx, led, &f.service); err != nil {
			return err
		}
	}
	var errs []error
	for i := range found {
		p := &found[i]
		r := retiredPartition{Partition: source.DisplayName(p.Key.Name), Table: shortTable(p.Key.Table), Rows: p.Rows, Updated: p.Updated}
		if r.Refused, err = unfinished(led, p); err != nil {
			return err
		}
		switch {
		case r.Refused != "" && f.name != "":
			errs = append(errs, fmt.Errorf("partition %q of %s is not retired: %s", r.Partition, r.Table, r.Refused))
		case r.Refused == "" && f.yes:
			err := f.retire(ctx, w, p)
			if r.Done = err == nil; err != nil {
				r.Refused = err.Error()
				errs = append(errs, fmt.Errorf("retire partition %q of %s: %w", r.Partition, r.Table, err))
			}
		}
		view.Partitions = append(view.Partitions, r)
	}
	if w != nil {
		errs = append(errs, w.Close(ctx))
	}
	if f.asJSON {
		return errors.Join(append(errs, printJSON(out, view))...)
	}
	return errors.Join(append(errs, f.print(out, view))...)
}

func (f *retireFlags) print(out io.Writer, view retireView) error {
	n := 0
	for _, r := range view.Partitions {
		what := "would be retired"
		switch {
		case r.Refused != "":
			what = "stays: " + r.Refused
		case r.Done:
			what = "retired"
		}
		if r.Refused == "" {
			n++
		}
		if _, err := fmt.Fprintf(out, "%s of %s, %s, last written %s: %s\n", source.Printable(r.Partition), r.Table, plural.Rows(r.Rows), r.Updated.UTC().Format(time.DateTime), source.Printable(what)); err != nil {
			return err
		}
	}
	if n == 0 {
		_, err := fmt.Fprintln(out, "nothing to retire")
		return err
	}
	return f.ended(out, plural.Of(n, "partition", "partitions")+" retired")
}

// found are the partitions that the flags mean.
func (f *retireFlags) found(led *ledger.Ledger) ([]ledger.Partition, error) {
	if f.name != "" {
		p, _, err := f.find(led)
		return []ledger.Partition{p}, err
	}
	all, err := led.Partitions()
	var stale []ledger.Partition
	for _, p := range all {
		if time.Since(p.Updated) >= time.Duration(f.stale)*24*time.Hour && (f.table == "" || f.table == p.Key.Table) {
			stale = append(stale, p)
		}
	}
	return stale, err
}

// unfinished says why a partition is not to be retired, or nothing.
func unfinished(led *ledger.Ledger, p *ledger.Partition) (string, error) {
	_, open, err := led.Partition(p.Key)
	switch {
	case err != nil:
		return "", err
	case p.Halt != nil:
		return fmt.Sprintf("it is halted (%s): eowriter ledger resolve comes first", p.Halt.Cause), nil
	case len(open) > 0:
		return fmt.Sprintf("%s open: start the writer, so that all lands", plural.Of(len(batches(open)), "batch is", "batches are")), nil
	case p.Dead > p.Delivered:
		return fmt.Sprintf("%s: load --dead-letters delivers", plural.Of(p.Dead-p.Delivered, "dead letter waits", "dead letters wait")), nil
	}
	return "", nil
}

func (f *retireFlags) retire(ctx context.Context, w *committed.Writer, p *ledger.Partition) error {
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	schema, err := w.TableSchema(ctx, p.Key.Table)
	if err != nil {
		return err
	}
	cfg := committed.PartitionConfig{Table: p.Key.Table, Name: p.Key.Name, Schema: schema, Encoder: p.Encoder}
	if p.Mode == ledger.Replayable {
		cfg.Replay = func(context.Context, committed.Range) (committed.Replayed, error) {
			return committed.Replayed{}, errors.New("nothing is open: nothing is to be read again")
		}
	}
	part, err := w.Partition(ctx, cfg)
	if err != nil {
		return err
	}
	return part.Retire(ctx)
}
