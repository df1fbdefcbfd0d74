// Package bench measures this writer beside the bare managedwriter client: the same
// rows, the same window, the same discarding service, alternating in one run, so that
// the ratio holds on machines whose speed drifts. [Run] does it all.
package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/api/option"
)

// Shape is how rows are batched.
type Shape struct {
	Rows  int `json:"rows_per_batch"`
	Bytes int `json:"bytes_per_row"`
}

func (s Shape) String() string { return fmt.Sprintf("%d x %d B", s.Rows, s.Bytes) }

// Shapes are those that ARCHITECTURE.md has targets for.
var Shapes = []Shape{{500, 2500}, {1000, 100}, {100, 100}}

// Contenders, in the order in which they alternate.
const (
	Bare       = "bare client"
	Replayable = "replayable"
	Frozen     = "frozen"
)

var contenders = []string{Bare, Replayable, Frozen}

// Config says what to measure.
type Config struct {
	Client     []option.ClientOption // reach the service
	Server     string                // what it is, for the report
	Dir        string                // where ledgers are made
	Shapes     []Shape
	Partitions int
	Window     int           // batches in flight per partition
	Duration   time.Duration // of one run
	Rounds     int           // runs of each contender and shape
	Progress   func(string)
}

// Result is what one contender reached with one shape.
type Result struct {
	Server     string  `json:"server"`
	Shape      Shape   `json:"shape"`
	Contender  string  `json:"contender"`
	Partitions int     `json:"partitions"`
	Rates      []Rate  `json:"rounds"`
	RowsPerS   float64 `json:"rows_per_second"` // median
	MBPerS     float64 `json:"mb_per_second"`   // of rows, median; 1 MB = 1e6 bytes
	Ratio      float64 `json:"ratio"`           // of medians, to the bare client
}

// Rate is what one run reached.
type Rate struct {
	Rows    int64   `json:"rows"`
	Seconds float64 `json:"seconds"`
}

func (r Rate) rowsPerS() float64 { return float64(r.Rows) / r.Seconds }

// Run measures every contender with every shape.
func Run(ctx context.Context, cfg Config) ([]Result, error) {
	var all []Result
	for _, shape := range cfg.Shapes {
		results := make([]Result, len(contenders))
		for i, c := range contenders {
			results[i] = Result{Server: cfg.Server, Shape: shape, Contender: c, Partitions: cfg.Partitions}
		}
		for round := range cfg.Rounds {
			for i, c := range contenders {
				cfg.Progress(fmt.Sprintf("%s, %s, %s, round %d of %d", cfg.Server, shape, c, round+1, cfg.Rounds))
				rate, err := measure(ctx, cfg, shape, c)
				if err != nil {
					return nil, fmt.Errorf("measure %s with %s: %w", c, shape, err)
				}
				results[i].Rates = append(results[i].Rates, rate)
			}
		}
		for i := range results {
			r := &results[i]
			r.RowsPerS = median(r.Rates)
			r.MBPerS = r.RowsPerS * float64(shape.Bytes) / 1e6
			r.Ratio = r.RowsPerS / results[0].RowsPerS
		}
		all = append(all, results...)
	}
	return all, nil
}

func median(rates []Rate) float64 {
	v := make([]float64, len(rates))
	for i, r := range rates {
		v[i] = r.rowsPerS()
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
