package main

import (
	"fmt"
	"os"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/spf13/cobra"
)

func newEmulatorCommand() *cobra.Command {
	var (
		opt    emulator.Options
		tables []string
		faults []string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "emulator --table PROJECT.DATASET.TABLE=SCHEMA.json ... [flags]",
		Short: "Serve the Storage Write API on a local port, with faults on demand",
		Long: `Serve the Storage Write API on a local port, without TLS, until it is interrupted.

SCHEMA.json is a table's schema in BigQuery's own JSON format, as bq show --schema prints it. The first line of standard
output is the address that is listened on, so that port 0 can be used.

A fault is KIND[:KEY=VALUE,...], with the keys after (let so many requests pass first), every (fire on every n-th), p (a
probability), count (at most so often), table, stream, delay, all, lag, checks, code, storage and message (last). Kinds:
` + kindHelp(),
		Example: `  eowriter emulator --listen 127.0.0.1:9060 --table p.d.flights=schema.json
  eowriter emulator --table p.d.t=schema.json --fault close-after:every=97 --fault error:p=0.01,code=INTERNAL --seed 7`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if opt.Discard && opt.Data != "" {
				return usagef("--data and --discard exclude each other")
			}
			if opt.Tables, err = readTables(tables); err != nil {
				return err
			}
			for _, spec := range faults {
				f, err := emulator.ParseFault(spec)
				if err != nil {
					return usagef("--fault: %w", err)
				}
				opt.Faults = append(opt.Faults, f)
			}
			return serveEmulator(cmd, opt, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.Listen, "listen", "127.0.0.1:9060", "address to listen on; port 0: any free one")
	f.StringVar(&opt.Data, "data", "", "folder for durable state: streams and rows outlive the process")
	f.BoolVar(&opt.Discard, "discard", false, "check offsets and keep no rows")
	f.StringArrayVar(&tables, "table", nil, "table to serve, PROJECT.DATASET.TABLE=SCHEMA.json; may be repeated")
	f.StringArrayVar(&faults, "fault", nil, "fault to inject; may be repeated")
	f.Uint64Var(&opt.Seed, "seed", 0, "seed of the faults by chance")
	f.BoolVar(&asJSON, "json", false, "print the address and, at the end, the counts as JSON objects")
	return cmd
}

func kindHelp() string {
	var b strings.Builder
	for _, k := range emulator.KindList() {
		fmt.Fprintf(&b, "  %-15s %s\n", k.Kind, k.Does)
	}
	return b.String()
}

func readTables(specs []string) (map[string]*storagepb.TableSchema, error) {
	if len(specs) == 0 {
		return nil, usagef("--table is needed")
	}
	tables := make(map[string]*storagepb.TableSchema, len(specs))
	for _, spec := range specs {
		short, path, ok := strings.Cut(spec, "=")
		if !ok {
			return nil, usagef("--table %q: want PROJECT.DATASET.TABLE=SCHEMA.json", spec)
		}
		name, err := tableName(short)
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if tables[name], err = rows.ParseSchema(text); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return tables, nil
}

// emulatorStart and emulatorEnd are what --json prints.
type emulatorStart struct {
	Address string `json:"address"`
}

type emulatorEnd struct {
	Appends int64            `json:"appends"`
	Rows    int64            `json:"rows"`
	Bytes   int64            `json:"bytes"`
	Creates int64            `json:"creates"`
	Faults  map[string]int64 `json:"faults"`
}

func serveEmulator(cmd *cobra.Command, opt emulator.Options, asJSON bool) error {
	s, err := emulator.Start(opt)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if asJSON {
		err = printJSON(out, emulatorStart{s.Addr()})
	} else {
		_, err = fmt.Fprintln(out, s.Addr())
	}
	if err == nil {
		<-cmd.Context().Done()
	}
	if closed := s.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	n := s.Stats()
	if asJSON {
		return printJSON(out, emulatorEnd{n.Appends, n.Rows, n.Bytes, n.Creates, s.FaultCounts()})
	}
	_, err = fmt.Fprintf(out, "%d appends, %d rows, %d bytes, %d streams created\n", n.Appends, n.Rows, n.Bytes, n.Creates)
	return err
}
