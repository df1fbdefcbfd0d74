package main

import (
	"fmt"
	"io"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
	"github.com/spf13/cobra"
)

const resolveHelp = `Let a halted partition start again, once you have looked. It prints why the partition was halted; with --yes it clears
the mark.

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

In doubt, nobody can be asked any more. Look for the rows of the open batches in the table, and say what you found:

  --landed               all of them are there: the source goes on behind them
  --not-landed           none of them is there: they are sent again, to a new stream
  --landed-up-to OFFSET  those that end at or below this offset are there, the others are not

What you say is durable and survives crashes. It counts if the service still can't say; if the stream is there after all,
its own count decides. Should you be wrong, rows are missing, or there twice. It is void if the ledger is copied, moved or
restored before the next start, and can be corrected until then by saying it again.

No writer may have the ledger open. Nothing is sent.`

// resolveFlags are the flags of ledger resolve as they were given.
type resolveFlags struct {
	changeFlags
	partitionFlags
	landed, notLanded bool
	upTo              int64 // -1: not given
}

func newLedgerResolveCommand() *cobra.Command {
	var flags resolveFlags
	cmd := &cobra.Command{
		Use:   "resolve --partition NAME [--landed | --not-landed | --landed-up-to OFFSET] [--yes] LEDGER",
		Short: "Let a halted partition start again, once you have looked",
		Long:  resolveHelp,
		Example: `  eowriter ledger show --partition flights-2013-01.ndjson.gz flights.ledger
  eowriter ledger resolve --partition flights-2013-01.ndjson.gz flights.ledger
  eowriter ledger resolve --partition flights-2013-01.ndjson.gz --not-landed --yes flights.ledger`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.check(); err != nil {
				return err
			}
			if flags.landed && flags.notLanded || (flags.landed || flags.notLanded) && flags.upTo >= 0 {
				return usagef("only one of --landed, --not-landed and --landed-up-to can be true")
			}
			return flags.use(args, func(led *ledger.Ledger) error { return flags.resolve(cmd.OutOrStdout(), led) })
		},
	}
	flags.changeFlags.add(cmd)
	flags.partitionFlags.add(cmd, "the halted partition's name")
	f := cmd.Flags()
	f.BoolVar(&flags.landed, "landed", false, "in doubt: all open batches are in the table")
	f.BoolVar(&flags.notLanded, "not-landed", false, "in doubt: no open batch is in the table")
	f.Int64Var(&flags.upTo, "landed-up-to", -1, "in doubt: the open batches up to this offset are in the table, no others")
	return cmd
}

// word is what the person says of a partition; nil: nothing.
func (f *resolveFlags) word(p *ledger.Partition) *ledger.Resolution {
	switch {
	case f.landed:
		return &ledger.Resolution{Landed: p.Next}
	case f.notLanded:
		return &ledger.Resolution{Landed: p.Acked}
	case f.upTo >= 0:
		return &ledger.Resolution{Landed: f.upTo}
	}
	return nil
}

// resolve says why the partition was halted and what the next start would do, and does it with --yes.
func (f *resolveFlags) resolve(out io.Writer, led *ledger.Ledger) error {
	p, open, err := f.find(led)
	if err != nil {
		return err
	}
	word := f.word(&p)
	if err := checkWord(&p, open, word); err != nil {
		return err
	}
	if s := p.Seal; word != nil && s != nil && (led.Moved() || s.Owner != led.Identity()) {
		return fmt.Errorf("partition %q: the ledger was moved, copied or restored while the stream was being replaced: its rows may have landed on the successor, "+
			"so that nobody can say what landed here; docs/operating.md says how to go on as with a lost ledger", f.name)
	}
	shown := resolvedView{
		Ledger: led.Path(), Partition: source.DisplayName(p.Key.Name), Table: shortTable(p.Key.Table), Epoch: p.Epoch,
		Suspicious: suspicious(led, &p), word: word, before: p.Resolution,
	}
	if p.Halt != nil {
		shown.Halt = viewHalt(p.Halt)
	}
	for _, b := range batches(open) {
		v := resolvedBatch{Number: b.number, Start: b.start, End: b.end, Before: source.PositionText(b.before), After: source.PositionText(b.after)}
		if word != nil {
			landed := b.end <= word.Landed
			v.Landed = &landed
		}
		shown.Open = append(shown.Open, v)
	}
	nothing := p.Halt == nil && p.Resolution == nil
	if f.yes && !nothing {
		if err := written(func(done func(error)) { led.Resolve(p.ID, p.Epoch, word, done) }); err != nil {
			return err
		}
		shown.Done = true
	}
	if f.asJSON {
		return printJSON(out, shown)
	}
	if err := shown.print(out); err != nil || nothing {
		return err
	}
	return f.ended(out, "resolved: "+shown.next())
}

// checkWord refuses a word that can't be meant, before anything is printed.
func checkWord(p *ledger.Partition, open []ledger.Intent, word *ledger.Resolution) error {
	switch {
	case word == nil:
		return nil
	case p.Halt == nil && p.Resolution == nil:
		return usagef("the partition is not halted: there is nothing to say of its open batches")
	case p.Halt != nil && p.Halt.Cause != ledger.InDoubt:
		return usagef("the partition is halted with %s, not in doubt: its stream can still be asked, so resolve it without --landed and the like", p.Halt.Cause)
	case word.Landed == p.Acked:
		return nil
	}
	for i := range open {
		if open[i].End() == word.Landed {
			return nil
		}
	}
	return usagef("--landed-up-to %d: want %d, or the end of an open batch as ledger show --partition has it", word.Landed, p.Acked)
}

// resolvedView is what ledger resolve prints, as JSON or as text.
type resolvedView struct {
	Ledger     string          `json:"ledger"`
	Partition  string          `json:"partition"`
	Table      string          `json:"table"`
	Epoch      uint64          `json:"epoch"`
	Suspicious bool            `json:"suspicious"` // the ledger was moved, copied or restored
	Halt       *haltView       `json:"halt"`       // what is resolved; null: nothing
	Open       []resolvedBatch `json:"open,omitempty"`
	Done       bool            `json:"done"` // false: it was only said what would be done

	word, before *ledger.Resolution
}

type resolvedBatch struct {
	Number uint64 `json:"number"`
	Start  int64  `json:"start"`
	End    int64  `json:"end"`
	Before string `json:"before"`
	After  string `json:"after"`
	Landed *bool  `json:"landed"` // what the person says; null: nothing
}

func (v *resolvedView) print(out io.Writer) error {
	if v.Halt == nil && v.before == nil {
		_, err := fmt.Fprintf(out, "partition %s of %s is not halted: nothing to resolve\n", source.Printable(v.Partition), v.Table)
		return err
	}
	text := fmt.Sprintf("partition %s of %s, epoch %d: ", source.Printable(v.Partition), v.Table, v.Epoch)
	if v.Halt != nil {
		text += fmt.Sprintf("halted %s\n", v.Halt)
	} else {
		text += fmt.Sprintf("resolved %s: rows below offset %d have landed\n", v.before.At.UTC().Format(time.DateTime), v.before.Landed)
	}
	if v.Suspicious {
		text += movedWarning + "\n"
	}
	for _, b := range v.Open {
		text += fmt.Sprintf("  batch %d at [%d, %d), from %s to %s%s\n", b.Number, b.Start, b.End, b.Before, b.After, b.says())
	}
	if v.Halt != nil && v.Halt.Cause == ledger.InDoubt.String() && v.word == nil {
		text += "its stream can't be asked any more: without --landed, --not-landed or --landed-up-to the next start will be in doubt again\n"
	}
	if !v.Done {
		text += "would do: " + v.next() + "\n"
	}
	_, err := io.WriteString(out, text)
	return err
}

func (b *resolvedBatch) says() string {
	switch {
	case b.Landed == nil:
		return ""
	case *b.Landed:
		return ": landed"
	}
	return ": not landed, will be sent again"
}

// next says what the next start does.
func (v *resolvedView) next() string {
	if v.word == nil {
		return "on the next start the stream's end decides; what it covers counts as landed"
	}
	return fmt.Sprintf("on the next start the stream is replaced, and rows below offset %d count as landed, no others, unless the stream is there after all", v.word.Landed)
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
