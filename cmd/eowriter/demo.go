package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/demo"
	"github.com/spf13/cobra"
)

func newDemoCommand() *cobra.Command {
	var (
		opt    demo.Options
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: real data, killed connections, a killed writer, and the proof",
		Long: `See it work, with nothing else installed: an emulator of the Storage Write API is started on a local port, with
connections that are reset before and after an append was applied, errors in answers, and an end that is seen late. A
writer process loads all flights that left New York City in 2013, 336776 rows in twelve files, and is killed with SIGKILL
in the middle, four times. Then the table is compared with the files, byte for byte.

It takes well under a minute. Exit code 1 unless duplicates, lost and out of order are all 0.`,
		Example: "  eowriter demo\n  eowriter demo --seed 7 --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if opt.Months < 1 || opt.Months > 12 {
				return usagef("--months must be from 1 to 12")
			}
			if opt.Program, err = os.Executable(); err != nil {
				return fmt.Errorf("find our own program: %w", err)
			}
			opt.Kills = 4
			opt.Log = cmd.ErrOrStderr()
			r, err := demo.Run(cmd.Context(), opt)
			if errors.Is(err, context.Canceled) {
				return errors.New("interrupted; nothing is left behind")
			}
			if err != nil {
				return err
			}
			return reportDemo(cmd.OutOrStdout(), r, asJSON)
		},
	}
	cmd.Flags().Uint64Var(&opt.Seed, "seed", 1, "seed of the faults and of the moments of the kills")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as one JSON object")
	cmd.Flags().IntVar(&opt.Months, "months", 12, "load only the first months")
	_ = cmd.Flags().MarkHidden("months") // it exists: defined one line above
	return cmd
}

func reportDemo(out io.Writer, r demo.Report, asJSON bool) error {
	var err error
	if asJSON {
		err = printJSON(out, r)
	} else {
		err = printDemo(out, r)
	}
	if err == nil && !r.OK {
		err = fmt.Errorf("not exactly once: %d duplicates, %d lost, %d out of order", r.Duplicates, r.Lost, r.OutOfOrder)
	}
	return err
}

func printDemo(out io.Writer, r demo.Report) error {
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	for _, line := range []struct {
		what string
		n    int64
	}{
		{"rows read", r.RowsRead}, {"rows in the table", r.RowsInTable},
		{"duplicates", r.Duplicates}, {"lost", r.Lost}, {"out of order", r.OutOfOrder},
		{"ambiguous answers settled", r.Ambiguous}, {"replays", r.Replays}, {"kills", r.Kills},
	} {
		fmt.Fprintf(t, "%s\t%d\t\n", line.what, line.n)
	}
	if err := t.Flush(); err != nil { // also tells of failed writes before
		return err
	}
	var kinds []string
	for kind, n := range r.Faults {
		kinds = append(kinds, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(kinds)
	verdict := "exactly once"
	if !r.OK {
		verdict = "NOT exactly once"
	}
	_, err := fmt.Fprintf(out, "\nfaults: %s\n%s, in %.1f s, seed %d\n", strings.Join(kinds, ", "), verdict, r.Seconds, r.Seed)
	return err
}
