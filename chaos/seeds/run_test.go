package seeds

import (
	"context"
	"errors"
	"os"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
	"golang.org/x/time/rate"
)

// ending is how a run has ended.
type ending string

const (
	drained ending = "drained" // or the partitions have stopped
	closed  ending = "closed"
	killed  ending = "killed"
)

// apart is what lies between the beginnings of two partitions.
const apart = 17 * time.Microsecond

// process is one run of the writer.
type process struct {
	p      *player
	r      Run
	line   *line
	led    *ledger.Ledger
	w      *committed.Writer
	ctx    context.Context
	cancel context.CancelFunc
	died   chan struct{} // closed by die, last

	mu      sync.Mutex // guards what follows; never held while calling
	dead    bool       // nothing counts any more that it does or is told
	events  int        // that End.At counts
	image   image      // of the ledger when it died
	before  *image     // of the ledger when it was opened; nil: nobody asks
	wrong   error      // why there is none
	sent    []time.Time
	creates []time.Time
	active  map[int]bool // partitions that have sent something
}

// runWriter runs the writer once. It returns why partitions stopped.
func (p *player) runWriter(n int, r Run) (failed []error, how ending, err error) {
	p.journal.note("run %d begins", n)
	x := &process{p: p, r: r, line: newLine(p.service, time.Duration(p.s.Service.Latency)), died: make(chan struct{}),
		sent: make([]time.Time, len(p.s.Partitions)), creates: make([]time.Time, len(p.s.Partitions)), active: map[int]bool{}}
	p.lines = append(p.lines, x.line)
	x.ctx, x.cancel = context.WithTimeout(context.Background(), p.patience(n)+r.silent())
	defer x.cancel()
	if x.led, err = ledger.Open(p.path, &ledger.Options{SegmentBytes: 64 << 10, Committed: x.committed}); err != nil {
		return nil, "", err
	}
	if p.opt.Amnesia {
		before, err := imageOf(p.path)
		if err != nil {
			return nil, "", errors.Join(err, x.led.Close())
		}
		x.before = &before
	}
	if x.w, err = committed.Open(x.ctx, x.led, x.options()); err != nil {
		return nil, "", errors.Join(err, x.led.Close())
	}
	p.mu.Lock()
	p.process = x
	p.mu.Unlock()

	failed = make([]error, len(p.s.Partitions))
	over := make(chan struct{})
	go func() {
		defer close(over)
		var all sync.WaitGroup
		for i := range failed {
			all.Go(func() {
				time.Sleep(time.Duration(i) * apart) // so that each time the same one is first
				failed[i] = x.run(i)
			})
		}
		all.Wait()
	}()
	how, err = x.wait(over)
	x.count()
	p.journal.note("run %d has ended: %s", n, how)
	p.covered.count("run " + string(how))
	return failed, how, err
}

// patience is how long a run may take, beside silences.
func (p *player) patience(run int) time.Duration {
	if run == len(p.s.Runs) {
		return lastPatience
	}
	return patience
}

// silent is how long sources are silent at most.
func (r Run) silent() (d time.Duration) {
	for _, rest := range r.Rests {
		d += time.Duration(rest.For)
	}
	return d
}

// wait waits for the run's end, and leaves nothing of it but what it has written.
func (x *process) wait(over <-chan struct{}) (how ending, err error) {
	var end <-chan time.Time
	if after := time.Duration(x.r.End.After); after > 0 {
		t := time.NewTimer(after)
		defer t.Stop()
		end = t.C
	}
	select {
	case <-over:
		how = drained
	case <-x.died:
		how = killed
	case <-end:
		how = closed
		if x.r.End.Kill {
			how = killed
			x.die()
		}
	}
	grace := x.ctx
	if how != drained {
		var cancel context.CancelFunc
		grace, cancel = context.WithTimeout(x.ctx, time.Duration(x.r.End.Grace))
		defer cancel()
	}
	if how == killed {
		x.cancel()
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = x.w.Close(grace) // what it returns is known of the partitions
		x.cancel()
		<-over
		err = x.led.Close()
		x.line.mu.Lock()
		x.line.dead = true // no call is left: nothing dials any more
		x.line.mu.Unlock()
	}()
	select {
	case <-gone:
	case <-time.After(2 * patience):
		x.hangs()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dead { // also if all was over at the same moment
		<-x.died
		how, err = killed, errors.Join(err, x.wrong)
		if x.wrong == nil {
			err = errors.Join(err, x.image.writeTo(x.p.path))
		}
	}
	return how, err
}

// hangs is for a writer that can't be closed: its goroutines would keep the bubble from ending, so this is the end of
// the whole test. What is known is told first.
func (x *process) hangs() {
	report(os.Stderr, x.p.s, &Failure{Kind: stuck, Detail: "the writer can't be closed"}, x.p.journal.lines(), "")
	_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
	panic("seeds: a writer can't be closed")
}

// die kills the process, as far as anybody can tell: the service hears nothing of it any more, but for what is on
// its way, and its ledger is as it is at this moment. That comes after the cut: what the ledger learns in between was
// known before it. It may be called with a partition's lock held.
func (x *process) die() {
	x.mu.Lock()
	if x.dead {
		x.mu.Unlock()
		return
	}
	x.dead = true
	x.mu.Unlock()
	x.line.cut(time.Duration(x.r.End.Zombie))
	if n := x.line.late(); n > 0 {
		x.p.covered.add("zombie connection", n)
	}
	image, err := imageOf(x.p.path)
	if x.before != nil {
		image = *x.before
	}
	x.mu.Lock()
	x.image, x.wrong = image, err
	x.mu.Unlock()
	x.p.journal.note("killed")
	close(x.died)
}

// reached kills the process if that is when it dies.
func (x *process) reached(partition int, s committed.Step, done bool) {
	end := x.r.End
	if !end.Kill || end.At.Nth == 0 || end.Partition != partition || end.At.Step != "" && (end.At.Step != s || end.At.Done != done) {
		return
	}
	x.mu.Lock()
	x.events++
	now := x.events == end.At.Nth
	x.mu.Unlock()
	if now {
		x.p.covered.count("killed at " + string(s))
		x.die()
	}
}

// applies is B4, which the service tells.
func (x *process) applies(r emulator.Request, done bool) {
	if r.Offset >= probeOffset {
		return
	}
	for i := range x.p.s.Partitions {
		if tableOf(i) == r.Table {
			x.reached(i, committed.B4, done)
		}
	}
}

func (x *process) options() committed.Options {
	r := x.r
	backoff := retry.DefaultPolicy()
	backoff.Jitter = 0 // it would be drawn from a source that is shared
	opt := committed.Options{
		ClientOptions: x.line.options(), Events: x.listen(), Backoff: backoff,
		WindowRequests: r.Window, WindowBytes: r.WindowBytes, MaxConnections: r.MaxConnections,
		IdleTimeout: time.Duration(r.IdleTimeout), AnswerTimeout: time.Duration(r.AnswerTimeout), StreamAge: time.Duration(r.StreamAge),
		CreateRate: 1e6, CreateBurst: 1e6,
	}
	if r.CreateRate > 0 {
		opt.CreateRate, opt.CreateBurst = rate.Limit(r.CreateRate), r.CreateBurst
	}
	return opt
}

// committed is told by the ledger what is durable.
func (x *process) committed(c ledger.Commit) {
	x.heard(func(p *player) {
		for _, b := range c.Bound {
			p.bind(b.Key, b.Stream, b.Intent)
		}
	})
}
