package main

import (
	"fmt"
	"io"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/advice"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
)

// doubt is something that a person may want to know, and what to do about it.
type doubt struct {
	Partition string `json:"partition,omitempty"` // empty: it is about the ledger
	Table     string `json:"table,omitempty"`
	What      string `json:"what"`
	Do        string `json:"do"`
}

func (d *doubt) String() string {
	about := "this ledger"
	if d.Partition != "" {
		about = source.Printable(d.Partition) + " of " + d.Table
	}
	return fmt.Sprintf("%s: %s\n  %s", about, source.Printable(d.What), source.Printable(d.Do))
}

func printDoubts(out io.Writer, doubts []doubt) error {
	for i := range doubts {
		if _, err := fmt.Fprintf(out, "\n%s\n", &doubts[i]); err != nil {
			return err
		}
	}
	return nil
}

// movedDoubts are those about a ledger that is not where, or not as, it was left.
func movedDoubts(led *ledger.Ledger) []doubt {
	if !led.Moved() {
		return nil
	}
	return []doubt{{
		What: "it was moved, copied or restored: the next start takes each stream over, if what it holds is what the ledger says",
		Do:   "see that no other copy is in use, then start the writer; if this is an older copy, see docs/operating.md first",
	}}
}

// doubtsOf are those about a ledger and all its partitions.
func doubtsOf(led *ledger.Ledger) (all []doubt, err error) {
	all = movedDoubts(led)
	parts, err := led.Partitions()
	if err != nil {
		return nil, err
	}
	for i := range parts {
		_, open, err := led.Partition(parts[i].Key)
		if err != nil {
			return nil, err
		}
		all = append(all, doubtsAbout(led, &parts[i], open)...)
	}
	return all, nil
}

// streamLife is how long the service keeps a stream without traffic.
const streamLife = 72 * time.Hour

// doubtsAbout are those about one partition, the gravest first.
func doubtsAbout(led *ledger.Ledger, p *ledger.Partition, open []ledger.Intent) (found []doubt) {
	name := source.DisplayName(p.Key.Name)
	say := func(do, what string, args ...any) {
		found = append(found, doubt{Partition: name, Table: shortTable(p.Key.Table), What: fmt.Sprintf(what, args...), Do: do})
	}
	command := func(verb string) string { return advice.Command(verb, p.Key.Name, led.Path()) }
	const start = "start the writer"
	if h := p.Halt; h != nil {
		what, do := advice.Halt(h.Cause)
		say(fmt.Sprintf("%s: %s", do, command("resolve")), "halted, %s: %s (%s)", h.Cause, what, h.Detail)
	}
	if r := p.Resolution; r != nil {
		say(start, "resolved: a person said that %s of %s landed; the next start goes by that, unless the stream is there after all",
			landedCount(open, r.Landed), plural.Of(len(batches(open)), "open batch", "open batches"))
	}
	for _, b := range batches(open) {
		if b.skip != "" {
			say(start, "batch %d is to be skipped (%s): the next start makes dead letters of its rows, unless they have landed", b.number, b.skip)
		}
	}
	if p.Owner != led.Identity() {
		say("see that no other copy of the ledger is in use, then "+start,
			"the ledger was moved, copied or restored since: the next start takes the stream over, if what it holds is what the ledger says")
	}
	if s := p.Seal; s != nil && p.Halt == nil {
		say(start+": it finishes that", "its stream is being replaced (%s)", s.Reason)
	}
	old := time.Since(p.Updated) > streamLife
	switch n := len(batches(open)); {
	case n == 0 || p.Halt != nil || p.Resolution != nil:
	case old:
		say(start+"; `eowriter ledger verify` tells before whether it is gone",
			"%s open, and nothing was written for %d days: the service has probably dropped the stream, and then nobody can say what landed",
			plural.Of(n, "batch is", "batches are"), int(time.Since(p.Updated).Hours()/24))
	default:
		say(start+": what landed is acknowledged, the rest is sent", "%s open, and may have landed or not", plural.Of(n, "batch is", "batches are"))
	}
	if n := p.Dead - p.Delivered; n > 0 {
		say("eowriter load --dead-letters FILE, or look first: "+command("letters"), "%s to be delivered", plural.Of(n, "dead letter waits", "dead letters wait"))
	}
	return found
}

// batch is an open batch, all of its parts that are left.
type batch struct {
	number        uint64
	start, end    int64
	rows          int64
	before, after []byte
	skip          string
}

// batches gathers the parts of open batches.
func batches(open []ledger.Intent) (all []batch) {
	for i := range open {
		in := &open[i]
		if i == 0 || open[i-1].Ends() {
			all = append(all, batch{number: in.Number, start: in.Start, before: in.Before, after: in.After, skip: in.Skip})
		}
		b := &all[len(all)-1]
		b.end, b.rows = in.End(), b.rows+in.Rows
	}
	return all
}

// landedCount says how many open batches end at or below an offset.
func landedCount(open []ledger.Intent, upTo int64) string {
	n := 0
	for _, b := range batches(open) {
		if b.end <= upTo {
			n++
		}
	}
	if n == 0 {
		return "none"
	}
	return fmt.Sprint(n)
}

func (b *batch) String() string {
	return fmt.Sprintf("batch %d, %s at [%d, %d), from %s to %s", b.number, plural.Rows(b.rows), b.start, b.end, source.PositionText(b.before), source.PositionText(b.after))
}
