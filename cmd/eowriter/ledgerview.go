package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"text/tabwriter"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
)

// ledgerView is what ledger show prints, as JSON or as text.
type ledgerView struct {
	Ledger     string          `json:"ledger"`
	ID         string          `json:"id"`
	Moved      bool            `json:"moved"` // it is not where, or not as, it was left
	Size       sizeView        `json:"size"`
	Doubts     []doubt         `json:"doubts,omitempty"` // about the ledger; partitions have their own
	Partitions []partitionView `json:"partitions"`
}

type partitionView struct {
	Partition string        `json:"partition"`
	Table     string        `json:"table"`
	State     string        `json:"state"`
	Mode      string        `json:"mode"`
	Stream    string        `json:"stream"`
	Epoch     uint64        `json:"epoch"`
	Acked     int64         `json:"acked"`
	Next      int64         `json:"next"`
	Open      int           `json:"open"`        // batches
	Rows      int64         `json:"rows"`        // landed, over all epochs
	Dead      int64         `json:"dead"`        // dead letters, over all epochs
	Waiting   int64         `json:"undelivered"` // those that the ledger still has
	Position  string        `json:"position"`
	Created   time.Time     `json:"created"`
	Updated   time.Time     `json:"updated"`
	Seal      *sealView     `json:"seal,omitempty"`
	Halt      *haltView     `json:"halt,omitempty"`
	Resolved  *resolvedWord `json:"resolution,omitempty"`
	Doubts    []doubt       `json:"doubts,omitempty"`
	Intents   []intentView  `json:"intents,omitempty"`
	Retired   []retiredView `json:"retired,omitempty"`
}

type sealView struct {
	Successor string    `json:"successor"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail"`
	At        time.Time `json:"at"`
}

type intentView struct {
	Number uint64 `json:"number"` // of the batch, for ledger skip; its other parts have others
	Start  int64  `json:"start"`
	End    int64  `json:"end"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"`
	Dead   int    `json:"dead"` // rows of the batch that do not land
	Before string `json:"before"`
	After  string `json:"after"`
	Skip   string `json:"skip,omitempty"` // it is to be skipped, and why
}

// resolvedWord is a person's word that waits to be carried out.
type resolvedWord struct {
	Landed int64     `json:"landed"` // rows below this offset
	At     time.Time `json:"at"`
}

type retiredView struct {
	Epoch  uint64    `json:"epoch"`
	Stream string    `json:"stream"`
	Rows   int64     `json:"rows"` // -1: the service had dropped the stream
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// describeLedger reads all partitions, or those of one name with their details.
func describeLedger(led *ledger.Ledger, name string) (*ledgerView, error) {
	parts, err := led.Partitions()
	if err != nil {
		return nil, err
	}
	size, err := led.Size()
	if err != nil {
		return nil, err
	}
	view := &ledgerView{Ledger: led.Path(), ID: led.ID(), Moved: led.Moved(), Size: viewSize(size), Doubts: movedDoubts(led), Partitions: []partitionView{}}
	for _, p := range parts {
		if name != "" && !named(p, name) {
			continue
		}
		v := viewPartition(&p)
		open, err := v.addIntents(led, p, name != "")
		if err != nil {
			return nil, err
		}
		v.Doubts = doubtsAbout(led, &p, open)
		view.Partitions = append(view.Partitions, v)
	}
	if name == "" {
		return view, nil
	}
	if len(view.Partitions) == 0 {
		return nil, fmt.Errorf("%s: no partition %q", led.Path(), name)
	}
	return view, view.addRetired(led)
}

// viewPartition shows a partition's record.
func viewPartition(p *ledger.Partition) partitionView {
	v := partitionView{
		Partition: source.DisplayName(p.Key.Name), Table: shortTable(p.Key.Table), State: "owned", Mode: p.Mode.String(),
		Stream: path.Base(p.Stream), Epoch: p.Epoch, Acked: p.Acked, Next: p.Next, Rows: p.Rows,
		Dead: p.Dead, Waiting: p.Dead - p.Delivered,
		Position: source.PositionText(p.Position), Created: p.Created, Updated: p.Updated,
	}
	if s := p.Seal; s != nil {
		v.State = "sealed"
		v.Seal = &sealView{path.Base(s.Successor), s.Reason.String(), s.Detail, s.At}
	}
	if r := p.Resolution; r != nil {
		v.State, v.Resolved = "resolved", &resolvedWord{r.Landed, r.At}
	}
	if p.Halt != nil {
		v.State, v.Halt = "halted", viewHalt(p.Halt)
	}
	return v
}

func viewIntent(in *ledger.Intent) intentView {
	return intentView{
		in.Number, in.Start, in.End(), in.Bytes, hex.EncodeToString(in.Digest[:]), len(in.Dead),
		source.PositionText(in.Before), source.PositionText(in.After), in.Skip,
	}
}

// addIntents counts the open batches, lists them if details are wanted, and returns them.
func (v *partitionView) addIntents(led *ledger.Ledger, p ledger.Partition, details bool) ([]ledger.Intent, error) {
	_, open, err := led.Partition(p.Key)
	if err != nil {
		return nil, err
	}
	v.Open = len(open)
	for i := range open {
		if details {
			v.Intents = append(v.Intents, viewIntent(&open[i]))
		}
	}
	return open, nil
}

func (l *ledgerView) addRetired(led *ledger.Ledger) error {
	retired, err := led.Retired()
	if err != nil {
		return err
	}
	for i := range l.Partitions {
		v := &l.Partitions[i]
		for _, r := range retired {
			if source.DisplayName(r.Key.Name) == v.Partition && shortTable(r.Key.Table) == v.Table {
				v.Retired = append(v.Retired, viewRetired(&r))
			}
		}
	}
	return nil
}

func (l *ledgerView) print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PARTITION\tSTATE\tMODE\tACKED\tNEXT\tOPEN\tDEAD\tUNDELIVERED\tPOSITION\tEPOCH\tSTREAM\tTABLE\tUPDATED")
	for _, v := range l.Partitions {
		state := v.State
		if h := v.Halt; h != nil {
			state += fmt.Sprintf(" (%s, %s)", h.Cause, h.At.UTC().Format(time.DateTime))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%s\t%s\t%s\n", source.Printable(v.Partition), state, v.Mode,
			v.Acked, v.Next, v.Open, v.Dead, v.Waiting, v.Position, v.Epoch, v.Stream, v.Table, v.Updated.UTC().Format(time.DateTime))
	}
	if err := t.Flush(); err != nil { // also tells of failed writes before
		return err
	}
	return printDoubts(out, l.doubts())
}

func (l *ledgerView) doubts() []doubt {
	all := l.Doubts
	for i := range l.Partitions {
		all = append(all, l.Partitions[i].Doubts...)
	}
	return all
}

func (l *ledgerView) printDetails(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, v := range l.Partitions {
		fmt.Fprintf(t, "partition\t%s\ntable\t%s\nstate\t%s\nmode\t%s\nstream\t%s\nepoch\t%d\nacked\t%d\nnext\t%d\nrows\t%d\ndead letters\t%d, of which %d are not delivered\nposition\t%s\ncreated\t%s\nupdated\t%s\n",
			source.Printable(v.Partition), v.Table, v.State, v.Mode, v.Stream, v.Epoch, v.Acked, v.Next, v.Rows, v.Dead, v.Waiting, v.Position,
			v.Created.UTC().Format(time.DateTime), v.Updated.UTC().Format(time.DateTime))
		if s := v.Seal; s != nil {
			fmt.Fprintf(t, "sealed\t%s: %s; successor %s\n", s.Reason, source.Printable(s.Detail), s.Successor)
		}
		if v.Halt != nil {
			fmt.Fprintf(t, "halted\t%s\n", v.Halt)
		}
		if r := v.Resolved; r != nil {
			fmt.Fprintf(t, "resolved\t%s: rows below offset %d have landed, a person said\n", r.At.UTC().Format(time.DateTime), r.Landed)
		}
		for _, in := range v.Intents {
			fmt.Fprintf(t, "open\tbatch %d  [%d, %d)  %d bytes  %d dead  from %s to %s  digest %s", in.Number, in.Start, in.End, in.Bytes, in.Dead, in.Before, in.After, in.Digest)
			if in.Skip != "" {
				fmt.Fprintf(t, "  to be skipped: %s", source.Printable(in.Skip))
			}
			fmt.Fprintln(t)
		}
		for _, r := range v.Retired {
			fmt.Fprintf(t, "retired\tepoch %d  %s  %s  %s  %s\n", r.Epoch, r.Stream, plural.Rows(r.Rows), r.Reason, r.At.UTC().Format(time.DateTime))
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil { // also tells of failed writes before
		return err
	}
	return printDoubts(out, l.doubts())
}
