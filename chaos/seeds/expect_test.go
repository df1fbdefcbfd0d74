package seeds

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
)

// expectation is with what a partition may stop in a run, and with what it must.
type expectation struct {
	may  map[error]bool
	must error // nil: nothing
}

type expectations []expectation

// halts are what a partition that was halted stops with.
var halts = map[ledger.HaltCause]error{
	ledger.Conflict: committed.ErrConflict,
	ledger.Fenced:   committed.ErrFenced,
	ledger.InDoubt:  committed.ErrInDoubt,
}

// expect says how the next run may end, by what the ledger and the service hold, what happened to the ledger, and
// what the service was told to do behind the writer's back.
func (p *player) expect(run int) (expectations, error) {
	all := make(expectations, len(p.s.Partitions))
	for i := range all {
		all[i].may = p.staged(run, i)
		if p.restored {
			all[i].may[committed.ErrConflict], all[i].may[committed.ErrFenced] = true, true
		}
	}
	if _, err := os.Stat(p.path); err != nil {
		return all, nil
	}
	led, err := workload.ReadLedger(p.path)
	if err != nil {
		return nil, err
	}
	for _, part := range led.Partitions {
		p.doubts(part, led.Open[part.Key.Name], &all[partitionOf(part.Key)])
		for _, in := range led.Open[part.Key.Name] {
			p.bind(part.Key, part.Stream, in) // also what was bound while the process died
		}
	}
	return all, nil
}

// staged is what leads to stops by itself: somebody writes to the stream or finalizes it, or it expires.
func (p *player) staged(run, partition int) map[error]bool {
	may := map[error]bool{}
	wait := Run{}.overdue()
	if run < len(p.s.Runs) {
		wait = p.s.Runs[run].overdue()
	}
	specs := p.s.Faults
	for _, r := range p.s.Runs[:min(run+1, len(p.s.Runs))] {
		specs = append(specs[:len(specs):len(specs)], r.Faults...)
		if slices.ContainsFunc(r.Rests, func(r Rest) bool { return r.Foreign && r.Partition == partition }) {
			may[committed.ErrConflict] = true
		}
	}
	for _, spec := range specs {
		f, err := emulator.ParseFault(spec)
		if err != nil || f.Table != "" && f.Table != tableOf(partition) {
			continue
		}
		switch f.Kind {
		case emulator.Finalize:
			may[committed.ErrFenced] = true
		case emulator.Expire:
			may[committed.ErrInDoubt] = true
		case emulator.Stall:
			// Answers that don't come one after another are an outage, which a stream may not outlive.
			if time.Duration(f.Count)*(2*wait+time.Minute) > p.ttl()/4 {
				may[committed.ErrInDoubt] = true
			}
		}
	}
	return may
}

// doubts adds what a partition's stream leads to.
func (p *player) doubts(part ledger.Partition, open []ledger.Intent, e *expectation) {
	if part.Halt != nil {
		e.must = halts[part.Halt.Cause]
		e.may = map[error]bool{e.must: true}
		return
	}
	if part.Resolution != nil {
		// A person has said what has landed. That does not count elsewhere, nor for a successor that has gone, too.
		if p.moved || part.Seal != nil && p.expired(part.Seal.Successor) {
			e.may[committed.ErrInDoubt] = true
		}
		return
	}
	expired := p.expired(part.Stream)
	rows := int64(0)
	for _, in := range open {
		rows += in.Rows
	}
	if time.Since(part.Updated) > p.ttl()*3/4 {
		e.may[committed.ErrInDoubt] = true // an outage may last until it has expired
	}
	switch {
	case expired && part.Seal == nil && rows > 0:
		e.may[committed.ErrInDoubt] = true
		e.must = committed.ErrInDoubt
	case (expired || part.Seal != nil && p.expired(part.Seal.Successor)) && (len(open) > 0 || p.moved):
		e.may[committed.ErrInDoubt] = true
	case expired:
		p.covered.count(expiredIdle)
	}
}

func (p *player) expired(stream string) bool {
	st, known := p.srv.Stream(stream)
	return !known || st.Expired
}

// compare says what is wrong with how a run has ended.
func (all expectations) compare(run int, failed []error, how ending) *Failure {
	for i, err := range failed {
		var stop *committed.Error
		isStop := errors.As(err, &stop) && !errors.Is(err, committed.ErrUnknown)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && how == drained:
			return &Failure{stuck, run, fmt.Sprintf("partition %d: %v", i, err)}
		case isStop && !all[i].may[stop.Kind], err != nil && !isStop && how == drained:
			return &Failure{stopped, run, fmt.Sprintf("partition %d: %v", i, err)}
		case how == drained && all[i].must != nil && (!isStop || stop.Kind != all[i].must):
			return &Failure{wentOn, run, fmt.Sprintf("partition %d had to stop with %q, not with: %v", i, all[i].must, err)}
		}
	}
	return nil
}

// verify judges what there is by now.
func (p *player) verify(run int, final bool) *Failure {
	led, err := workload.ReadLedger(p.path)
	if err != nil {
		return &Failure{broken, run, err.Error()}
	}
	h, err := p.account(run, led)
	if err != nil {
		return &Failure{broken, run, err.Error()}
	}
	h.Final = final
	if found := h.Judge(); len(found) > 0 {
		return &Failure{found[0].Kind, run, fmt.Sprintf("%d findings, such as %v", len(found), found[:min(len(found), 3)])}
	}
	if !final {
		return nil
	}
	if len(led.Partitions) < len(p.s.Partitions) {
		return &Failure{incomplete, run, fmt.Sprintf("the ledger knows %d partitions", len(led.Partitions))}
	}
	for _, part := range led.Partitions {
		if f := p.foreign[partitionOf(part.Key)]; f == part.Stream && part.Halt == nil && !p.expired(f) {
			return &Failure{wentOn, run, fmt.Sprintf("partition %s did not notice that somebody else wrote to its stream", part.Key.Name)}
		}
		sealedElsewhere := part.Seal != nil && part.Seal.Owner != led.Identity // see resolve
		if part.Halt != nil && part.Halt.Cause == ledger.InDoubt && !p.restored && !sealedElsewhere {
			return &Failure{incomplete, run, fmt.Sprintf("partition %s is in doubt, though a person has said what landed", part.Key.Name)}
		}
		at, err := workload.RowsAt(part.Position)
		if part.Halt == nil && (err != nil || at != p.s.Rows || part.Rows+part.Dead != p.s.Rows) {
			return &Failure{incomplete, run, fmt.Sprintf("partition %s has %d rows landed and %d dead of %d, and is at %q",
				part.Key.Name, part.Rows, part.Dead, p.s.Rows, part.Position)}
		}
	}
	return nil
}

// account is the history so far, with what the service and the closed ledger hold by now.
func (p *player) account(run int, led workload.State) (chaos.History, error) {
	p.mu.Lock()
	h := p.history
	p.mu.Unlock()
	h.Input, h.Positions, h.Epochs, h.Stopped = map[string]int64{}, map[string]int64{}, map[string]uint64{}, map[string]bool{}
	for i := range p.s.Partitions {
		h.Input[workload.Name(i)] = p.s.Rows
		rows, err := p.s.shape().Table(p.srv.Rows(tableOf(i)))
		if err != nil {
			return h, err
		}
		h.Table = append(h.Table, rows...)
	}
	if p.restored {
		h.Bound, h.Requests = nil, nil // a copy may bind again what never landed
	}
	for _, v := range led.Violations {
		h.Unsound = append(h.Unsound, fmt.Sprint(v))
	}
	for _, part := range led.Partitions {
		if part.Halt != nil {
			h.Stopped[part.Key.Name] = true
			p.covered.count("halted: " + part.Halt.Cause.String())
			continue
		}
		if p.foreign[partitionOf(part.Key)] == part.Stream {
			continue
		}
		if st, known := p.srv.Stream(part.Stream); known && p.fits(run) {
			h.Claims = append(h.Claims, chaos.Claim{Partition: part.Key.Name, Stream: part.Stream, Acked: part.Acked, Next: part.Next, End: st.End})
		}
	}
	err := led.AddTo(&h)
	p.mu.Lock()
	defer p.mu.Unlock()
	for d := range p.buried {
		if !slices.Contains(h.Dead, d) {
			h.Dead = append(h.Dead, d)
		}
	}
	return h, err
}
