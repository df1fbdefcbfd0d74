// Package demo tells the whole story on one machine: it starts the emulator with faults switched on, loads a year of
// flights with a writer process of its own, kills that process with SIGKILL in the middle, several times, and then
// compares the table with the input, row by row.
//
// Run is all there is to call. stage.go sets up, writer.go runs and kills the writer, watch.go counts what reaches the
// emulator, proof.go compares.
package demo

import (
	"context"
	"errors"
	"fmt"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"io"
	"math/rand/v2"
	"time"
)

// Options say how to play the demo.
type Options struct {
	Program string    // path of the eowriter program, whose load subcommand is the writer
	Seed    uint64    // of the faults and of the moments of the kills
	Months  int       // files to load, 1 to 12
	Kills   int       // how often to kill the writer
	Log     io.Writer // what happens, line by line; nil: nothing
}

// Report is the outcome, and the object that --json prints.
type Report struct {
	RowsRead    int64 `json:"rows_read"`     // rows of the input, counted apart from the writer
	RowsInTable int64 `json:"rows_in_table"` // rows that the emulator has
	Duplicates  int64 `json:"duplicates"`    // rows in the table beyond those of the input
	Lost        int64 `json:"lost"`          // rows of the input that are not in the table
	OutOfOrder  int64 `json:"out_of_order"`  // rows that stand behind one that comes after them in their file
	// Ambiguous counts batches that were in the table without the writer having an answer that said so, by a reset
	// connection or a kill, and that it did not write again.
	Ambiguous int64            `json:"ambiguous_settled"`
	Replays   int64            `json:"replays"` // appends that reached the emulator a second time
	Kills     int64            `json:"kills"`
	Streams   int64            `json:"streams"`
	Faults    map[string]int64 `json:"faults"` // how often each kind fired
	Seconds   float64          `json:"seconds"`
	Seed      uint64           `json:"seed"`
	OK        bool             `json:"ok"` // nothing twice, nothing lost, nothing out of order
}

// Run plays the demo. It leaves neither processes nor files behind, also when ctx ends. An error says that the demo
// could not be played to its end; the report says what came out.
func Run(ctx context.Context, opt Options) (r Report, err error) {
	started := time.Now()
	st, err := setUp(opt)
	if err != nil {
		return Report{}, fmt.Errorf("set up the demo: %w", err)
	}
	defer func() { err = errors.Join(err, st.tearDown()) }()
	st.say("emulator on %s with faults, %d files with %d rows, seed %d", st.emu.Addr(), len(st.files), st.rows, opt.Seed)

	kills, err := st.play(ctx)
	if err != nil {
		return Report{}, err
	}
	st.say("comparing the table with the input")
	if r, err = st.compare(); err != nil {
		return Report{}, fmt.Errorf("compare the table with the input: %w", err)
	}
	r.Ambiguous, r.Replays = st.watch.result()
	r.Kills, r.Seed, r.Faults = kills, opt.Seed, st.emu.FaultCounts()
	r.Seconds = time.Since(started).Seconds()
	r.OK = r.Duplicates == 0 && r.Lost == 0 && r.OutOfOrder == 0 && r.RowsInTable == r.RowsRead
	return r, nil
}

// play runs the writer until it has loaded everything, killing it on the way.
func (st *stage) play(ctx context.Context) (kills int64, err error) {
	random := rand.New(rand.NewPCG(st.opt.Seed, 0))
	for {
		at := st.rows + 1 // never
		if kills < int64(st.opt.Kills) {
			// Evenly over the rows, each somewhere in the middle of its share.
			share := float64(st.rows) / float64(st.opt.Kills+1)
			at = int64(share * (float64(kills) + 0.6 + 0.8*random.Float64()))
		}
		killed, err := st.runWriter(ctx, at)
		if err != nil {
			return kills, err
		}
		open, err := st.openBatches()
		if err != nil {
			return kills, err
		}
		st.watch.ended(open)
		if !killed {
			break
		}
		kills++
		st.say("killed the writer at %d of %d rows; %s open in its ledger", at, st.rows, plural.Of(len(open), "batch was", "batches were"))
	}
	if kills < int64(st.opt.Kills) {
		return kills, fmt.Errorf("the writer was killed %s only, not %d times", plural.Of(kills, "time", "times"), st.opt.Kills)
	}
	return kills, nil
}

func (st *stage) say(format string, args ...any) {
	if st.opt.Log != nil {
		fmt.Fprintf(st.opt.Log, "demo: "+format+"\n", args...)
	}
}
