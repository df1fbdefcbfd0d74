package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/load"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// maxBatchBytes leaves room for the writer schema in the smallest request limit that projects have, 10 MiB (case 52).
const maxBatchBytes = 9 << 20

const loadHelp = `Load files of newline-delimited JSON into a table, each row exactly once.

A FILE is one JSON object a line; names that end in .gz or .zst are decompressed; - is standard input. The ledger
remembers how far each file got, under its base name: a second run over the same files appends nothing, and a run after
a crash or a kill -9 appends exactly the rest. For standard input that holds if the same data is piped in again from its
beginning.

A file whose loaded part has changed since is refused, and then nothing is sent. Lines may be added at its end: they are
loaded by the next run. Ctrl-C stops reading and lets land what was read; a second Ctrl-C quits at once, and loses nothing
either.

A line that is no row of the table stops the load, after everything before it has landed. With --dead-letters such lines,
and rows that the service refuses, become dead letters: the ledger keeps them from the moment in which the rows around
them land until they have been delivered, each exactly once, to a file (one JSON object a line, with partition, number,
reason and the row's own text; readable for its owner only) or to a table (which needs the columns that "eowriter schema
dead-letters" prints). Something with two dots, no slash and no ending .ndjson, .jsonl or .json is a table. Letters of
earlier runs are delivered too, also if nothing is left to load. --max-dead-letters is how many rows of a file may be
refused over all runs, or, with a percent sign, which share of those read (of 1000 at least), before the load stops; a
share is looked at after each batch. Without --dead-letters, dead letters wait in the ledger.

The schema comes from the service, or from a file in BigQuery's JSON form. --dry-run encodes all rows of all files and says
what would be refused; it needs no ledger, sends nothing, and ends with exit code 1 if a row would be refused.

With --json the last line of standard output is an object:
  rows_read         rows of the files up to where they were read; those of earlier runs are read again to verify them
  rows_appended     rows that landed in this run, by an append that was answered with success
  rows_confirmed    rows found to have landed already: in an earlier run, by the ledger or the stream's end, or by an
                    append whose answer was lost, by ALREADY_EXISTS; dead letters of earlier runs are among them
  rows_settled      those of rows_confirmed that the ledger did not know of before this run
  rows_dead         rows that became dead letters in this run
  letters_delivered dead letters delivered in this run, those of earlier runs included
  letters_waiting   dead letters that the ledger still has
  fields_ignored    with --ignore-unknown-fields: fields left out, by name
  replays           appends that were sent again
  streams_created   write streams created
  seconds, rows_per_second (of rows_appended), bytes_per_second (of uncompressed JSON)
  error             why it ended early; absent otherwise
After a success rows_read is the sum of rows_appended, rows_confirmed and rows_dead; the load checks that. With --dry-run the
object has rows_read, rows_refused, refused (a list of reason, column, rows and the first place), fields_ignored.`

// loadFlags are the flags of load as they were given.
type loadFlags struct {
	opt         load.Options
	service     serviceFlags
	table       string
	schema      string
	deadLetters string
	batchBytes  byteSize
	dryRun      bool
	asJSON      bool
}

func newLoadCommand() *cobra.Command {
	flags := loadFlags{batchBytes: 1 << 20}
	cmd := &cobra.Command{
		Use:   "load --table PROJECT.DATASET.TABLE --ledger FILE [flags] FILE...",
		Short: "Load files of newline-delimited JSON, each row exactly once",
		Long:  loadHelp,
		Example: `  eowriter load --table my-project.flights.y2013 --ledger flights.ledger flights-2013-*.ndjson.gz
  eowriter load --table p.d.t --ledger t.ledger --endpoint 127.0.0.1:9060 --insecure --json rows.ndjson
  eowriter load --table p.d.t --ledger t.ledger --dead-letters bad.ndjson --max-dead-letters 1% rows.ndjson
  eowriter load --table p.d.t --schema t.json --dry-run rows.ndjson
  zstdcat rows.zst | eowriter load --table p.d.t --ledger t.ledger -`,
		RunE: func(cmd *cobra.Command, files []string) error { return flags.run(cmd, files) },
	}
	f, opt := cmd.Flags(), &flags.opt
	f.StringVar(&flags.table, "table", "", "table to load into, PROJECT.DATASET.TABLE")
	f.StringVar(&opt.Ledger, "ledger", "", "file that remembers what was loaded; made if there is none")
	f.StringVar(&opt.Prefix, "partition-prefix", "", "put before each file's base name to name its partition")
	f.StringVar(&flags.schema, "schema", "", "file with the table's schema in BigQuery's JSON form (default: the service is asked)")
	f.StringVar(&flags.deadLetters, "dead-letters", "", "file or PROJECT.DATASET.TABLE that gets the rows that are refused")
	f.Var(&opt.MaxDead, "max-dead-letters", "rows of a file that may be refused, as 1000 or 1% (default with --dead-letters: 1000)")
	addChoices(f, &opt.Choices, ", and count them by name")
	f.BoolVar(&flags.dryRun, "dry-run", false, "encode everything, send nothing, and say what would be refused")
	f.IntVar(&opt.BatchRows, "batch-rows", 500, "most rows in a batch")
	f.Var(&flags.batchBytes, "batch-bytes", "most bytes of encoded rows in a batch, up to 9MiB")
	f.IntVar(&opt.Window, "window", 32, "most open batches of a file")
	f.IntVar(&opt.Parallel, "parallel", 4, "files loaded at a time")
	f.BoolVar(&flags.asJSON, "json", false, "print the result as one JSON object")
	flags.service.add(f)
	return cmd
}

func (fl *loadFlags) run(cmd *cobra.Command, files []string) (err error) {
	opt := &fl.opt
	opt.Files, opt.BatchBytes = files, int(fl.batchBytes)
	if opt.Table, err = checkLoad(opt, fl.table, fl.dryRun); err != nil {
		return err
	}
	if opt.ClientOptions, err = fl.service.options(); err != nil {
		return err
	}
	if opt.Schema, err = readSchema(fl.schema); err != nil {
		return err
	}
	if err := fl.letters(cmd); err != nil {
		return err
	}
	opt.Progress = progress(cmd.ErrOrStderr())
	if fl.dryRun {
		report, err := load.DryRun(cmd.Context(), *opt)
		return reportDryRun(cmd, report, err, fl.asJSON)
	}
	report, err := load.Run(cmd.Context(), *opt)
	return reportLoad(cmd, report, err, fl.asJSON)
}

// defaultMaxDead stops a load before a wrong schema makes dead letters of a whole file.
const defaultMaxDead = 1000

// letters says where dead letters go, and how many there may be.
func (fl *loadFlags) letters(cmd *cobra.Command) (err error) {
	if fl.deadLetters == "" {
		return nil
	}
	if !cmd.Flags().Changed("max-dead-letters") {
		fl.opt.MaxDead = load.Limit{Count: defaultMaxDead}
	}
	if fl.opt.DeadLetters, fl.opt.DeadTable, err = fileOrTable(fl.deadLetters); err != nil {
		return err
	}
	if fl.opt.DeadTable == fl.opt.Table {
		return usagef("--dead-letters must be another table than --table")
	}
	return nil
}

// fileOrTable tells what --dead-letters names: a file, a table, or nothing.
func fileOrTable(to string) (file, table string, err error) {
	if !looksLikeTable(to) {
		return to, "", nil
	}
	if table, err = tableName(to); err != nil {
		return "", "", usagef("--dead-letters: %w (or ./%s, if it is a file)", err, to)
	}
	return "", table, nil
}

// looksLikeTable tells PROJECT.DATASET.TABLE from a file's name.
func looksLikeTable(name string) bool {
	switch filepath.Ext(name) {
	case ".ndjson", ".jsonl", ".json":
		return false
	}
	return strings.Count(name, ".") >= 2 && !strings.ContainsRune(name, filepath.Separator)
}

// maxSchema bounds a schema file: BigQuery's largest schema is far smaller.
const maxSchema = 64 << 20

// readSchema reads a file in BigQuery's JSON form; nil for no file.
func readSchema(path string) (*storagepb.TableSchema, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--schema: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSchema))
	if err != nil {
		return nil, fmt.Errorf("--schema: %w", err)
	}
	ts, err := rows.ParseSchema(b)
	if err != nil {
		return nil, fmt.Errorf("--schema %s: %w", path, err)
	}
	return ts, nil
}

// checkLoad checks the command line and returns the table's full name.
func checkLoad(opt *load.Options, table string, dryRun bool) (string, error) {
	switch {
	case table == "":
		return "", usagef("--table is needed")
	case opt.Ledger == "" && !dryRun:
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
