package scenario

import (
	"fmt"
	"time"

	"github.com/eowriter/eowriter/chaos/netfault"
	"github.com/eowriter/eowriter/chaos/workload"
)

// wireTrouble is how a kind of fault of the wire comes alone.
type wireTrouble struct {
	kind   netfault.Kind
	faults []string
	play   func(*round) error // nil: everything lands
}

// wireTroubles has every kind that the proxy knows. Half-open connections end by
// themselves after a while: gRPC would notice them only much later.
var wireTroubles = []wireTrouble{
	{kind: netfault.RST, faults: []string{"rst:every=2,frame=6,spread=20", "rst:every=3,dir=down,bytes=300,spread=900"}},
	{kind: netfault.FIN, faults: []string{"fin:every=2,frame=6,spread=20", "fin:every=3,dir=down,frame=4,place=before,spread=9"}},
	{kind: netfault.HalfOpen, faults: []string{"half-open:every=2,frame=4,spread=30,delay=600ms"}},
	{kind: netfault.Stall, faults: []string{
		"stall:every=2,frame=4,spread=30,delay=500ms", "stall:every=3,dir=down,frame=4,spread=30,delay=500ms", "stall:every=5,dir=both,frame=9,delay=100ms"}},
	{kind: netfault.Slow, faults: []string{"slow:every=2,frame=4,spread=10,delay=1ms,chunk=1,for=200"}},
	{kind: netfault.Limit, faults: []string{"limit:rate=40000"}},
	{kind: netfault.Latency, faults: []string{"latency:delay=2ms,jitter=2ms"}},
	{kind: netfault.Zombie, play: zombies},
}

func wires() (all []Scenario) {
	does := map[netfault.Kind]string{}
	for _, k := range netfault.KindList() {
		does[k.Kind] = k.Does
	}
	for _, t := range wireTroubles {
		all = append(all, Scenario{Name: "wire/" + string(t.kind), Does: does[t.kind], play: t.round})
	}
	return append(all, Scenario{"wire/mixed", "all of these by chance, zombies come back by themselves", wireMixed})
}

func (t wireTrouble) round(r *round) error {
	s := setting{wire: t.faults, script: workload.Script{Frozen: r.draw("frozen", 0).IntN(2) == 1, Pushy: true}}
	if err := r.prepare(s); err != nil {
		return err
	}
	if t.play != nil {
		if err := t.play(r); err != nil {
			return err
		}
	} else if err := r.mustFinish(turn{}); err != nil {
		return err
	}
	if err := mustHaveFired(string(t.kind), r.wire.FaultCounts()); err != nil {
		return err
	}
	return r.complete()
}

// zombies kills writers whose last bytes are still on their way, and has those bytes
// arrive in the middle of the work of their successors, or before it.
func zombies(r *round) error {
	r.wire.Inject(netfault.Fault{Kind: netfault.Zombie, Every: 2, Frame: 4, Spread: 20})
	for n := range 4 {
		d := r.draw("zombie", n)
		t := turn{KillAfter: 2*overdue + time.Duration(d.Int64N(int64(overdue)))}
		if n > 0 {
			t.ReleaseAt = 1 + d.Int64N(10)
		}
		if d.IntN(3) == 0 {
			r.release()
		}
		if o, err := r.run(t); err != nil || o.done() {
			return err
		}
	}
	r.wire.ClearFaults()
	if err := r.mustFinish(turn{ReleaseAt: 5}); err != nil {
		return err
	}
	r.release()
	if r.counted("zombies released") == 0 {
		return violated("no dead writer's bytes came back")
	}
	return nil
}

// wireMixed has every kind by chance, so many of each as the seed says.
func wireMixed(r *round) error {
	s := setting{wire: r.wireFaults(0.3), script: workload.Script{Frozen: r.draw("frozen", 0).IntN(2) == 1, Pushy: true}}
	if err := r.prepare(s); err != nil {
		return err
	}
	if err := r.mustFinish(turn{}); err != nil {
		return err
	}
	return r.complete()
}

// wireFaults draws faults of all kinds, each for a connection with a probability of up
// to most.
func (r *round) wireFaults(most float64) (specs []string) {
	for i, t := range wireTroubles {
		d := r.draw("wire", i)
		p := most * (0.05 + 0.95*d.Float64()) // 0 would be always
		spec := fmt.Sprintf("%s:p=%.3f,frame=%d,spread=%d", t.kind, p, 2+d.IntN(8), 10+d.IntN(100))
		switch t.kind {
		case netfault.RST, netfault.FIN:
			place := []netfault.Place{netfault.Before, netfault.Middle, netfault.Behind}[d.IntN(3)]
			dir := []netfault.Direction{netfault.Up, netfault.Down}[d.IntN(2)]
			spec += fmt.Sprintf(",dir=%s,place=%s", dir, place)
		case netfault.HalfOpen:
			spec += fmt.Sprintf(",delay=%dms", 1+d.IntN(800))
		case netfault.Stall:
			dir := []netfault.Direction{netfault.Up, netfault.Down, netfault.Both}[d.IntN(3)]
			spec += fmt.Sprintf(",dir=%s,delay=%dms", dir, 1+d.IntN(800))
		case netfault.Slow:
			spec += fmt.Sprintf(",delay=1ms,chunk=%d,for=%d", 1+d.IntN(20), 50+d.IntN(400))
		case netfault.Limit:
			spec += fmt.Sprintf(",rate=%d", 20_000+d.IntN(1_000_000))
		case netfault.Latency:
			spec += fmt.Sprintf(",delay=%dms,jitter=1ms,for=%d", 1+d.IntN(5), 1000+d.IntN(10_000))
		case netfault.Zombie:
			spec += fmt.Sprintf(",delay=%dms,jitter=200ms", 200+d.IntN(500))
		}
		specs = append(specs, spec)
	}
	return specs
}
