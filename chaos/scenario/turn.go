package scenario

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
)

// killed is how kills are counted among the faults.
const killed = "SIGKILL"

// turn is one run of a writer and what is done to it. The zero value lets it run.
// Appends are counted as they come to the service, from 1; 0 never comes.
type turn struct {
	Kill      workload.Point // where it kills itself
	KillAt    int64          // the append at which it is killed
	Dropped   bool           // KillAt: that append is not applied
	KillAfter time.Duration  // it is killed so long after its start; 0: it is not
	PauseAt   int64          // the append at which it is stopped (SIGSTOP)
	Pause     time.Duration  // how long
	Reset     bool           // while it is stopped, its connections are reset
	ReleaseAt int64          // the append at which bytes of writers that are dead are delivered

	meanwhile func() error // done while it is stopped; may be nil
}

// outcome is how a run ended.
type outcome struct {
	killed bool
	stops  map[string]workload.Note // why partitions stopped; "": why the run could not begin
}

func (o outcome) done() bool { return !o.killed && len(o.stops) == 0 }

// run runs a writer. An error says that it broke a promise, or that the run could not be
// made at all.
func (r *round) run(t turn) (outcome, error) {
	if err := r.ctx.Err(); err != nil {
		return outcome{}, err
	}
	n := r.diary.nextRun()
	s := r.script
	s.Kill = t.Kill
	if what := t.String(); what != "" {
		r.diary.did("run %d:%s", n, what)
	}
	o := outcome{stops: map[string]workload.Note{}}
	w := &watched{r: r, turn: t}
	died, err := s.Child(r.program, func(p *os.Process, exited <-chan struct{}) {
		w.start(p, exited)
		r.onRequest(w.request)
	}, func(n workload.Note) {
		r.log.Add(n)
		r.diary.note(n)
		if n.Kind == workload.Stopped {
			o.stops[n.Partition] = n
		}
	})
	r.onRequest(nil)
	w.wait()
	o.killed = died
	switch {
	case r.ctx.Err() != nil:
		return o, r.ctx.Err()
	case w.failed != nil:
		return o, w.failed
	case died:
		r.count(killed, 1)
		return o, nil
	case err != nil && len(o.stops) == 0:
		return o, violated("the writer ended: %v", err)
	}
	for _, stop := range o.stops {
		if stop.Cause == "unknown" || stop.Cause == "other" {
			return o, violated("partition %s: %s\n%v", stop.Partition, stop.Text, err)
		}
	}
	return o, nil
}

// String says what is done.
func (t turn) String() string {
	s := ""
	if t.Kill != (workload.Point{}) {
		s += fmt.Sprintf(" killed %s", t.Kill)
	}
	if t.KillAt > 0 {
		s += fmt.Sprintf(" killed at append %d", t.KillAt)
		if t.Dropped {
			s += ", which is dropped"
		}
	}
	if t.KillAfter > 0 {
		s += fmt.Sprintf(" killed after %v", t.KillAfter)
	}
	if t.ReleaseAt > 0 {
		s += fmt.Sprintf(" zombies released at append %d", t.ReleaseAt)
	}
	if t.PauseAt > 0 {
		s += fmt.Sprintf(" stopped at append %d for %v", t.PauseAt, t.Pause)
		if t.Reset {
			s += ", its connections reset"
		}
	}
	return s
}

// advice is what the errors that stop a writer must tell people to do, by cause.
var advice = map[string]string{
	"conflict": "find out who else writes to this stream",
	"fenced":   "this ledger is the older copy: go on with the newer one",
	"in doubt": "`eowriter ledger resolve` with --landed or --not-landed",
	"changed":  "give the writer the source as it was",
	"blocked":  "mend it and start again: everything is kept",
	"in use":   "stop the other process first",
	"deleted":  "Put it back",
	"failed":   "repair the cause, start again",
}

// mustStop runs a writer in which partitions have to stop, each for its cause and with
// advice, and the others to come to their end. Causes may be alternatives: "conflict/fenced".
func (r *round) mustStop(t turn, want map[string]string) error {
	o, err := r.run(t)
	if err != nil {
		return err
	}
	if o.killed {
		return violated("the writer was killed, and not by us")
	}
	return o.mustBe(want)
}

// mustBe says in what an outcome is not what was wanted.
func (o outcome) mustBe(want map[string]string) error {
	for partition, causes := range want {
		stop, stopped := o.stops[partition]
		switch {
		case !stopped:
			return violated("partition %q was to stop: %s", partition, causes)
		case !slices.Contains(strings.Split(causes, "/"), stop.Cause):
			return violated("partition %q was to stop: %s; it did for %s: %s", partition, causes, stop.Cause, stop.Text)
		case !strings.Contains(stop.Text, advice[stop.Cause]):
			return violated("partition %q stopped (%s) without advice: %s", partition, stop.Cause, stop.Text)
		}
	}
	for partition, stop := range o.stops {
		if want[partition] == "" {
			return violated("partition %q stopped (%s): %s", partition, stop.Cause, stop.Text)
		}
	}
	return nil
}

// mustFinish runs a writer that has to come to its end.
func (r *round) mustFinish(t turn) error { return r.mustStop(t, nil) }

// release delivers what writers that are dead had sent.
func (r *round) release() {
	if n := r.wire.ReleaseZombies(); n > 0 {
		r.count("zombies released", int64(n))
		r.diary.did("the bytes of %d dead connections are delivered", n)
	}
}

// count counts what was done.
func (r *round) count(deed string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deeds[deed] += n
}

// counted is what count has counted so far.
func (r *round) counted(deed string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.deeds[deed]
}

// watched is a writer that runs, and its killer.
type watched struct {
	r       *round
	turn    turn
	process *os.Process
	exited  <-chan struct{}
	again   sync.WaitGroup // who lets it go on
	unbind  func() bool    // from the round's context
	timer   *time.Timer    // kills it; may be nil

	mu     sync.Mutex // guards what follows
	n      int64      // appends so far
	ended  bool       // it is too late to stop it
	failed error
}

func (w *watched) start(p *os.Process, exited <-chan struct{}) {
	w.process, w.exited = p, exited
	kill := func() { _ = p.Kill() } // fails only when it has ended
	w.unbind = context.AfterFunc(w.r.ctx, kill)
	if w.turn.KillAfter > 0 {
		w.timer = time.AfterFunc(w.turn.KillAfter, kill)
	}
}

// request is told of each append, by its connection.
func (w *watched) request(req emulator.Request) {
	w.mu.Lock()
	w.n++
	n := w.n
	w.mu.Unlock()
	if n == w.turn.KillAt {
		if w.turn.Dropped {
			w.r.srv.Inject(emulator.Fault{Kind: emulator.CloseBefore, Stream: req.Stream, Count: 1})
		}
		w.r.diary.saw("killed at the append to %d of %s", req.Offset, req.Stream)
		_ = w.process.Kill()
		<-w.exited
	}
	if n == w.turn.ReleaseAt {
		w.r.release()
	}
	if n == w.turn.PauseAt {
		w.pause()
	}
}

// pause stops the process and has it go on later.
func (w *watched) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || w.process.Signal(syscall.SIGSTOP) != nil {
		return
	}
	w.r.count("SIGSTOP", 1)
	w.r.diary.saw("stopped")
	w.again.Go(func() {
		if w.turn.Reset {
			w.r.wire.Reset()
		}
		if w.turn.meanwhile != nil {
			err := w.turn.meanwhile()
			w.mu.Lock()
			w.failed = err
			w.mu.Unlock()
		}
		select {
		case <-time.After(w.turn.Pause):
		case <-w.exited:
		}
		_ = w.process.Signal(syscall.SIGCONT)
		w.r.diary.saw("goes on")
	})
}

// wait waits until nothing is done to the process any more, which has ended.
func (w *watched) wait() {
	if w.unbind != nil {
		w.unbind()
	}
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.again.Wait()
}
