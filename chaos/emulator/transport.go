package emulator

import (
	"net"
	"sync"
	"sync/atomic"
)

// carrier is one accepted connection. Its remote address leads back to it, so that an RPC finds the connection that
// carries it on any kind of listener.
type carrier struct {
	net.Conn
	transport *transport
	open      atomic.Int64 // AppendRows calls on it now
	closed    sync.Once
}

type carrierAddr struct {
	net.Addr
	carrier *carrier
}

func (c *carrier) RemoteAddr() net.Addr { return carrierAddr{c.Conn.RemoteAddr(), c} }

func (c *carrier) Close() error {
	err := net.ErrClosed
	c.closed.Do(func() {
		c.transport.forget(c)
		err = c.Conn.Close()
	})
	return err
}

// reset closes the connection at once; over TCP the peer sees RST, and what was not sent yet is lost.
func (c *carrier) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// transport owns the listener. It accepts for whichever feed is current: a GOAWAY replaces the grpc server behind the
// listener by a new one while the old one drains.
type transport struct {
	listener net.Listener
	accepted atomic.Int64

	mu      sync.Mutex // guards what follows; held for map and pointer work only
	current *feed
	open    map[*carrier]struct{}
}

// feed is the net.Listener of one grpc server. Ownership of a connection passes with the channel send.
type feed struct {
	conns chan net.Conn // unbuffered; closed by nobody
	done  chan struct{} // closed by Close
	once  sync.Once
	addr  net.Addr
}

func newTransport(l net.Listener) *transport {
	return &transport{listener: l, open: map[*carrier]struct{}{}}
}

// renew makes a new feed the current one and returns it. The old feed goes on accepting nothing.
func (t *transport) renew() *feed {
	f := &feed{conns: make(chan net.Conn), done: make(chan struct{}), addr: t.listener.Addr()}
	t.mu.Lock()
	t.current = f
	t.mu.Unlock()
	return f
}

// run accepts until the listener is closed.
func (t *transport) run() {
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			return
		}
		t.accepted.Add(1)
		c := &carrier{Conn: conn, transport: t}
		t.mu.Lock()
		t.open[c] = struct{}{}
		t.mu.Unlock()
		t.hand(c)
	}
}

func (t *transport) hand(c *carrier) {
	for {
		t.mu.Lock()
		f := t.current
		t.mu.Unlock()
		select {
		case f.conns <- c:
			return
		case <-f.done:
		}
		t.mu.Lock()
		replaced := t.current != f
		t.mu.Unlock()
		if !replaced { // the server is closing
			_ = c.Close()
			return
		}
	}
}

func (t *transport) forget(c *carrier) {
	t.mu.Lock()
	delete(t.open, c)
	t.mu.Unlock()
}

func (t *transport) count() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(len(t.open))
}

// resetAll resets every open connection and says how many there were.
func (t *transport) resetAll() int {
	t.mu.Lock()
	all := make([]*carrier, 0, len(t.open))
	for c := range t.open {
		all = append(all, c)
	}
	t.mu.Unlock()
	for _, c := range all {
		c.reset()
	}
	return len(all)
}

func (f *feed) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

func (f *feed) Close() error {
	f.once.Do(func() { close(f.done) })
	return nil
}

func (f *feed) Addr() net.Addr { return f.addr }
