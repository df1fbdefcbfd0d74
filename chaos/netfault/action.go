package netfault

import (
	"bytes"
	"math"
	"slices"
	"time"
)

// maxKept bounds what is kept back of one client. HTTP/2 clients stop at the service's window long before.
const maxKept = 64 << 20

// begin begins what is due at this byte. b is what follows.
func (p *pipe) begin(b []byte) error {
	for i := 0; i < len(p.ahead); {
		a := p.ahead[i]
		if a.frame > 0 || a.at > p.passed {
			i++
			continue
		}
		p.ahead = slices.Delete(p.ahead, i, i+1)
		if a.Kind == Zombie {
			p.link.enter(keeping) // before anybody hears of it, and cuts
		}
		p.link.proxy.began(Event{Connection: p.link.number, Fault: a.Fault, Direction: p.direction, Bytes: p.passed})
		if err := p.perform(a, b); err != nil {
			return err
		}
	}
	return nil
}

func (p *pipe) perform(a *action, b []byte) error {
	d := a.delay(a.Fault, 0)
	switch a.Kind {
	case RST:
		flush(p.dst)
		p.link.reset()
	case FIN:
		p.link.part(severed)
	case HalfOpen:
		if d > 0 {
			p.until = time.Now().Add(d)
		}
		p.link.part(dark)
	case Stall:
		if d == 0 {
			d = math.MaxInt64
		}
		if p.link.sleep(d, p.other.done) {
			return nil
		}
	case Zombie:
		return p.keep(d, bytes.Clone(b))
	default:
		p.shapes = append(p.shapes, &shape{action: a, end: p.passed + a.For})
		return nil
	}
	return errParted
}

// keep keeps what the client sends until it is gone, and delivers it after d, or when told to.
func (p *pipe) keep(d time.Duration, kept []byte) error {
	l := p.link
	defer close(l.answered)
	kept, err := p.fill(kept)
	if err != nil || len(kept) == 0 { // the connection has parted, or there is nothing to deliver
		l.enter(living)
		return err
	}
	_ = l.client.Close()
	l.part(dark)
	l.enter(waiting)
	var late <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-l.told:
	case <-late:
	case <-p.other.done: // the service has ended it
		return errParted
	}
	_ = p.dst.SetWriteDeadline(time.Time{})
	if _, err := p.dst.Write(kept); err != nil {
		return err
	}
	l.enter(delivered)
	return errParted
}

// fill adds to kept until the client is gone.
func (p *pipe) fill(kept []byte) ([]byte, error) {
	buf := make([]byte, bufferSize)
	for len(kept) <= maxKept {
		n, err := p.src.Read(buf)
		kept = append(kept, buf[:n]...)
		if err != nil && p.link.fated() != whole {
			return nil, errParted
		}
		if err != nil {
			return kept, nil
		}
	}
	p.link.reset()
	return nil, errParted
}

// shape is a fault that changes how bytes pass.
type shape struct {
	*action
	end int64     // where, if For is given
	due time.Time // Limit: when the bytes before have passed
}

// most bounds the bytes that are passed on at once.
func (s *shape) most(passed int64) int64 {
	n := int64(math.MaxInt64)
	switch s.Kind {
	case Slow:
		n = max(s.Chunk, 1)
	case Limit:
		n = max(s.Rate/50, 1)
	}
	if s.For > 0 {
		n = min(n, s.end-passed)
	}
	return n
}

// wait is how long the next n bytes are held back; first: they are the first of what was read at once.
func (s *shape) wait(passed, n int64, first bool) time.Duration {
	switch {
	case s.Kind == Limit:
		if now := time.Now(); s.due.Before(now) {
			s.due = now
		}
		s.due = s.due.Add(time.Duration(float64(n) / float64(s.Rate) * float64(time.Second)))
		return time.Until(s.due)
	case s.Kind == Latency && !first:
		return 0
	}
	return s.delay(s.Fault, 1+uint64(passed))
}
