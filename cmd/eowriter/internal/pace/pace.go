// Package pace measures how fast things go, in memory that doesn't grow: how many by the second lately, and how long they took
// over the last ten minutes.
package pace

import (
	"math"
	"sync"
	"time"
)

// What a Meter remembers: Steps steps of Step each, the present one included.
const (
	Step  = 5 * time.Second
	Steps = 120
)

// lately is how fast a Rate forgets: what was so long ago counts a third.
const lately = 5 * time.Second

// Rate is how many by the second lately. The zero value is ready. Not safe for concurrent use.
type Rate struct {
	value float64 // at the time at
	at    time.Time
}

// Add counts n more at now, which is not before the calls before.
func (r *Rate) Add(now time.Time, n int64) {
	r.value = r.decayed(now) + float64(n)/lately.Seconds()
	r.at = now
}

// At returns the rate at now, rounded to three digits.
func (r *Rate) At(now time.Time) float64 {
	v := r.decayed(now)
	if v < 0.01 {
		return 0
	}
	scale := math.Pow(10, 2-math.Floor(math.Log10(v)))
	return math.Round(v*scale) / scale
}

func (r *Rate) decayed(now time.Time) float64 {
	return r.value * math.Exp(-max(0, now.Sub(r.at)).Seconds()/lately.Seconds())
}

// Meter counts rows and bytes, and how long things took. The zero value is ready. Safe for concurrent use.
type Meter struct {
	mu    sync.Mutex // guards what follows
	rows  Rate
	bytes Rate
	count Rate
	ring  [Steps]step
}

// step is what happened in one step.
type step struct {
	number int64 // of the step since 1970; another one than the step that is asked for: nothing happened in that
	rows   int64
	took   histogram
}

// at returns the step of a time, which is emptied if it was another one's; m.mu is held.
func (m *Meter) at(now time.Time) *step {
	number := now.UnixNano() / int64(Step)
	s := &m.ring[number%Steps]
	if s.number != number {
		*s = step{number: number}
	}
	return s
}

// Rows counts rows and their bytes.
func (m *Meter) Rows(now time.Time, rows, bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows.Add(now, rows)
	m.bytes.Add(now, bytes)
	m.at(now).rows += rows
}

// Took counts one thing that took so long.
func (m *Meter) Took(now time.Time, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count.Add(now, 1)
	m.at(now).took.add(took)
}

// Reading is what a Meter tells.
type Reading struct {
	Rows, Bytes, Count float64 // by the second, lately; Count is of what Took was told
	Took               Quantiles
	Steps              []StepReading // the last Steps, oldest first; the last one is not over
}

// StepReading is what happened in a step.
type StepReading struct {
	Rows float64 // by the second
	Took Quantiles
}

// Quantiles are how long half of the things took at most, and 99 of 100. Both are 0 if there were none, and up to an eighth
// more than it was.
type Quantiles struct{ P50, P99 time.Duration }

// Read tells how it goes.
func (m *Meter) Read(now time.Time) Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := Reading{Rows: m.rows.At(now), Bytes: m.bytes.At(now), Count: m.count.At(now), Steps: make([]StepReading, Steps)}
	last := now.UnixNano() / int64(Step)
	var all histogram
	for n := range r.Steps {
		number := last - Steps + 1 + int64(n)
		s := &m.ring[number%Steps]
		if s.number != number {
			continue
		}
		long := Step
		if number == last {
			long = max(time.Second, time.Duration(now.UnixNano()%int64(Step)))
		}
		r.Steps[n] = StepReading{Rows: float64(s.rows) / long.Seconds(), Took: s.took.quantiles()}
		all.merge(&s.took)
	}
	r.Took = all.quantiles()
	return r
}
