package scenario

import (
	"os"
	"strings"
	"time"

	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
)

func processes() []Scenario {
	return []Scenario{
		{"process/kill", "SIGKILL at random appends, applied or not, and at random times", kills},
		{"process/steps", "SIGKILL before and after every numbered step", steps},
		{"process/recovery", "SIGKILL, and again in the middle of the recovery, three times over", recoveries},
		{"process/stop", "SIGSTOP at random appends, SIGCONT later, its connections reset meanwhile or not", stops},
		{"process/beside", "a second writer is started beside one that is stopped", beside},
		{"process/disk", "the ledger's disk is full at a random step", disk},
	}
}

// plain sets up what most scenarios begin with: no faults but what the scenario does.
func (r *round) plain(rotate bool) error {
	s := setting{script: workload.Script{Frozen: r.draw("frozen", 0).IntN(2) == 1, Pushy: true}}
	if rotate {
		s.service.SoftLimit = workload.SoftLimit
	}
	return r.prepare(s)
}

// batches is how many batches there are in all.
func (r *round) batches() int64 {
	return (r.script.Rows + r.script.BatchRows - 1) / r.script.BatchRows * int64(r.script.Partitions)
}

func kills(r *round) error {
	if err := r.plain(true); err != nil {
		return err
	}
	for n := range 6 {
		d := r.draw("turn", n)
		t := turn{KillAt: 1 + d.Int64N(r.batches()/6), Dropped: d.IntN(2) == 1}
		if d.IntN(3) == 0 {
			t = turn{KillAfter: 50*time.Millisecond + time.Duration(d.Int64N(int64(100*time.Millisecond)))}
		}
		if o, err := r.run(t); err != nil || o.done() {
			return orComplete(r, err)
		}
		if err := r.judge(false, nil); err != nil {
			return err
		}
	}
	return r.complete()
}

// orComplete is for a writer that came to its end before everything was done to it.
func orComplete(r *round, err error) error {
	if err != nil {
		return err
	}
	return r.complete()
}

// steps kills a writer before and after every step, in the order of the steps: those of
// the first opening come only once. All rows are in play until the end, because streams
// are replaced all along.
func steps(r *round) error {
	r.rows = max(r.rows, 1600) // enough for all
	if err := r.plain(true); err != nil {
		return err
	}
	for _, step := range committed.Steps {
		for _, done := range []bool{false, true} {
			t := turn{Kill: workload.Point{Step: step, Done: done, Nth: 1}}
			if step == committed.B4 { // the service's: the writer never sees it
				t = turn{KillAt: 1, Dropped: !done}
			}
			o, err := r.run(t)
			if err != nil {
				return err
			}
			if !o.killed {
				return violated("the writer came to its end without a step %s", step)
			}
		}
	}
	if err := r.judge(false, nil); err != nil {
		return err
	}
	return r.complete()
}

func recoveries(r *round) error {
	if err := r.plain(true); err != nil {
		return err
	}
	for n := range 3 {
		d := r.draw("turn", n)
		for _, t := range []turn{
			{KillAt: 1 + d.Int64N(r.batches()/6), Dropped: d.IntN(2) == 1},
			{Kill: workload.Point{Nth: 1 + d.IntN(4)}},
			{Kill: workload.Point{Nth: 5 + d.IntN(10)}},
			{Kill: workload.Point{Nth: 15 + d.IntN(20)}},
		} {
			if o, err := r.run(t); err != nil || o.done() {
				return orComplete(r, err)
			}
			if err := r.judge(false, nil); err != nil {
				return err
			}
		}
	}
	return r.complete()
}

func stops(r *round) error {
	if err := r.plain(false); err != nil {
		return err
	}
	for n := range 3 {
		d := r.draw("turn", n)
		at := 1 + d.Int64N(r.batches()/8)
		t := turn{PauseAt: at, Pause: time.Duration(d.Int64N(int64(2 * overdue))), Reset: d.IntN(2) == 1, KillAt: at + 1 + d.Int64N(20)}
		if o, err := r.run(t); err != nil || o.done() {
			return orComplete(r, err)
		}
	}
	if err := r.mustFinish(turn{PauseAt: 3, Pause: 2 * overdue, Reset: true}); err != nil {
		return err
	}
	return r.complete()
}

// beside starts a second writer on the ledger of one that is stopped: it must be
// refused, for the stopped one goes on later.
func beside(r *round) error {
	if err := r.plain(false); err != nil {
		return err
	}
	second := func() error {
		var stop workload.Note
		_, err := r.script.Child(r.program, func(*os.Process, <-chan struct{}) {}, func(n workload.Note) { stop = n })
		if stop.Cause != "in use" || !strings.Contains(stop.Text, advice["in use"]) {
			return violated("a second writer was not refused: %s: %v", stop.Text, err)
		}
		return nil
	}
	if err := r.mustFinish(turn{PauseAt: 10, Pause: time.Millisecond, meanwhile: second}); err != nil {
		return err
	}
	return r.complete()
}

// disk fills the ledger's disk at a random moment: nobody knows what it holds then, and
// nothing more may be written or sent. The next run does know.
func disk(r *round) error {
	if err := r.plain(false); err != nil {
		return err
	}
	for n := range 3 {
		r.script.Full = workload.Point{Step: committed.B2, Nth: 1 + r.draw("turn", n).IntN(10)}
		r.diary.did("the disk is full %v", r.script.Full)
		r.count("disk full", 1)
		want := r.all("failed")
		want[""] = "failed" // says the ledger when it is closed
		if err := r.mustStop(turn{}, want); err != nil {
			return err
		}
		if err := r.judge(false, nil); err != nil {
			return err
		}
	}
	r.script.Full = workload.Point{}
	r.diary.did("there is room again")
	return r.complete()
}
