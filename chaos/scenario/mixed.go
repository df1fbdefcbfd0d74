package scenario

import (
	"math/rand/v2"
	"time"

	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
)

var mixed = Scenario{"mixed", "all of these at once, by chance: what the soak runs", mix}

// mostTurns bounds the runs of a mixed round in which something is done to the writer.
const mostTurns = 100

// mix plays a round with everything: service and wire have faults, each writer is killed
// or stopped, the ledger is moved and the encoder changes between runs. Or the operator
// restores or copies the ledger in all that.
func mix(r *round) error {
	d := r.draw("setting", 0)
	s := setting{script: workload.Script{
		Shape:  workload.Shape{Partitions: 1 + d.IntN(4), BatchRows: []int64{batchRows, 20, 50}[d.IntN(3)]},
		Frozen: d.IntN(2) == 1, Dirty: d.IntN(4) == 0, Window: 1 + d.IntN(12), Pushy: true,
	}}
	if d.IntN(4) == 0 {
		s.script.Age = 50 * time.Millisecond // replaced whenever a writer was away for so long
	}
	if s.script.BatchRows == batchRows && d.IntN(2) == 0 {
		s.service.SoftLimit = workload.SoftLimit
	}
	s.service.AbortFollowers = d.IntN(4) == 0
	if d.IntN(5) > 0 {
		s.faults = r.serviceFaults(0.01)
	}
	if d.IntN(5) > 0 {
		s.wire = r.wireFaults(0.15)
	}
	if r.rows == 0 {
		r.rows = 300 * s.script.BatchRows * int64(s.script.Partitions)
	}
	if err := r.prepare(s); err != nil {
		return err
	}
	if !s.script.Dirty && d.IntN(8) == 0 { // an older ledger knows fewer dead letters
		if d.IntN(2) == 0 {
			return r.copies()
		}
		return r.restore("conflict/fenced")
	}
	for n := range mostTurns {
		if r.late() {
			break
		}
		d := r.draw("turn", n)
		o, err := r.run(r.anyTurn(d))
		if err != nil {
			return err
		}
		if o.done() {
			break
		}
		if err := o.mustBe(nil); err != nil {
			return err
		}
		if n%8 == 7 {
			if err := r.judge(false, nil); err != nil {
				return err
			}
		}
		if err := r.between(d, n); err != nil {
			return err
		}
	}
	return r.complete()
}

// anyTurn draws what is done to a run.
func (r *round) anyTurn(d *rand.Rand) turn {
	t := turn{ReleaseAt: 1 + d.Int64N(30)}
	switch d.IntN(10) {
	case 0, 1, 2, 3:
		t.KillAt, t.Dropped = 1+d.Int64N(60), d.IntN(2) == 0
	case 4, 5, 6:
		step := committed.Steps[d.IntN(len(committed.Steps))]
		t.Kill = workload.Point{Step: step, Done: d.IntN(2) == 0, Nth: 1 + d.IntN(20)}
		t.KillAt = 40 + d.Int64N(40) // where that does not come
	case 7:
		t.Kill = workload.Point{Nth: 1 + d.IntN(60)} // in the recovery
	case 8:
		t.KillAfter = time.Duration(20+d.IntN(300)) * time.Millisecond
	case 9:
		t.PauseAt, t.Pause, t.Reset = 1+d.Int64N(20), time.Duration(d.IntN(500))*time.Millisecond, d.IntN(2) == 0
		t.KillAt = t.PauseAt + 1 + d.Int64N(30)
	}
	return t
}

// between does what may happen while no writer runs.
func (r *round) between(d *rand.Rand, n int) error {
	switch d.IntN(20) {
	case 0:
		return r.move(n)
	case 1:
		if r.script.Encoder < 2 {
			r.script.Encoder = 2
			r.diary.did("the encoder is another version")
			r.count("encoder changed", 1)
		}
	case 2, 3:
		r.release()
	}
	return nil
}
