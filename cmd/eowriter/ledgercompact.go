package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/eowriter/eowriter/ledger"
	"github.com/spf13/cobra"
)

func newLedgerCompactCommand() *cobra.Command {
	var flags changeFlags
	cmd := &cobra.Command{
		Use:   "compact [--yes] LEDGER",
		Short: "Make a ledger that has grown as small as what it holds",
		Long: `Make a ledger that has grown as small as what it holds. A ledger's file never shrinks by itself: what was acknowledged
leaves room that is used again. Without --yes it says how much there is.

The file is replaced by a copy that goes on as the same ledger: no partition is taken over, nothing that is open is touched,
and a crash at any moment leaves either the old file or the new one. From then on the old file, should a backup bring it
back, is suspicious. Segments (LEDGER.segments) that no open batch needs are removed; the next run makes them again.

No writer may have the ledger open. Room for the copy is needed beside it.`,
		Example: `  eowriter ledger compact flights.ledger
  eowriter ledger compact --yes flights.ledger`,
		RunE: func(cmd *cobra.Command, args []string) error { return flags.compact(cmd.OutOrStdout(), args) },
	}
	flags.add(cmd)
	return cmd
}

// sizeView is the room that a ledger takes on the disk, in bytes.
type sizeView struct {
	File         int64 `json:"file_bytes"`
	Used         int64 `json:"used_bytes"`
	Segments     int64 `json:"segment_bytes"`
	FreeSegments int64 `json:"free_segment_bytes"`
}

func viewSize(s ledger.Size) sizeView { return sizeView{s.File, s.Used, s.Segments, s.FreeSegments} }

// compactView is what ledger compact prints, as JSON or as text.
type compactView struct {
	Ledger string    `json:"ledger"`
	Before sizeView  `json:"before"`
	After  *sizeView `json:"after"` // null: it was only said what would be done
}

func (c *changeFlags) compact(out io.Writer, args []string) error {
	v := compactView{}
	if c.yes {
		path, err := ledgerPath(c.path, args)
		if err != nil {
			return err
		}
		if v.Ledger, err = filepath.Abs(path); err != nil {
			return err
		}
		before, after, err := ledger.Compact(v.Ledger)
		if err != nil {
			return busy(path, err)
		}
		left := viewSize(after)
		v.Before, v.After = viewSize(before), &left
	} else {
		err := readLedger(c.path, args, func(led *ledger.Ledger) error {
			size, err := led.Size()
			v.Ledger, v.Before = led.Path(), viewSize(size)
			return err
		})
		if err != nil {
			return err
		}
	}
	if c.asJSON {
		return printJSON(out, v)
	}
	if _, err := fmt.Fprintf(out, "%s takes %d bytes, of which %d are in use; its segments take %d, of which %d are free\n",
		v.Ledger, v.Before.File, v.Before.Used, v.Before.Segments, v.Before.FreeSegments); err != nil {
		return err
	}
	if v.After == nil {
		return c.ended(out, "")
	}
	return c.ended(out, fmt.Sprintf("compacted: it takes %d bytes, its segments %d", v.After.File, v.After.Segments))
}
