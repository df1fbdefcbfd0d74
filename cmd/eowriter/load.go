package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/load"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// maxBatchBytes leaves room for the writer schema in the smallest request limit that projects have, 10 MiB (case 52).
const maxBatchBytes = 9 << 20

func newLoadCommand() *cobra.Command {
	var (
		opt        load.Options
		service    serviceFlags
		table      string
		batchBytes = byteSize(1 << 20)
		asJSON     bool
	)
	cmd := &cobra.Command{
		Use:   "load --table PROJECT.DATASET.TABLE --ledger FILE [flags] FILE...",
		Short: "Load files of newline-delimited JSON, each row exactly once",
		Long: `Load files of newline-delimited JSON into a table, each row exactly once.

A FILE is one JSON object a line; names that end in .gz or .zst are decompressed; - is standard input. The ledger
remembers how far each file got, under its base name: a second run over the same files appends nothing, and a run after
a crash or a kill -9 appends exactly the rest. For standard input that holds if the same data is piped in again from its
beginning.

A file whose loaded part has changed since is refused, and then nothing is sent. Lines may be added at its end: they are
loaded by the next run. A line that is no row of the table stops the load, after everything before it has landed. Ctrl-C
stops reading and lets land what was read; a second Ctrl-C quits at once, and loses nothing either.

With --json the last line of standard output is an object:
  rows_read         rows of the files up to where they were read; those of earlier runs are read again to verify them
  rows_appended     rows that landed in this run, by an append that was answered with success
  rows_confirmed    rows found to have landed already: in an earlier run, by the ledger or the stream's end, or by an
                    append whose answer was lost, by ALREADY_EXISTS
  rows_settled      those of rows_confirmed that the ledger did not know of before this run
  rows_dead         dead letters
  replays           appends that were sent again
  streams_created   write streams created
  seconds, rows_per_second (of rows_appended), bytes_per_second (of uncompressed JSON)
  error             why it ended early; absent otherwise
After a success rows_read is the sum of rows_appended, rows_confirmed and rows_dead.`,
		Example: `  eowriter load --table my-project.flights.y2013 --ledger flights.ledger flights-2013-*.ndjson.gz
  eowriter load --table p.d.t --ledger t.ledger --endpoint 127.0.0.1:9060 --insecure --json rows.ndjson
  zstdcat rows.zst | eowriter load --table p.d.t --ledger t.ledger -`,
		RunE: func(cmd *cobra.Command, files []string) (err error) {
			opt.Files, opt.BatchBytes = files, int(batchBytes)
			if opt.Table, err = checkLoad(&opt, table); err != nil {
				return err
			}
			if opt.ClientOptions, err = service.options(); err != nil {
				return err
			}
			opt.Progress = progress(cmd.ErrOrStderr())
			report, err := load.Run(cmd.Context(), opt)
			return reportLoad(cmd, report, err, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&table, "table", "", "table to load into, PROJECT.DATASET.TABLE")
	f.StringVar(&opt.Ledger, "ledger", "", "file that remembers what was loaded; made if there is none")
	f.StringVar(&opt.Prefix, "partition-prefix", "", "put before each file's base name to name its partition")
	f.IntVar(&opt.BatchRows, "batch-rows", 500, "most rows in a batch")
	f.Var(&batchBytes, "batch-bytes", "most bytes of encoded rows in a batch, up to 9MiB")
	f.IntVar(&opt.Window, "window", 32, "most open batches of a file")
	f.IntVar(&opt.Parallel, "parallel", 4, "files loaded at a time")
	f.BoolVar(&asJSON, "json", false, "print the result as one JSON object")
	service.add(f)
	return cmd
}

// checkLoad checks the command line and returns the table's full name.
func checkLoad(opt *load.Options, table string) (string, error) {
	switch {
	case table == "":
		return "", usagef("--table is needed")
	case opt.Ledger == "":
		return "", usagef("--ledger is needed")
	case len(opt.Files) == 0:
		return "", usagef("no files to load")
	case opt.BatchRows < 1 || opt.BatchRows > 1_000_000:
		return "", usagef("--batch-rows must be from 1 to 1000000")
	case opt.BatchBytes < 1 || opt.BatchBytes > maxBatchBytes:
		return "", usagef("--batch-bytes must be from 1 to 9MiB")
	case opt.Window < 1 || opt.Window > 10_000:
		return "", usagef("--window must be from 1 to 10000")
	case opt.Parallel < 1 || opt.Parallel > 256:
		return "", usagef("--parallel must be from 1 to 256")
	}
	return tableName(table)
}

// progress shows a bar on a terminal and plain lines elsewhere.
func progress(stderr io.Writer) load.Progress {
	f, ok := stderr.(*os.File)
	return load.Progress{Out: stderr, Terminal: ok && term.IsTerminal(int(f.Fd()))}
}

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
		_, werr := fmt.Fprintf(out, "%d rows read, %d appended, %d confirmed, %d replays, in %.1f s (%.0f rows/s, %.1f MB/s)\n",
			r.RowsRead, r.RowsAppended, r.RowsConfirmed, r.Replays, r.Seconds, r.RowsPerSecond, r.BytesPerSecond/1e6)
		err = errors.Join(err, werr)
	}
	if errors.Is(err, load.ErrInterrupted) {
		return fmt.Errorf("%w: run the same command again to load the rest", err)
	}
	if errors.Is(err, context.Canceled) {
		return load.ErrInterrupted
	}
	return err
}
