package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/load"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/spf13/cobra"
)

// reportLoad prints the result, also of a load that failed, and returns what the exit code is made of.
func reportLoad(cmd *cobra.Command, r load.Report, err error, asJSON bool) error {
	if errors.Is(err, load.ErrUsage) {
		return usageError{err}
	}
	if err != nil {
		r.Error = err.Error()
	}
	out := cmd.OutOrStdout()
	if asJSON {
		err = errors.Join(err, printJSON(out, r))
	} else {
		err = errors.Join(err, printLoad(out, r))
	}
	if errors.Is(err, load.ErrInterrupted) {
		return fmt.Errorf("%w: run the same command again to load the rest", err)
	}
	if errors.Is(err, context.Canceled) {
		return load.ErrInterrupted
	}
	return err
}

func printLoad(out io.Writer, r load.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s read, %d appended, %d confirmed, ", plural.Rows(r.RowsRead), r.RowsAppended, r.RowsConfirmed)
	if r.RowsDead+r.LettersDelivered+r.LettersWaiting > 0 {
		fmt.Fprintf(&b, "%d dead (%s delivered, %d waiting), ", r.RowsDead, plural.Of(r.LettersDelivered, "letter", "letters"), r.LettersWaiting)
	}
	fmt.Fprintf(&b, "%s, in %.1f s (%.0f rows/s, %.1f MB/s)\n", plural.Of(r.Replays, "replay", "replays"), r.Seconds, r.RowsPerSecond, r.BytesPerSecond/1e6)
	printIgnored(&b, r.FieldsIgnored)
	_, err := io.WriteString(out, b.String())
	return err
}

// printIgnored lists fields that were left out.
func printIgnored(b *strings.Builder, fields map[string]int64) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if name == "" {
			fmt.Fprintf(b, "%d fields of more names ignored\n", fields[name])
		} else {
			fmt.Fprintf(b, "field %q ignored in %d places\n", name, fields[name])
		}
	}
}

// reportDryRun prints what would be refused. That is a failure, which was told then.
func reportDryRun(cmd *cobra.Command, r load.DryReport, err error, asJSON bool) error {
	if errors.Is(err, load.ErrUsage) {
		return usageError{err}
	}
	if err != nil {
		r.Error = err.Error()
	}
	out := cmd.OutOrStdout()
	if asJSON {
		err = errors.Join(err, printJSON(out, r))
	} else {
		err = errors.Join(err, printDryRun(out, r))
	}
	if err == nil && r.RowsRefused > 0 {
		return errReported
	}
	return err
}

func printDryRun(out io.Writer, r load.DryReport) error {
	var b strings.Builder
	for _, g := range r.Refused {
		column := g.Column
		if column == "" {
			column = "the row as a whole"
		}
		fmt.Fprintf(&b, "%s: %s: %s; first %s line %d\n", plural.Rows(g.Rows), column, g.Reason, source.Printable(g.File), g.Line)
	}
	if r.OtherRefused > 0 {
		fmt.Fprintf(&b, "%s for more reasons\n", plural.Rows(r.OtherRefused))
	}
	printIgnored(&b, r.FieldsIgnored)
	fmt.Fprintf(&b, "%s read, %d would be refused; nothing was sent\n", plural.Rows(r.RowsRead), r.RowsRefused)
	_, err := io.WriteString(out, b.String())
	return err
}
