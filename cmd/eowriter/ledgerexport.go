package main

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"path"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/deadletter"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
	"github.com/spf13/cobra"
)

const exportHelp = `Print all that a ledger knows as JSON objects, one a line, for scripts and for somebody who is to help. Rows are not in
it, unless --contents is given; names of tables and files, positions and reasons are.

Every object has "kind". First comes the ledger, then each partition, followed by its open batches and its dead letters,
then the streams that are not used any more:

  ledger     ledger (path), id, incarnation, moved, machine, inode, file_bytes, used_bytes, segment_bytes, free_segment_bytes
  partition  as ledger show --json has it, with id, owned_here (else it is to be taken over), schema, encoder
  intent     partition, table, id of the partition, and as ledger show --json --partition has it, with rows, from and of
             (which rows of a batch that was split), schema, encoder, frozen (its rows are in the segments)
  letter     as load --dead-letters writes it
  retired    partition, table, epoch, stream, rows, reason, at

Numbers, positions and times have the form that ledger show --json gives them.`

func newLedgerExportCommand() *cobra.Command {
	var path, name string
	var contents bool
	cmd := &cobra.Command{
		Use:   "export [--partition NAME] [--contents] LEDGER",
		Short: "Print all that a ledger knows as lines of JSON",
		Long:  exportHelp,
		Example: `  eowriter ledger export flights.ledger > flights.ndjson
  eowriter ledger export flights.ledger | jq 'select(.kind == "partition" and .open > 0)'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return readLedger(path, args, func(led *ledger.Ledger) error {
				return newExporter(cmd.OutOrStdout(), led, contents).all(name)
			})
		},
	}
	ledgerFlag(cmd, &path)
	cmd.Flags().StringVar(&name, "partition", "", "only partitions of this name")
	cmd.Flags().BoolVar(&contents, "contents", false, "with the rows of dead letters: they are data")
	return cmd
}

type exporter struct {
	led      *ledger.Ledger
	enc      *json.Encoder
	contents bool
}

func newExporter(out io.Writer, led *ledger.Ledger, contents bool) *exporter {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return &exporter{led, enc, contents}
}

type exportedLedger struct {
	Kind        string `json:"kind"`
	Ledger      string `json:"ledger"`
	ID          string `json:"id"`
	Incarnation uint64 `json:"incarnation"`
	Moved       bool   `json:"moved"`
	Machine     string `json:"machine"`
	Inode       uint64 `json:"inode"`
	sizeView
}

type exportedPartition struct {
	Kind      string    `json:"kind"`
	ID        ledger.ID `json:"id"`
	OwnedHere bool      `json:"owned_here"`
	Schema    string    `json:"schema"`
	Encoder   uint32    `json:"encoder"`
	partitionView
}

type exportedIntent struct {
	Kind      string    `json:"kind"`
	ID        ledger.ID `json:"id"`
	Partition string    `json:"partition"`
	Table     string    `json:"table"`
	Rows      int64     `json:"rows"`
	From      int64     `json:"from"`
	Of        int64     `json:"of"`
	Schema    string    `json:"schema"`
	Encoder   uint32    `json:"encoder"`
	Frozen    bool      `json:"frozen"`
	intentView
}

type exportedLetter struct {
	Kind string `json:"kind"`
	deadletter.Record
}

type exportedRetired struct {
	Kind      string `json:"kind"`
	Partition string `json:"partition"`
	Table     string `json:"table"`
	retiredView
}

func (e *exporter) all(name string) error {
	size, err := e.led.Size()
	if err != nil {
		return err
	}
	owner := e.led.Identity()
	err = e.enc.Encode(exportedLedger{
		"ledger", e.led.Path(), e.led.ID(), e.led.Incarnation(), e.led.Moved(), owner.Machine, owner.Inode, viewSize(size),
	})
	if err != nil {
		return err
	}
	parts, err := e.led.Partitions()
	if err != nil {
		return err
	}
	for i := range parts {
		if name == "" || named(parts[i], name) {
			if err := e.partition(&parts[i]); err != nil {
				return err
			}
		}
	}
	return e.retired(name)
}

func (e *exporter) partition(p *ledger.Partition) error {
	_, open, err := e.led.Partition(p.Key)
	if err != nil {
		return err
	}
	v := viewPartition(p)
	v.Open, v.Doubts = len(open), doubtsAbout(e.led, p, open)
	err = e.enc.Encode(exportedPartition{"partition", p.ID, !suspicious(e.led, p), hex.EncodeToString(p.Schema[:]), p.Encoder, v})
	for i := range open {
		in := &open[i]
		if err == nil {
			err = e.enc.Encode(exportedIntent{
				"intent", p.ID, v.Partition, v.Table, in.Rows, in.From, in.Of, hex.EncodeToString(in.Schema[:]), in.Encoder, in.Payload.Segment != 0, viewIntent(in),
			})
		}
	}
	if err != nil {
		return err
	}
	return lettersOf(e.led, p, func(r deadletter.Record, _ int) error {
		if !e.contents {
			r.Record, r.Bytes = nil, nil
		}
		return e.enc.Encode(exportedLetter{"letter", r})
	})
}

func (e *exporter) retired(name string) error {
	retired, err := e.led.Retired()
	if err != nil {
		return err
	}
	for i := range retired {
		r := &retired[i]
		shown := source.DisplayName(r.Key.Name)
		if name != "" && name != shown && name != r.Key.Name {
			continue
		}
		if err := e.enc.Encode(exportedRetired{"retired", shown, shortTable(r.Key.Table), viewRetired(r)}); err != nil {
			return err
		}
	}
	return nil
}

func viewRetired(r *ledger.Retired) retiredView {
	return retiredView{r.Epoch, path.Base(r.Stream), r.Rows, r.Reason.String(), r.At}
}
