package load

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/schollz/progressbar/v3"
)

// Progress says where to show how a load goes. The zero value shows nothing.
type Progress struct {
	Out      io.Writer // standard error; nil: nowhere
	Terminal bool      // Out is a terminal: a bar, else plain lines
}

const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 5 * time.Second
)

// display shows the counts while a load goes on, from a goroutine of its own.
type display struct {
	Progress
	counts *counts
	wait   atomic.Pointer[string] // what is waited for before there is anything to count; nil: nothing

	mu  sync.Mutex // one writer to Out at a time; guards bar
	bar *progressbar.ProgressBar
}

func newDisplay(p Progress, c *counts) *display { return &display{Progress: p, counts: c} }

// start begins to show the progress of inputs until the returned function is called. When ctx ends it says what is
// waited for then.
func (d *display) start(ctx context.Context, inputs []*input) (stop func()) {
	if d.Out == nil {
		return func() {}
	}
	every := lineEvery
	if d.Terminal {
		every = barEvery
		d.bar = progressbar.NewOptions64(total(inputs),
			progressbar.OptionSetWriter(d.Out), progressbar.OptionSetWidth(24), progressbar.OptionThrottle(0),
			progressbar.OptionSetRenderBlankState(true), progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false), progressbar.OptionClearOnFinish())
	}
	quit := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { d.run(ctx, every, quit) })
	return func() {
		close(quit)
		running.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.bar != nil {
			_ = d.bar.Clear() // a display that fails is no reason to fail
		}
	}
}

// total is the size of all inputs, or -1 if one has none.
func total(inputs []*input) (n int64) {
	for _, in := range inputs {
		if in.size < 0 {
			return -1
		}
		n += in.size
	}
	return n
}

func (d *display) run(ctx context.Context, every time.Duration, quit <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	interrupted := ctx.Done()
	before, at := d.counts.lines.Load(), time.Now()
	for {
		select {
		case <-quit:
			return
		case <-interrupted:
			interrupted = nil
			if n := d.counts.inFlight.Load(); n > 0 {
				d.say("stopping: %s to land first; interrupt again to quit at once, nothing is lost by it", plural.Of(n, "batch in flight has", "batches in flight have"))
			}
		case now := <-tick.C:
			lines := d.counts.lines.Load()
			d.show(float64(lines-before) / now.Sub(at).Seconds() / 1e6)
			before, at = lines, now
		}
	}
}

// show renders the counts; speed is in MB/s of JSON.
func (d *display) show(speed float64) {
	c := d.counts
	landed := c.appended.Load() + c.confirmed.Load()
	state := fmt.Sprintf("%s, %.1f MB/s, %d in flight, %s", plural.Rows(landed), speed, max(c.inFlight.Load(), 0), plural.Of(c.replays.Load(), "replay", "replays"))
	if w := c.waiting.Swap(nil); w != nil {
		d.say("%s: the service doesn't take it; tried %d times, again in %v", source.Printable(w.partition), w.attempt, w.delay.Round(time.Millisecond))
	}
	if wait := d.wait.Load(); wait != nil {
		state = *wait
	}
	if d.bar == nil {
		d.say("%s", state)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bar.Describe(state)
	_ = d.bar.Set64(c.consumed.Load()) // a display that fails is no reason to fail
}

// waitFor has that shown instead of counts, until the returned function is called.
func (d *display) waitFor(format string, args ...any) (over func()) {
	text := fmt.Sprintf(format, args...)
	d.wait.Store(&text)
	return func() { d.wait.Store(nil) }
}

// file tells of a whole file. On a terminal the bar is enough.
func (d *display) file(format string, args ...any) {
	if !d.Terminal {
		d.say(format, args...)
	}
}

// say writes one line.
func (d *display) say(format string, args ...any) {
	if d.Out == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bar != nil {
		_ = d.bar.Clear()
	}
	fmt.Fprintf(d.Out, "eowriter: "+format+"\n", args...)
}
