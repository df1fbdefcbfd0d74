package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/spf13/cobra"
)

func newEmulatorCommand() *cobra.Command {
	var (
		opt    emulator.Options
		tables []string
		faults []string
		rest   string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "emulator --table PROJECT.DATASET.TABLE=SCHEMA.json ... [flags]",
		Short: "Serve the Storage Write API on a local port, with faults on demand",
		Long: `Serve the Storage Write API on a local port, without TLS, until it is interrupted.

SCHEMA.json is a table's schema in BigQuery's own JSON format, as bq show --schema prints it. The first line of standard
output is the address that is listened on, so that port 0 can be used.

With --http, a part of BigQuery's REST API is served beside it: datasets, tables and the reading of rows (tabledata.list), enough
for BigQuery's client libraries to make tables, alter their schemas and read them; the second line is its URL, which most
libraries take from BIGQUERY_EMULATOR_HOST. There are no jobs and no queries. Datasets are forgotten with the process.

A fault is KIND[:KEY=VALUE,...], with the keys after (let so many requests pass first), every (fire on every n-th), p (a
probability), count (at most so often), table, stream, delay, all, lag, checks, code, storage and message (last). Kinds:
` + kindHelp(),
		Example: `  eowriter emulator --listen 127.0.0.1:9060 --table p.d.flights=schema.json
  eowriter emulator --listen 127.0.0.1:9060 --http 127.0.0.1:9061
  eowriter emulator --table p.d.t=schema.json --fault close-after:every=97 --fault error:p=0.01,code=INTERNAL --seed 7`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if opt.Discard && opt.Data != "" {
				return usagef("--data and --discard exclude each other")
			}
			if len(tables) == 0 && rest == "" {
				return usagef("--table is needed, or --http to make tables with")
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
			if opt.Propagation.DropGrace == 0 {
				opt.Propagation.DropGrace = -1 // none; 0 stands for the default there
			}
			return serveEmulator(cmd, opt, rest, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.Listen, "listen", "127.0.0.1:9060", "address to listen on; port 0: any free one")
	f.StringVar(&rest, "http", "", "address for a part of BigQuery's REST API; port 0: any free one (default: not served)")
	f.StringVar(&opt.Data, "data", "", "folder for durable state: streams and rows outlive the process")
	f.BoolVar(&opt.Discard, "discard", false, "check offsets and keep no rows")
	f.StringArrayVar(&tables, "table", nil, "table to serve, PROJECT.DATASET.TABLE=SCHEMA.json; may be repeated")
	f.StringArrayVar(&faults, "fault", nil, "fault to inject; may be repeated")
	f.Uint64Var(&opt.Seed, "seed", 0, "seed of the faults by chance")
	f.DurationVar(&opt.Propagation.Delay, "propagation", 0, "how long after a change of a table connections know the old schema; the metadata change at once")
	f.DurationVar(&opt.Propagation.Jitter, "propagation-jitter", 0, "and up to so much longer, differently for each connection")
	f.DurationVar(&opt.Propagation.UpdatedSchemaDelay, "updated-schema-delay", 0, "how long after that open connections are told of the change")
	f.DurationVar(&opt.Propagation.DropGrace, "drop-grace", 9*time.Second, "how long open connections may go on to send a dropped column")
	f.DurationVar(&opt.StreamTTL, "stream-ttl", 72*time.Hour, "time without requests after which a stream is gone; negative: never")
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
	HTTP    string `json:"http,omitempty"` // URL of the REST API
}

type emulatorEnd struct {
	Appends int64            `json:"appends"`
	Rows    int64            `json:"rows"`
	Bytes   int64            `json:"bytes"`
	Creates int64            `json:"creates"`
	Faults  map[string]int64 `json:"faults"`
}

func serveEmulator(cmd *cobra.Command, opt emulator.Options, rest string, asJSON bool) error {
	s, err := emulator.Start(opt)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if rest == "" {
		err = untilDone(cmd.Context(), out, emulatorStart{Address: s.Addr()}, asJSON)
	} else {
		err = serveREST(rest, emulator.NewREST(s), func(url string) error {
			return untilDone(cmd.Context(), out, emulatorStart{s.Addr(), url}, asJSON)
		})
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
	_, err = fmt.Fprintf(out, "%s, %s, %s, %s created\n", plural.Of(n.Appends, "append", "appends"), plural.Rows(n.Rows),
		plural.Of(n.Bytes, "byte", "bytes"), plural.Of(n.Creates, "stream", "streams"))
	return err
}

// untilDone says where the emulator is, and returns when it is to end.
func untilDone(ctx context.Context, out io.Writer, start emulatorStart, asJSON bool) (err error) {
	switch {
	case asJSON:
		err = printJSON(out, start)
	case start.HTTP == "":
		_, err = fmt.Fprintln(out, start.Address)
	default:
		_, err = fmt.Fprintf(out, "%s\n%s\n", start.Address, start.HTTP)
	}
	if err == nil {
		<-ctx.Done()
	}
	return err
}

// serveREST serves h on an address while body runs, which is told the URL.
func serveREST(address string, h http.Handler, body func(url string) error) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve the REST API: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l) // ends with Close
	}()
	err = body("http://" + l.Addr().String())
	_ = server.Close()
	<-served
	return err
}
