package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/bench"
	"github.com/spf13/cobra"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func newBenchCommand() *cobra.Command {
	var (
		cfg     bench.Config
		servers []string
		asJSON  bool
	)
	cmd := &cobra.Command{
		Use:   "bench [flags]",
		Short: "Measure this writer beside the bare client, in one run",
		Long: `Measure this writer, replayable and frozen, beside the bare managedwriter client.

The contenders take turns with the same rows, window and service, an emulator that checks offsets and keeps nothing, in
a child process or in this one. Printed are the medians of the rounds and their ratio to the bare client's.`,
		Example: `  eowriter bench
  eowriter bench --servers child --rounds 3 --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Shapes = bench.Shapes
			cfg.Progress = func(s string) { fmt.Fprintln(cmd.ErrOrStderr(), s) }
			var all []bench.Result
			for _, server := range servers {
				results, err := benchWith(cmd.Context(), cfg, server)
				if err != nil {
					return err
				}
				all = append(all, results...)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return printBench(cmd, all)
		},
	}
	cmd.AddCommand(newBenchSidecarCommand())
	f := cmd.Flags()
	f.StringSliceVar(&servers, "servers", []string{"child", "in-process"}, "where the emulator runs: child, in-process")
	f.DurationVar(&cfg.Duration, "duration", time.Second, "of one round of one contender")
	f.IntVar(&cfg.Rounds, "rounds", 9, "rounds of each contender")
	f.IntVar(&cfg.Partitions, "partitions", 4, "partitions that write at the same time")
	f.IntVar(&cfg.Window, "window", 256, "batches in flight in a partition")
	f.StringVar(&cfg.Dir, "dir", "", "folder for the ledgers; default the system's for temporary files")
	f.BoolVar(&asJSON, "json", false, "print one JSON array of results")
	return cmd
}

// benchWith measures against an emulator that it starts and stops.
func benchWith(ctx context.Context, cfg bench.Config, server string) ([]bench.Result, error) {
	cfg.Server = server
	switch server {
	case "in-process":
		s, err := emulator.Start(emulator.Options{
			Discard: true, Tables: map[string]*storagepb.TableSchema{bench.Table: bench.TableSchema()},
		})
		if err != nil {
			return nil, err
		}
		defer s.Close()
		cfg.Client = s.ClientOptions()
		return bench.Run(ctx, cfg)
	case "child":
		address, stop, err := benchChild(ctx)
		if err != nil {
			return nil, err
		}
		results, err := bench.Run(ctx, withAddress(cfg, address))
		return results, errors.Join(err, stop())
	default:
		return nil, usagef("--servers: %q is neither child nor in-process", server)
	}
}

func withAddress(cfg bench.Config, address string) bench.Config {
	cfg.Client = []option.ClientOption{
		option.WithEndpoint(address),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
	return cfg
}

// benchChild starts this program as an emulator.
func benchChild(ctx context.Context) (address string, stop func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "eowriter-bench-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir)
	schema := filepath.Join(dir, "schema.json")
	if err := os.WriteFile(schema, []byte(`[{"name":"payload","type":"BYTES"}]`), 0o600); err != nil {
		return "", nil, err
	}
	child := exec.CommandContext(ctx, self, "emulator", "--discard", "--listen", "127.0.0.1:0", "--table", "bench.bench.rows="+schema)
	child.Stderr = os.Stderr
	child.Cancel = func() error { return child.Process.Signal(os.Interrupt) }
	out, err := child.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := child.Start(); err != nil {
		return "", nil, fmt.Errorf("start the emulator: %w", err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		return "", nil, fmt.Errorf("the emulator did not tell its address: %w", errors.Join(lines.Err(), child.Wait()))
	}
	return strings.TrimSpace(lines.Text()), func() error {
		err := child.Process.Signal(os.Interrupt)
		for lines.Scan() {
			continue // what it says at the end
		}
		return errors.Join(err, child.Wait())
	}, nil
}

func printBench(cmd *cobra.Command, all []bench.Result) error {
	t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "service\tbatches\tcontender\trows/s\tMB/s\tratio\t")
	for _, r := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%.0f\t%.1f\t%.2f\t\n", r.Server, r.Shape, r.Contender, r.RowsPerS, r.MBPerS, r.Ratio)
	}
	return t.Flush()
}
