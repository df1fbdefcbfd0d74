package main

import (
	"fmt"
	"io"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
	"github.com/spf13/cobra"
)

const skipHelp = `Skip a batch that the service refuses for ever, so that those behind it land. With --yes the ledger records the order.

Nothing is decided yet, and nothing is lost. The next start replaces the stream, and the old one's final count has the
last word: if the batch turns out to have landed, it is not skipped, and load says so. Otherwise all rows that are left
of it become dead letters, with their contents, and what is behind them lands, in order. A source that is read again is
asked for the rows then: it must still have them.

First try what needs no skipping: mend the table or the permission and start again; or let the rows that are refused, and
only those, become dead letters: load --dead-letters FILE, with a --max-dead-letters that is large enough. The rows of a
batch that is skipped count towards that number too.

Without --batch it is the first open batch: that which holds up the others. "ledger show --partition NAME" lists them.

No writer may have the ledger open. Nothing is sent.`

// skipFlags are the flags of ledger skip as they were given.
type skipFlags struct {
	changeFlags
	partitionFlags
	number int64 // -1: the first
	reason string
}

func newLedgerSkipCommand() *cobra.Command {
	var flags skipFlags
	cmd := &cobra.Command{
		Use:   "skip --partition NAME [--batch NUMBER] [--reason TEXT] [--yes] LEDGER",
		Short: "Have a batch that is refused for ever become dead letters",
		Long:  skipHelp,
		Example: `  eowriter ledger show --partition rows.ndjson t.ledger
  eowriter ledger skip --partition rows.ndjson t.ledger
  eowriter ledger skip --partition rows.ndjson --batch 7 --reason "ticket 4711" --yes t.ledger`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			return flags.use(args, func(led *ledger.Ledger) error { return flags.skip(cmd.OutOrStdout(), led) })
		},
	}
	flags.changeFlags.add(cmd)
	flags.partitionFlags.add(cmd, "the partition's name")
	cmd.Flags().Int64Var(&flags.number, "batch", -1, "the batch's number, as ledger show --partition has it (default: the first open one)")
	cmd.Flags().StringVar(&flags.reason, "reason", "", "what the letters say, behind \"skipped: \"")
	return cmd
}

// text is what the letters say.
func (f *skipFlags) text() string {
	if f.reason == "" {
		return "skipped by eowriter ledger skip"
	}
	return "skipped: " + f.reason
}

// skip says which batch it is and what the next start would do, and orders it with --yes.
func (f *skipFlags) skip(out io.Writer, led *ledger.Ledger) error {
	p, open, err := f.find(led)
	if err != nil {
		return err
	}
	b, err := f.batch(open)
	if err != nil {
		return err
	}
	if h := p.Halt; h != nil {
		return fmt.Errorf("partition %q is halted (%s): eowriter ledger resolve comes first", f.name, h.Cause)
	}
	if s := p.Seal; s != nil && s.Reason != ledger.Encoding {
		return fmt.Errorf("the stream of partition %q is being replaced (%s): start the writer, which ends that, and skip the batch then", f.name, s.Reason)
	}
	if n := len(f.text()); n > ledger.MaxSkip {
		return usagef("--reason: %d bytes with what stands before it, at most %d", n, ledger.MaxSkip)
	}
	shown := skippedView{
		Ledger: led.Path(), Partition: source.DisplayName(p.Key.Name), Table: shortTable(p.Key.Table), Batch: b.number, Rows: b.rows, Start: b.start, End: b.end,
		Before: source.PositionText(b.before), After: source.PositionText(b.after), Reason: f.text(), OtherBatches: len(batches(open)) - 1, Dead: p.Dead,
	}
	if b.skip != "" {
		shown.Reason = b.skip
	}
	if f.yes {
		if err := written(func(done func(error)) { led.Skip(p.ID, p.Epoch, b.number, f.text(), done) }); err != nil {
			return err
		}
		shown.Done = true
	}
	if f.asJSON {
		return printJSON(out, shown)
	}
	_, err = fmt.Fprintf(out, `partition %s of %s: %v, %s
the next start makes dead letters of its %s (%q), unless the batch turns out to have landed; %s
the partition has %s so far; last written %s
`, source.Printable(shown.Partition), shown.Table, &b, skippedBefore(b), plural.Rows(b.rows), shown.Reason, plural.Of(shown.OtherBatches, "other open batch stays", "other open batches stay"), plural.Of(p.Dead, "dead letter", "dead letters"), p.Updated.UTC().Format(time.DateTime))
	if err != nil {
		return err
	}
	return f.ended(out, "the order is recorded: start the writer")
}

func skippedBefore(b batch) string {
	if b.skip != "" {
		return "to be skipped already"
	}
	return "open"
}

// batch is the one to skip.
func (f *skipFlags) batch(open []ledger.Intent) (batch, error) {
	for _, b := range batches(open) {
		if b.rows > 0 && (f.number < 0 || uint64(f.number) == b.number) {
			return b, nil
		}
	}
	if f.number >= 0 {
		return batch{}, fmt.Errorf("partition %q has no open batch %d with rows: see eowriter ledger show --partition", f.name, f.number)
	}
	return batch{}, fmt.Errorf("partition %q has no open batch: nothing to skip", f.name)
}

// skippedView is what ledger skip prints as JSON.
type skippedView struct {
	Ledger       string `json:"ledger"`
	Partition    string `json:"partition"`
	Table        string `json:"table"`
	Batch        uint64 `json:"batch"`
	Rows         int64  `json:"rows"`
	Start        int64  `json:"start"`
	End          int64  `json:"end"`
	Before       string `json:"before"`
	After        string `json:"after"`
	Reason       string `json:"reason"`
	OtherBatches int    `json:"other_batches"`
	Dead         int64  `json:"dead"` // letters that the partition has so far
	Done         bool   `json:"done"` // false: it was only said what would be done
}
