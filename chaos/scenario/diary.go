package scenario

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/eowriter/eowriter/chaos/workload"
)

// recent is how many events a failure reports.
const recent = 50

// mostDeeds bounds a schedule.
const mostDeeds = 10_000

// Event is something that happened in a round.
type Event struct {
	Ms   int64  `json:"ms"`  // since the round began
	Run  int    `json:"run"` // of the writer, from 1
	What string `json:"what"`
}

// String says it in a line.
func (e Event) String() string { return fmt.Sprintf("%6d ms, run %d: %s", e.Ms, e.Run, e.What) }

// diary keeps what was done in a round, and the latest of what happened. Safe for
// concurrent use.
type diary struct {
	began time.Time

	mu     sync.Mutex // guards what follows
	run    int
	deeds  []Event // what was done
	events []Event // the latest, deeds included
}

// did takes down what was done to the writer.
func (d *diary) did(format string, args ...any) {
	e := d.saw(format, args...)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.deeds) < mostDeeds {
		d.deeds = append(d.deeds, e)
	}
}

// saw takes down what happened.
func (d *diary) saw(format string, args ...any) Event {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := Event{time.Since(d.began).Milliseconds(), d.run, fmt.Sprintf(format, args...)}
	d.events = append(d.events, e)
	if len(d.events) >= 2*recent {
		d.events = append(d.events[:0], d.events[len(d.events)-recent:]...)
	}
	return e
}

func (d *diary) note(n workload.Note) {
	d.saw("%s %s [%d, %d) at %d of %s %s%s", n.Partition, n.Kind, n.From, n.To, n.Offset, n.Stream[strings.LastIndexByte(n.Stream, '/')+1:], n.Settled, n.Cause)
}

func (d *diary) nextRun() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.run++
	return d.run
}

// latest returns the last events.
func (d *diary) latest() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var lines []string
	for _, e := range d.events[max(0, len(d.events)-recent):] {
		lines = append(lines, e.String())
	}
	return lines
}

// schedule is what is saved of a round that failed.
type schedule struct {
	Scenario string          `json:"scenario"`
	Seed     uint64          `json:"seed"`
	Why      []string        `json:"why"`
	Script   workload.Script `json:"script"`
	Done     []Event         `json:"done"`
}

// save writes the schedule to a new file and returns its name.
func (r *round) save(why []string) (string, error) {
	r.diary.mu.Lock()
	s := schedule{r.name, r.seed, why, r.script, r.diary.deeds}
	r.diary.mu.Unlock()
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return "", err
	}
	name := filepath.Join(r.dir, "schedule.json")
	return name, os.WriteFile(name, append(text, '\n'), 0o600)
}
