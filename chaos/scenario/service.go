package scenario

import (
	"errors"
	"fmt"
	"strings"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/ledger"
)

// serviceTrouble is how a kind of fault of the service comes alone.
type serviceTrouble struct {
	kind   emulator.Kind
	faults []string
	rotate bool               // the service refuses large batches, so that streams are replaced
	play   func(*round) error // nil: everything lands
}

// What reconnects: some kinds show only then.
const breaks = "close-after:every=11"

// serviceTroubles has every kind that the emulator knows. What fails each n-th request has an n above the window: a writer
// that sends the same four again and again would else find the first of them failed each time.
var serviceTroubles = []serviceTrouble{
	{kind: emulator.CloseBefore, faults: []string{"close-before:every=7"}},
	{kind: emulator.CloseAfter, faults: []string{"close-after:every=7"}},
	{kind: emulator.ErrorBefore, faults: []string{"error:every=5"}},
	{kind: emulator.ErrorAfter, faults: []string{"error-after:every=7"}},
	{kind: emulator.Abort, faults: []string{"abort:every=9", "abort:every=14,code=UNAVAILABLE", "abort:every=17,code=INTERNAL"}},
	{kind: emulator.Stall, faults: []string{"stall:every=20,delay=20ms", "stall:after=30,count=2"}},
	{kind: emulator.ResetBefore, faults: []string{"reset-before:every=11", "reset-before:every=37,all=true"}},
	{kind: emulator.ResetAfter, faults: []string{"reset-after:every=11", "reset-after:every=37,all=true"}},
	{kind: emulator.GoAwayBefore, faults: []string{"goaway:every=13"}},
	{kind: emulator.GoAwayAfter, faults: []string{"goaway-after:every=13"}},
	{kind: emulator.StaleEnd, faults: []string{breaks, "stale-end:every=2,lag=2,checks=3", "stale-end:every=3,lag=3,checks=30"}},
	{kind: emulator.Finalize, faults: []string{"finalize:after=30,count=1"}, play: finalized},
	{kind: emulator.Expire, play: expired},
	{kind: emulator.Intervals, faults: []string{"intervals:every=6"}},
	{kind: emulator.InternalEach, faults: []string{"internal-every:every=5"}},
	{kind: emulator.DropConnect, faults: []string{breaks, "drop-connect:every=2"}},
	{kind: emulator.RefuseCreate, faults: []string{"refuse-create:every=2"}, rotate: true},
	{kind: emulator.CreateLost, faults: []string{"create-lost:every=2"}, rotate: true},
	{kind: emulator.FinalizeLost, faults: []string{"finalize-lost:every=2"}, rotate: true},
}

func services() (all []Scenario) {
	does := map[emulator.Kind]string{}
	for _, k := range emulator.KindList() {
		does[k.Kind] = k.Does
	}
	for _, t := range serviceTroubles {
		all = append(all, Scenario{Name: "service/" + string(t.kind), Does: does[t.kind], play: t.round})
	}
	return append(all, Scenario{"service/mixed", "all of these by chance, but for those that stop the writer for good", serviceMixed})
}

func (t serviceTrouble) round(r *round) error {
	s := setting{faults: t.faults, script: workload.Script{Frozen: r.draw("frozen", 0).IntN(2) == 1, Pushy: true}}
	if t.rotate {
		s.service.SoftLimit = workload.SoftLimit
	}
	if err := r.prepare(s); err != nil {
		return err
	}
	if t.play != nil {
		if err := t.play(r); err != nil {
			return err
		}
		return mustHaveFired(string(t.kind), r.srv.FaultCounts())
	}
	if err := r.mustFinish(turn{}); err != nil {
		return err
	}
	if err := mustHaveFired(string(t.kind), r.srv.FaultCounts()); err != nil {
		return err
	}
	return r.complete()
}

// mustHaveFired makes sure that there was something to cope with.
func mustHaveFired(kind string, counts map[string]int64) error {
	if counts[kind] == 0 {
		return violated("the fault %s never fired in %v", kind, counts)
	}
	return nil
}

// finalized has a stream finalized behind the writer's back: as if another owner had
// taken it over. Its partition stops, and so it stays.
func finalized(r *round) error {
	o, err := r.run(turn{})
	if err != nil {
		return err
	}
	return r.staysStopped(o, "fenced")
}

// staysStopped expects that one partition stopped for a cause, that it does so again, and
// that the others are complete.
func (r *round) staysStopped(o outcome, cause string) error {
	want, stopped := map[string]string{}, map[string]bool{}
	for partition := range o.stops {
		want[partition], stopped[partition] = cause, true
	}
	if len(want) != 1 {
		return violated("one partition was to stop, and not %v", want)
	}
	appends := r.srv.Stats().Appends
	if err := r.mustStop(turn{}, want); err != nil {
		return err
	}
	others := int64(r.script.Partitions - 1) // which only probe
	if more := r.srv.Stats().Appends - appends; more > others {
		return violated("%d appends came from a run in which one partition is halted and the others have finished", more)
	}
	return r.judge(true, stopped)
}

// streams are those that writers have made.
func (r *round) streams() (names []string) {
	for _, s := range r.srv.Streams(workload.Table) {
		if !strings.HasSuffix(s.Name, "/_default") {
			names = append(names, s.Name)
		}
	}
	return names
}

// expired lets streams expire, first when nothing is open, which costs nothing, and then
// under open batches, whose fate the service can't tell any more: that partition stops,
// until a person has looked and said what landed.
func expired(r *round) error {
	if err := r.half(); err != nil {
		return err
	}
	for _, s := range r.streams() {
		if err := r.srv.ExpireStream(s); err != nil {
			return err
		}
		r.diary.did("expired %s", s)
	}
	r.srv.Inject(emulator.Fault{Kind: emulator.Expire, After: 20, Count: 1})
	r.diary.did("the 21st append of the next run finds its stream expired")
	o, err := r.run(turn{})
	if err != nil {
		return err
	}
	if err := r.staysStopped(o, "in doubt"); err != nil {
		return err
	}
	if err := r.resolve(); err != nil {
		return err
	}
	return r.complete()
}

// resolve is the person who is asked what of a stream has landed: its rows in the table tell.
func (r *round) resolve() error {
	state, err := workload.ReadLedger(r.script.Ledger)
	if err != nil {
		return err
	}
	led, err := ledger.Open(r.script.Ledger, nil)
	if err != nil {
		return err
	}
	for _, p := range state.Partitions {
		if p.Halt == nil {
			continue
		}
		word := &ledger.Resolution{}
		for _, row := range r.srv.Rows(workload.Table) {
			if row.Stream == p.Stream {
				word.Landed++
			}
		}
		r.diary.did("a person says that %d rows of partition %s have landed", word.Landed, p.Key.Name)
		done := make(chan error, 1)
		led.Resolve(p.ID, p.Epoch, word, func(err error) { done <- err })
		err = errors.Join(err, <-done)
	}
	return errors.Join(err, led.Close())
}

// serviceMixed has every kind by chance, so many of each as the seed says.
func serviceMixed(r *round) error {
	s := setting{faults: r.serviceFaults(0.02), script: workload.Script{Frozen: r.draw("frozen", 0).IntN(2) == 1, Pushy: true}}
	s.service.SoftLimit = workload.SoftLimit
	if err := r.prepare(s); err != nil {
		return err
	}
	if err := r.mustFinish(turn{}); err != nil {
		return err
	}
	return r.complete()
}

// serviceFaults draws faults of the kinds that let everything land in the end, each with
// a probability of up to most.
func (r *round) serviceFaults(most float64) (specs []string) {
	for i, t := range serviceTroubles {
		if t.play != nil {
			continue
		}
		d := r.draw("service", i)
		p := most * (0.05 + 0.95*d.Float64()) // 0 would be always
		spec := fmt.Sprintf("%s:p=%.4f", t.kind, p)
		switch t.kind {
		case emulator.Stall:
			spec = fmt.Sprintf("%s:p=%.4f,delay=%dms", t.kind, p/4, 1+d.IntN(600)) // beyond what the writer waits for
		case emulator.StaleEnd:
			spec = fmt.Sprintf("%s:p=%.4f,lag=%d,checks=%d", t.kind, 20*p, 1+d.IntN(4), 1+d.IntN(12))
		case emulator.RefuseCreate, emulator.CreateLost, emulator.FinalizeLost, emulator.DropConnect:
			spec = fmt.Sprintf("%s:p=%.4f", t.kind, 10*p)
		case emulator.Intervals:
			spec = fmt.Sprintf("%s:every=%d", t.kind, 20+d.IntN(200))
		case emulator.InternalEach:
			spec = fmt.Sprintf("%s:every=%d", t.kind, 50+d.IntN(200))
		case emulator.GoAwayBefore, emulator.GoAwayAfter:
			spec = fmt.Sprintf("%s:p=%.4f", t.kind, p/8) // one concerns all connections
		}
		specs = append(specs, spec)
	}
	return specs
}
