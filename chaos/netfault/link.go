package netfault

import (
	"net"
	"sync"
	"time"
)

// fate is what has become of a connection as a whole. Only the first change counts, but for the last.
type fate int

const (
	whole   fate = iota
	severed      // both sides are told of the other's end in good order; what still comes is dropped
	dark         // no side is told anything; what still comes is dropped
	over         // closed, by reset or at the end
)

// stage is how far a connection has gone on its way to being a zombie.
type stage int

const (
	living    stage = iota
	keeping         // bytes of the client are kept back
	waiting         // its client is gone
	delivered       // the service has got them
)

// link is one connection: a client's side, the service's, and a pipe for each direction.
type link struct {
	proxy    *Proxy
	number   int64
	client   *net.TCPConn
	server   *net.TCPConn // nil until dialled
	up, down *pipe

	parted   chan struct{} // closed when fate is whole no more
	ended    chan struct{} // closed when fate is over
	told     chan struct{} // closed to have what is kept delivered
	answered chan struct{} // closed when nothing is kept any more

	mu    sync.Mutex // guards what follows, and server until run has dialled
	fate  fate
	stage stage
}

func newLink(p *Proxy, number int64, client *net.TCPConn, plan map[Direction][]*action) *link {
	l := &link{proxy: p, number: number, client: client,
		parted: make(chan struct{}), ended: make(chan struct{}), told: make(chan struct{}), answered: make(chan struct{})}
	l.up, l.down = newPipe(l, Up, plan[Up]), newPipe(l, Down, plan[Down])
	return l
}

// run joins the two sides and returns when both pipes have ended.
func (l *link) run() {
	defer l.proxy.forget(l)
	server, err := (&net.Dialer{}).DialContext(l.proxy.ctx, "tcp", l.proxy.target)
	if err != nil || !l.join(server.(*net.TCPConn)) {
		l.reset()
		return
	}
	l.up.src, l.up.dst, l.up.other = l.client, l.server, l.down
	l.down.src, l.down.dst, l.down.other = l.server, l.client, l.up
	var down sync.WaitGroup
	down.Go(l.down.run)
	l.up.run()
	down.Wait()
	l.end(-1)
}

// join gives the link its server, which it owns from then on, unless it is over already.
func (l *link) join(server *net.TCPConn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = server
	if l.fate == over {
		_ = server.Close()
	}
	return l.fate != over
}

// part gives a whole connection another fate and wakes both pipes, which act by it.
func (l *link) part(f fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fate != whole {
		return
	}
	l.fate = f
	close(l.parted)
	past := time.Unix(1, 0)
	_ = l.client.SetDeadline(past)
	_ = l.server.SetDeadline(past)
}

// reset closes both sides at once: the peers see a TCP reset.
func (l *link) reset() { l.end(0) }

// end closes both sides; linger as in net.TCPConn.SetLinger.
func (l *link) end(linger int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fate == over {
		return
	}
	if l.fate == whole {
		close(l.parted)
	}
	l.fate = over
	close(l.ended)
	for _, c := range []*net.TCPConn{l.client, l.server} {
		if c != nil {
			_ = c.SetLinger(linger)
			_ = c.Close()
		}
	}
}

func (l *link) fated() fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fate
}

func (l *link) now() stage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stage
}

func (l *link) enter(s stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stage = s
}

// cut resets the connection, or the client's side alone where bytes are kept. It says whether there was a client.
func (l *link) cut() bool {
	switch l.now() {
	case living:
		l.reset()
	case keeping:
		_ = l.client.SetLinger(0)
		_ = l.client.Close()
	default:
		return false
	}
	return true
}

// release has a zombie's bytes delivered, and says whether it did.
func (l *link) release() bool {
	l.mu.Lock()
	if l.stage != waiting {
		l.mu.Unlock()
		return false
	}
	select {
	case <-l.told:
	default:
		close(l.told)
	}
	l.mu.Unlock()
	<-l.answered
	return l.now() == delivered
}

// sleep waits until d is over or c is closed, and says whether the connection is still whole.
func (l *link) sleep(d time.Duration, c <-chan struct{}) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c:
	case <-l.parted:
		return false
	}
	return true
}
