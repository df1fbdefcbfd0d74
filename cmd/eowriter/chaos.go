package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"text/tabwriter"
	"time"

	"github.com/eowriter/eowriter/chaos/scenario"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/spf13/cobra"
)

func newChaosCommand() *cobra.Command {
	var (
		opt          scenario.Options
		name         string
		asJSON, list bool
	)
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "Try to break it: seeded faults of every kind, with a verdict",
		Long: `Try to break it. Writer processes write numbered rows to an emulated service over a real network, and everything goes
wrong: the service errs and lies about what it has applied, connections are cut, stalled and half-closed, writers are
killed at every step and stopped, the bytes of dead writers arrive late, disks fill up, and operators restore, copy and
delete ledgers. After each round the source, the table, what callers were told and the ledger are held against each
other.

--list describes the scenarios. Each is played once, or over and over for --duration, with the next seed each time. A
seed makes the same decisions each time; 0 draws a new one, which is printed. After a violation nothing more is begun:
what is wrong, the last events, the command that plays the round again, and a file with what was done are printed.

Exit code 1 unless there are 0 violations.`,
		Example: `  eowriter chaos
  eowriter chaos --scenario mixed --duration 5m
  eowriter chaos --scenario process/steps --seed 7 --json`,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if list {
				return listScenarios(cmd.OutOrStdout(), asJSON)
			}
			which := scenario.Find(name)
			switch {
			case len(which) == 0:
				return usagef("--scenario: there is no %q; see --list", name)
			case opt.Duration < 0 || opt.Rows < 0:
				return usagef("--duration and --rows must not be negative")
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find our own program: %w", err)
			}
			opt.Program = []string{self, "chaos", "writer"}
			for opt.Seed == 0 {
				opt.Seed = rand.Uint64() >> 32 // short enough to be typed
			}
			return playChaos(cmd, which, opt, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&name, "scenario", "all", "a scenario, a group of them such as wire, or all")
	f.Uint64Var(&opt.Seed, "seed", 0, "of all decisions; 0: a new one")
	f.DurationVar(&opt.Duration, "duration", 0, "play rounds for so long; 0: one of each scenario")
	f.Int64Var(&opt.Rows, "rows", 0, "rows of a round, but 40 batches of each partition at least; 0: as many as the scenario finds right")
	f.BoolVar(&asJSON, "json", false, "print the result as one JSON object")
	f.BoolVar(&list, "list", false, "describe the scenarios")
	cmd.AddCommand(&cobra.Command{
		Use: "writer", Hidden: true, Args: noArgs,
		Short: "The writer that scenarios kill",
		RunE: func(*cobra.Command, []string) error {
			if !workload.IsChild() {
				return usagef("scenarios start it by themselves")
			}
			os.Exit(workload.ChildMain())
			return nil
		},
	})
	return cmd
}

func listScenarios(out io.Writer, asJSON bool) error {
	type described struct {
		Name string `json:"name"`
		Does string `json:"does"`
	}
	var all []described
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range scenario.List() {
		all = append(all, described{s.Name, s.Does})
		fmt.Fprintf(t, "%s\t%s\n", s.Name, s.Does)
	}
	if asJSON {
		return printJSON(out, all)
	}
	return t.Flush()
}

func playChaos(cmd *cobra.Command, which []scenario.Scenario, opt scenario.Options, asJSON bool) error {
	d := newChaosDisplay(progress(cmd.ErrOrStderr()), len(which), opt.Duration)
	opt.Progress = d.totals
	d.say("%d scenarios, seed %d", len(which), opt.Seed)
	stop := d.start()
	r, err := scenario.Run(cmd.Context(), which, opt)
	stop()
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted; nothing is left behind")
	}
	if asJSON {
		err = errors.Join(err, printJSON(cmd.OutOrStdout(), r))
	} else {
		err = errors.Join(err, printChaos(cmd.OutOrStdout(), r))
	}
	if err == nil && !r.OK {
		err = errors.New("not exactly once: the violations are told above")
	}
	return err
}

// interval between two lines, or two renderings of the bar.
const (
	chaosLineEvery = 10 * time.Second
	chaosBarEvery  = 500 * time.Millisecond
)
