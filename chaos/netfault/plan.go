package netfault

import (
	"math/rand/v2"
	"time"
)

// armed is a fault with what decides who gets it; guarded by Proxy.mu.
type armed struct {
	Fault
	index   uint64 // in the order of injection
	matched int64  // connections since
	given   int64
}

// chance is what everything random about one fault on one connection is drawn from.
type chance struct {
	seed, connection, fault uint64
}

// Ordinals of what is drawn; those of delays follow.
const (
	drawnGiven = iota
	drawnPlace
	drawnDelays
)

func (c chance) draw(ordinal uint64) *rand.Rand {
	// What has more bits than there is room for coincides with something far away.
	return rand.New(rand.NewPCG(c.seed, c.connection<<40^c.fault<<32^ordinal))
}

// delay is Delay, give or take Jitter.
func (c chance) delay(f Fault, ordinal uint64) time.Duration {
	d := f.Delay
	if f.Jitter > 0 {
		d += time.Duration(c.draw(drawnDelays+ordinal).Int64N(2*int64(f.Jitter)+1)) - f.Jitter
	}
	return max(d, 0)
}

// action is a fault in one direction of a connection.
type action struct {
	Fault
	chance
	at    int64 // begins after so many bytes; unknown while the frame has not come
	frame int64 // waits for this frame; 0: at is known
}

// plan decides, by its number, what a connection gets.
func (p *Proxy) plan(connection uint64) map[Direction][]*action {
	plan := map[Direction][]*action{}
	for _, a := range p.faults {
		c := chance{p.opt.Seed, connection, a.index}
		if !a.gives(c) {
			continue
		}
		a.given++
		later := c.draw(drawnPlace).Int64N(a.Spread + 1)
		for _, d := range a.directions() {
			act := &action{Fault: a.Fault, chance: c}
			if a.Frame > 0 {
				act.frame = a.Frame + later
			} else {
				act.at = a.Bytes + later
			}
			plan[d] = append(plan[d], act)
		}
	}
	return plan
}

func (a *armed) gives(c chance) bool {
	a.matched++
	n := a.matched - a.After
	switch {
	case n <= 0 || a.Count > 0 && a.given >= a.Count:
		return false
	case a.Probability > 0:
		return c.draw(drawnGiven).Float64() < a.Probability
	}
	return n%max(a.Every, 1) == 0
}
