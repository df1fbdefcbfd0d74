package netfault

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"time"
)

// bufferSize is how much a pipe reads at once.
const bufferSize = 256 << 10

// errParted tells a pipe that the connection's fate is decided.
var errParted = errors.New("the connection is whole no more")

// pipe passes on one direction of a connection. All but done belongs to its goroutine.
type pipe struct {
	link      *link
	direction Direction
	src, dst  *net.TCPConn
	other     *pipe
	done      chan struct{} // closed at the end of run

	ahead  []*action // not begun, in the order of injection
	shapes []*shape  // begun
	frames *frames
	passed int64     // bytes
	until  time.Time // what is dropped after this resets the connection; zero: never
}

func newPipe(l *link, d Direction, ahead []*action) *pipe {
	return &pipe{link: l, direction: d, ahead: ahead, frames: newFrames(d), done: make(chan struct{})}
}

// run passes on until this direction ends, and lets the end follow.
func (p *pipe) run() {
	defer close(p.done)
	err := p.copy()
	switch fate := p.link.fated(); {
	case fate == whole && err == nil:
		_ = p.dst.CloseWrite() // fails if that side has gone, which the other pipe finds out
	case fate == whole && p.link.now() == keeping && isOfWriting(err):
		p.drop() // the client is gone; what it sent is kept by the other pipe
	case fate == whole:
		p.link.reset()
	case fate == severed:
		_ = p.dst.CloseWrite()
		p.drop()
	case fate == dark:
		p.drop()
	}
}

func isOfWriting(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "write"
}

// copy passes bytes on until the source ends (nil), something fails, or the connection parts.
func (p *pipe) copy() error {
	buf, rest := make([]byte, bufferSize), []byte(nil)
	for {
		var err error
		if rest, err = p.pass(rest); err != nil {
			return err
		}
		n, err := p.src.Read(buf[copy(buf, rest):])
		if rest = buf[:len(rest)+n]; err == nil {
			continue
		}
		if rest, failed := p.pass(rest); failed != nil {
			return failed
		} else if failed := p.forward(rest); failed != nil {
			return failed
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
}

// pass passes b on and begins what is due before, within and behind it. It returns the bytes of a frame's header
// that is not whole yet, if a fault waits for a frame.
func (p *pipe) pass(b []byte) (rest []byte, err error) {
	for {
		if err := p.begin(b); err != nil || len(b) == 0 {
			return nil, err
		}
		n := int64(len(b))
		inFrames := slices.ContainsFunc(p.ahead, func(a *action) bool { return a.frame > 0 })
		if inFrames {
			if p.frames.left == 0 {
				payload, whole := p.frames.next(b)
				if !whole {
					return b, nil
				}
				if payload > 0 {
					p.meet(payload)
					continue
				}
			}
			n = min(n, p.frames.left)
		}
		for _, a := range p.ahead {
			if a.frame == 0 {
				n = min(n, a.at-p.passed)
			}
		}
		if err := p.forward(b[:n]); err != nil {
			return nil, err
		}
		if inFrames {
			p.frames.left -= n
		}
		b = b[n:]
	}
}

// meet tells the faults that wait for the frame which begins here where it is.
func (p *pipe) meet(payload int64) {
	for _, a := range p.ahead {
		if a.frame == p.frames.data {
			a.at, a.frame = p.passed+a.Place.offset(payload), 0
		}
	}
}

// forward writes b in the shape that the faults which have begun give it.
func (p *pipe) forward(b []byte) error {
	for first := true; len(b) > 0; first = false {
		p.shapes = slices.DeleteFunc(p.shapes, func(s *shape) bool { return s.For > 0 && p.passed >= s.end })
		n := int64(len(b))
		for _, s := range p.shapes {
			n = min(n, s.most(p.passed))
		}
		for _, s := range p.shapes {
			if !p.link.sleep(s.wait(p.passed, n, first), nil) {
				return errParted
			}
		}
		if _, err := p.dst.Write(b[:n]); err != nil {
			return err
		}
		p.passed += n
		b = b[n:]
	}
	return nil
}

// drop reads until the source ends and passes nothing on.
func (p *pipe) drop() {
	for {
		_ = p.src.SetReadDeadline(p.until) // part may have set it to the past
		_, err := io.Copy(io.Discard, p.src)
		switch late := !p.until.IsZero() && !time.Now().Before(p.until); {
		case errors.Is(err, os.ErrDeadlineExceeded) && !late:
			continue
		case !p.until.IsZero():
			p.await(p.until)
			p.link.reset()
		}
		return
	}
}

// await waits until a moment, or until there is nobody left.
func (p *pipe) await(t time.Time) {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.other.done:
	case <-p.link.ended:
	}
}
