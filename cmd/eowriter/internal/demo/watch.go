package demo

import (
	"sync"

	"github.com/eowriter/eowriter/chaos/emulator"
)

// probeOffset is where the writer's probes append: not rows.
const probeOffset = 1 << 62

// place is where a batch begins.
type place struct {
	stream string
	offset int64
}

// watch counts the appends that reach the emulator, in all processes of the writer. Its append is called by the
// emulator's connections.
type watch struct {
	mu        sync.Mutex // guards what follows
	emu       *emulator.Server
	run       int            // counts the writer's processes, from 1
	sent      map[place]int  // the run in which the batch was received last
	rows      int64          // received for the first time
	replays   int64          // batches received again
	ambiguous map[place]bool // batches that had landed without an answer to say so
	open      map[place]bool // open in the ledger when the last process ended
	killAt    int64          // rows
	kill      func()         // nil: don't
}

func newWatch() *watch {
	return &watch{run: 1, sent: map[place]int{}, ambiguous: map[place]bool{}}
}

func (w *watch) observe(emu *emulator.Server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.emu = emu
}

// arm lets kill be called once, when so many rows have been received.
func (w *watch) arm(rows int64, kill func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.killAt, w.kill = rows, kill
}

// append is told of every append before the emulator judges it.
func (w *watch) append(r emulator.Request) {
	if r.Offset >= probeOffset {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := place{r.Stream, r.Offset}
	if w.sent[at] == 0 {
		w.rows += r.Rows
	} else {
		w.replays++
		if s, ok := w.emu.Stream(r.Stream); ok && s.End > r.Offset {
			w.ambiguous[at] = true // will be answered with ALREADY_EXISTS
		}
	}
	w.sent[at] = w.run
	if w.kill != nil && w.rows >= w.killAt {
		// The writer dies here, and what it just sent is written all the same.
		w.kill()
		w.kill = nil
	}
}

// ended is told when a process of the writer has ended, and what is open in its ledger. Batches that were open before
// it, are not any more, and were not sent by it, had landed: the stream's end told.
func (w *watch) ended(open map[place]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for at := range w.open {
		if !open[at] && w.sent[at] < w.run {
			w.ambiguous[at] = true
		}
	}
	w.open = open
	w.run++
}

func (w *watch) result() (ambiguous, replays int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(len(w.ambiguous)), w.replays
}
