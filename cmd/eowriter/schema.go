package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/deadletter"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tableschema"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/spf13/cobra"
)

func newSchemaCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "schema",
		Short:   "Show a table's schema, and what its rows look like on the wire",
		Example: "  eowriter schema show --table my-project.flights.y2013",
		Args:    noSuchCommand,
		RunE:    needCommand(": show or dead-letters"),
	}
	cmd.AddCommand(newSchemaShowCommand(), newSchemaDeadLettersCommand())
	return cmd
}

// contact is how long the service is tried to be reached.
const contact = 30 * time.Second

func newSchemaShowCommand() *cobra.Command {
	var (
		service     serviceFlags
		table, file string
		asJSON      bool
	)
	cmd := &cobra.Command{
		Use:   "show --table PROJECT.DATASET.TABLE [flags]",
		Short: "Show a table's schema in BigQuery's JSON form and the writer schema in proto syntax",
		Long: `Show a table's schema in BigQuery's JSON form, as the service has it or as a file with --schema says, and the writer
schema: the protocol-buffer message whose fields the rows are sent as, with its fingerprint, by which the ledger knows it.

With --json the result is an object with table, schema, descriptor (in proto syntax) and fingerprint. Its schema can be given
to load --schema and to bq mk.`,
		Example: `  eowriter schema show --table my-project.flights.y2013
  eowriter schema show --table p.d.t --json | jq .schema > t.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if table == "" {
				return usagef("--table is needed")
			}
			name, err := tableName(table)
			if err != nil {
				return err
			}
			opts, err := service.options()
			if err != nil {
				return err
			}
			ts, err := readSchema(file)
			if err != nil {
				return err
			}
			if ts == nil {
				ctx, cancel := context.WithTimeout(cmd.Context(), contact)
				defer cancel()
				if ts, err = tableschema.Get(ctx, name, opts); err != nil {
					return err
				}
			}
			return printSchema(cmd.OutOrStdout(), name, ts, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&table, "table", "", "the table, PROJECT.DATASET.TABLE")
	f.StringVar(&file, "schema", "", "file with a schema to show instead, in BigQuery's JSON form")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	service.add(f)
	return cmd
}

func printSchema(out io.Writer, table string, ts *storagepb.TableSchema, asJSON bool) error {
	d, err := rows.Descriptor(ts)
	if err != nil {
		return fmt.Errorf("table %s: %w", shortTable(table), err)
	}
	schema, err := committed.NewSchema(table, ts, d)
	if err != nil {
		return err
	}
	fingerprint := schema.Fingerprint()
	columns, text := tableschema.JSON(ts), tableschema.Proto(d)
	if asJSON {
		return printJSON(out, map[string]any{
			"table": shortTable(table), "schema": columns, "descriptor": text, "fingerprint": hex.EncodeToString(fingerprint[:]),
		})
	}
	b, err := json.MarshalIndent(columns, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(out, "%s\n\n// writer schema %x\n%s", b, fingerprint, text)
	}
	return err
}

func newSchemaDeadLettersCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "dead-letters",
		Short: "Print the schema of a table for dead letters",
		Long:  "Print the schema, in BigQuery's JSON form, of a table that load --dead-letters can deliver to.",
		Example: `  eowriter schema dead-letters > letters.json
  bq mk --table my-project:my_dataset.dead_letters letters.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), deadletter.Schema)
			return err
		},
	}
}
