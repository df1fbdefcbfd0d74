package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/bench"
	"github.com/spf13/cobra"
)

func newBenchSidecarCommand() *cobra.Command {
	var (
		load        bench.Load
		dir         string
		connections int
		asJSON      bool
	)
	cmd := &cobra.Command{
		Use:   "sidecar [flags]",
		Short: "Measure the sidecar with many producers on one socket",
		Long: `Measure the sidecar with many producers on one socket, beside the bare client with as many streams, in one run.

Each producer has a partition and a connection of its own, and appends newline-delimited JSON as soon as the append before
is answered, or at a pace. Sidecar and service, an emulator that checks offsets and keeps nothing, are processes of their
own. The partitions' streams exist before the sidecar is started: BigQuery makes only a few a second.`,
		Example: `  eowriter bench sidecar
  eowriter bench sidecar --every 1s --duration 30s --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if load.Producers < 1 || load.Shape.Rows < 1 || load.Shape.Bytes < 1 || load.Duration <= 0 || load.Every < 0 {
				return usagef("--producers, --rows, --bytes and --duration must be positive")
			}
			results, err := benchSidecar(cmd.Context(), load, dir, connections)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), results)
			}
			return printSidecar(cmd, load, results)
		},
	}
	f := cmd.Flags()
	f.IntVar(&load.Producers, "producers", 1000, "producers, each with a partition")
	f.IntVar(&load.Shape.Rows, "rows", 10, "rows of an append")
	f.IntVar(&load.Shape.Bytes, "bytes", 100, "bytes of a row")
	f.DurationVar(&load.Every, "every", 0, "how often a producer appends; 0: as soon as it is answered")
	f.DurationVar(&load.Duration, "duration", 10*time.Second, "how long to measure each")
	f.IntVar(&connections, "connections", defaultConnections, "of the sidecar to the service; the bare client has one for each stream")
	f.StringVar(&dir, "dir", "", "folder for the ledgers; default the system's for temporary files")
	f.BoolVar(&asJSON, "json", false, "print one JSON array of results")
	return cmd
}

// benchSidecar measures the bare client, and the sidecar with both acknowledgements.
func benchSidecar(ctx context.Context, load bench.Load, dir string, connections int) (results []bench.LoadResult, err error) {
	address, stop, err := benchChild(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	cfg := withAddress(bench.Config{}, address)
	bare, err := load.RunBare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	bare.Ratio = 1
	results = append(results, bare)
	for _, ack := range []string{"landed", "stored"} {
		r, err := benchOneSidecar(ctx, load, cfg, dir, ack, "--endpoint", address, "--connections", strconv.Itoa(connections))
		if err != nil {
			return nil, err
		}
		r.Ratio = r.RowsPerS / bare.RowsPerS
		results = append(results, r)
	}
	return results, nil
}

// benchOneSidecar measures a sidecar that it starts and stops.
func benchOneSidecar(ctx context.Context, load bench.Load, cfg bench.Config, parent, ack string, args ...string) (r bench.LoadResult, err error) {
	dir, err := os.MkdirTemp(parent, "eowriter-bench-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "ledger")
	if err := load.Prepare(ctx, cfg, path); err != nil {
		return r, err
	}
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	socket := filepath.Join(dir, "run", "s")
	args = append([]string{"serve", "--ledger", path, "--socket", socket, "--insecure", "--max-partitions", strconv.Itoa(load.Producers)}, args...)
	child := exec.CommandContext(ctx, self, args...)
	child.Cancel = func() error { return child.Process.Signal(os.Interrupt) }
	var log strings.Builder
	child.Stderr = &log
	out, err := child.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := child.Start(); err != nil {
		return r, fmt.Errorf("start the sidecar: %w", err)
	}
	lines := bufio.NewReader(out)
	if _, err := lines.ReadString('\n'); err != nil {
		return r, fmt.Errorf("start the sidecar: %w: %s", errors.Join(err, child.Wait()), &log)
	}
	r, err = load.RunSidecar(ctx, socket, ack)
	r.Memory = peakMemory(child.Process.Pid)
	err = errors.Join(err, child.Process.Signal(os.Interrupt), child.Wait())
	if err != nil {
		return r, fmt.Errorf("%w: %s", err, &log)
	}
	used := child.ProcessState.UserTime() + child.ProcessState.SystemTime()
	r.Processor = float64(used.Microseconds()) / float64(r.Appends) / 1.25 // a fifth of the time was to warm up
	return r, nil
}

// peakMemory is the most memory that a process had resident, in MB; 0 where the system doesn't say.
func peakMemory(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(kb)[0], 64)
			return n * 1024 / 1e6
		}
	}
	return 0
}

func printSidecar(cmd *cobra.Command, load bench.Load, results []bench.LoadResult) error {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%d producers, appends of %s\n", load.Producers, load.Shape)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "contender\trows/s\tratio\tp50 ms\tp99 ms\trefused\tmemory MB\tcpu µs/append\t")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%.0f\t%.2f\t%.1f\t%.1f\t%d\t%.0f\t%.0f\t\n", r.Contender, r.RowsPerS, r.Ratio, r.P50, r.P99, r.Refused, r.Memory, r.Processor)
	}
	return t.Flush()
}
