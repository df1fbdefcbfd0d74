package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/eowriter/eowriter/chaos/scenario"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/load"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/schollz/progressbar/v3"
)

// chaosDisplay shows how scenarios go: a bar on a terminal, else a line now and then.
type chaosDisplay struct {
	load.Progress
	rounds   int           // to play, at least
	duration time.Duration // to play for
	began    time.Time

	mu  sync.Mutex // guards what follows
	now scenario.Totals
	bar *progressbar.ProgressBar // nil: lines
}

func newChaosDisplay(p load.Progress, rounds int, duration time.Duration) *chaosDisplay {
	return &chaosDisplay{Progress: p, rounds: rounds, duration: duration, began: time.Now()}
}

// totals is told of the counts so far.
func (d *chaosDisplay) totals(t scenario.Totals) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = t
}

// start begins to show the counts until the returned function is called.
func (d *chaosDisplay) start() (stop func()) {
	every := chaosLineEvery
	if d.Terminal {
		every = chaosBarEvery
		d.bar = progressbar.NewOptions64(1000, progressbar.OptionSetWriter(d.Out), progressbar.OptionSetWidth(24),
			progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false), progressbar.OptionClearOnFinish())
	}
	quit := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				d.show()
			}
		}
	})
	return func() {
		close(quit)
		running.Wait()
		if d.bar != nil {
			_ = d.bar.Clear() // a display that fails is no reason to fail
		}
	}
}

func (d *chaosDisplay) show() {
	d.mu.Lock()
	t := d.now
	d.mu.Unlock()
	elapsed := time.Since(d.began)
	state := fmt.Sprintf("%v: %s, %s, %s, %s, %s",
		elapsed.Round(time.Second), plural.Of(t.Rounds, "round", "rounds"), plural.Rows(t.Rows),
		plural.Of(t.Faults, "fault", "faults"), plural.Of(t.Kills, "kill", "kills"), plural.Of(t.Violations, "violation", "violations"))
	if d.bar == nil {
		d.say("%s", state)
		return
	}
	part := float64(t.Rounds) / float64(d.rounds)
	if d.duration > 0 {
		part = min(part, 1) * float64(elapsed) / float64(d.duration)
	}
	d.bar.Describe(state)
	_ = d.bar.Set64(int64(min(part, 1) * 999))
}

func (d *chaosDisplay) say(format string, args ...any) {
	fmt.Fprintf(d.Out, "eowriter: "+format+"\n", args...)
}

func printChaos(out io.Writer, r scenario.Report) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scenario\trounds\trows\tkills\tviolations\tsettled\tfaults")
	for _, s := range r.Results {
		var settled, faults []string
		for _, how := range workload.Settlements {
			if n := s.Settled[how]; n > 0 {
				settled = append(settled, fmt.Sprintf("%s %d", how, n))
			}
		}
		for _, kind := range s.Kinds() {
			faults = append(faults, fmt.Sprintf("%s %d", kind, s.Faults[kind]))
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%s\t%s\n", s.Scenario, s.Rounds, s.Rows, s.Kills, s.Violations,
			strings.Join(settled, ", "), strings.Join(faults, ", "))
	}
	_ = t.Flush() // to memory
	for _, s := range r.Results {
		for _, f := range s.Failures {
			printFailure(&b, f)
		}
	}
	verdict := "exactly once"
	if !r.OK {
		verdict = "NOT exactly once"
	}
	fmt.Fprintf(&b, "\n%s, in %.1f s, seed %d\n", verdict, r.Seconds, r.Seed)
	_, err := io.WriteString(out, b.String())
	return err
}

// mostFindings is how many of the findings of one round are printed; all are in its file.
const mostFindings = 20

func printFailure(b *strings.Builder, f scenario.Failure) {
	fmt.Fprintf(b, "\n%s with seed %d: %s\n", f.Scenario, f.Seed, plural.Of(len(f.Why), "violation", "violations"))
	for _, why := range f.Why[:min(len(f.Why), mostFindings)] {
		fmt.Fprintf(b, "  %s\n", why)
	}
	fmt.Fprintf(b, "the last events:\n  %s\n", strings.Join(f.Events, "\n  "))
	fmt.Fprintf(b, "what was done, and all findings: %s\nplay it again: %s\n", f.Schedule, f.Again)
}
