package scenario

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/eowriter/eowriter/chaos/workload"
)

// Options say how scenarios are played.
type Options struct {
	Program  []string      // a program and its arguments whose main function calls workload.ChildMain: the writer
	Seed     uint64        // of the first round of each scenario; the n-th has Seed+n
	Duration time.Duration // rounds are begun for so long; 0: one of each scenario
	Rows     int64         // of a round; 0: as many as the scenario finds right
	Dir      string        // where failed rounds leave their folders; "": the system's for temporary files
	Progress func(Totals)  // called after each round, one at a time; may be nil
}

// Totals are counts over all rounds so far.
type Totals struct {
	Rounds, Rows, Kills, Faults, Violations int64
}

// Result is what came out of a scenario's rounds.
type Result struct {
	Scenario   string                        `json:"scenario"`
	Rounds     int64                         `json:"rounds"`
	Rows       int64                         `json:"rows"`   // in the tables, at the end of each round
	Kills      int64                         `json:"kills"`  // SIGKILL
	Faults     map[string]int64              `json:"faults"` // by kind, those of the wire with its name before them
	Settled    map[workload.Settlement]int64 `json:"settled"`
	Violations int64                         `json:"violations"`
	Failures   []Failure                     `json:"failures,omitempty"`
}

// Failure is a round that broke a promise.
type Failure struct {
	Scenario string   `json:"scenario"`
	Seed     uint64   `json:"seed"`
	Why      []string `json:"why"`
	Events   []string `json:"events"`   // the last 50
	Schedule string   `json:"schedule"` // a file: what was done when
	Again    string   `json:"again"`    // the command that plays the round again
}

// Report is what came out of all scenarios.
type Report struct {
	Results []Result `json:"scenarios"`
	Seed    uint64   `json:"seed"`
	Seconds float64  `json:"seconds"`
	OK      bool     `json:"ok"` // no violations
}

// playing is a Run.
type playing struct {
	opt   Options
	which []Scenario
	began time.Time

	mu      sync.Mutex // guards what follows
	next    int        // round
	results map[string]*Result
	totals  Totals
	broken  error
}

// Run plays scenarios, several rounds at a time, and judges them. After a violation no
// further rounds are begun. An error says that it could not be done to the end; the
// report says what came out.
func Run(ctx context.Context, which []Scenario, opt Options) (Report, error) {
	p := &playing{opt: opt, which: which, began: time.Now(), results: map[string]*Result{}}
	for _, s := range which {
		p.results[s.Name] = &Result{Scenario: s.Name, Faults: map[string]int64{}, Settled: map[workload.Settlement]int64{}}
	}
	var wg sync.WaitGroup
	for range 4 * runtime.GOMAXPROCS(0) { // most of a round's time is waiting
		wg.Go(func() {
			for p.another(ctx) {
				continue
			}
		})
	}
	wg.Wait()
	r := Report{Seed: opt.Seed, Seconds: time.Since(p.began).Seconds(), OK: p.totals.Violations == 0}
	for _, s := range which {
		r.Results = append(r.Results, *p.results[s.Name])
	}
	return r, errors.Join(ctx.Err(), p.broken)
}

// another plays another round, if there is one to play.
func (p *playing) another(ctx context.Context) bool {
	p.mu.Lock()
	n := p.next
	over := ctx.Err() != nil || p.broken != nil || p.totals.Violations > 0 || n >= len(p.which) && time.Since(p.began) >= p.opt.Duration
	if !over {
		p.next++
	}
	p.mu.Unlock()
	if over {
		return false
	}
	s, seed := p.which[n%len(p.which)], p.opt.Seed+uint64(n/len(p.which))
	if err := p.round(ctx, s, seed); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if ctx.Err() == nil && p.broken == nil {
			p.broken = fmt.Errorf("play %s with seed %d: %w", s.Name, seed, err)
		}
		return false
	}
	return true
}

// round plays a round in a folder of its own. An error is one of ours.
func (p *playing) round(ctx context.Context, s Scenario, seed uint64) error {
	dir, err := newFolder(p.opt.Dir)
	if err != nil {
		return err
	}
	r := &round{ctx: ctx, program: p.opt.Program, name: s.Name, seed: seed, rows: p.opt.Rows, asked: p.opt.Rows, dir: dir,
		log: workload.NewLog(), diary: &diary{began: time.Now()}, deeds: map[string]int64{}}
	if p.opt.Duration > 0 {
		r.until = p.began.Add(p.opt.Duration)
	}
	err = s.play(r)
	var failure *Failure
	if wrong, is := err.(violation); is {
		failure, err = r.failure(wrong)
	}
	rows := int64(0)
	if r.srv != nil {
		rows = int64(len(r.srv.Rows(workload.Table)))
	}
	err = errors.Join(err, r.close())
	if failure == nil {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err == nil {
		p.add(r, rows, failure)
	}
	return err
}

// newFolder makes a round's folder: in memory if nothing else is said and that is
// possible, for a killed process loses nothing that it wrote, and the many syncs only
// cost time.
func newFolder(dir string) (string, error) {
	if dir == "" {
		if name, err := os.MkdirTemp("/dev/shm", "eowriter-scenario-*"); err == nil {
			return name, nil
		}
	}
	return os.MkdirTemp(dir, "eowriter-scenario-*")
}

// failure makes the report of a round that broke a promise.
func (r *round) failure(wrong violation) (*Failure, error) {
	file, err := r.save(wrong)
	again := fmt.Sprintf("eowriter chaos --scenario %s --seed %d", r.name, r.seed)
	if r.asked > 0 {
		again += fmt.Sprintf(" --rows %d", r.asked)
	}
	return &Failure{Scenario: r.name, Seed: r.seed, Why: wrong, Events: r.diary.latest(), Schedule: file, Again: again}, err
}

// add adds a round to the results.
func (p *playing) add(r *round, rows int64, failure *Failure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	to := p.results[r.name]
	to.Rounds++
	to.Rows += rows
	faults := r.faults()
	for kind, n := range faults {
		to.Faults[kind] += n
	}
	to.Kills += faults[killed]
	for how, n := range r.log.Settled {
		to.Settled[how] += n
	}
	p.totals.Rounds++
	p.totals.Rows += rows
	p.totals.Kills += faults[killed]
	for _, n := range faults {
		p.totals.Faults += n
	}
	if failure != nil {
		to.Violations += int64(len(failure.Why))
		to.Failures = append(to.Failures, *failure)
		p.totals.Violations += int64(len(failure.Why))
	}
	if p.opt.Progress != nil {
		p.opt.Progress(p.totals)
	}
}

// faults counts all that was done, by kind.
func (r *round) faults() map[string]int64 {
	all := maps.Clone(r.deeds)
	if r.srv != nil {
		maps.Copy(all, r.srv.FaultCounts())
	}
	if r.wire != nil {
		for kind, n := range r.wire.FaultCounts() {
			all["wire "+kind] = n
		}
	}
	return all
}

// Kinds lists the kinds of faults of a result, sorted.
func (r Result) Kinds() []string { return slices.Sorted(maps.Keys(r.Faults)) }
