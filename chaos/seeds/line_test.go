package seeds

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// line is the network of one run of the writer. What is written to it arrives after its latency;
// when the process at its end is killed it is cut, and what was on its way is lost, or arrives long
// after that.
type line struct {
	service *bufconn.Listener
	latency time.Duration
	ended   sync.WaitGroup // pumps

	mu    sync.Mutex // guards what follows and every conn's queue
	dead  bool
	conns map[*conn]struct{}
}

var errCut = errors.New("the line is cut")

func newLine(service *bufconn.Listener, latency time.Duration) *line {
	return &line{service: service, latency: latency, conns: map[*conn]struct{}{}}
}

// options reach the service by way of the line.
func (l *line) options() []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint("passthrough:///emulator"),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithContextDialer(l.dial)),
	}
}

func (l *line) dial(ctx context.Context, _ string) (net.Conn, error) {
	to, err := l.service.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		_ = to.Close()
		return nil, errCut
	}
	c := &conn{Conn: to, line: l, more: make(chan struct{}, 1)}
	l.conns[c] = struct{}{}
	l.ended.Go(c.pump)
	return c, nil
}

// cut ends all connections for the one who dialled them. What they wrote and has not arrived
// arrives zombie later, or with 0 never.
func (l *line) cut(zombie time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = true
	for c := range l.conns {
		if zombie == 0 {
			c.queue = nil
		}
		for i := range c.queue {
			c.queue[i].due = c.queue[i].due.Add(zombie)
		}
		c.closeLocked()
	}
}

// late says how many connections that were closed still have something to deliver.
func (l *line) late() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		if c.closed && len(c.queue) > 0 {
			n++
		}
	}
	return n
}

// conn is the writer's end of a connection. Its fields are guarded by the line's mu.
type conn struct {
	net.Conn
	line   *line
	queue  []packet
	more   chan struct{} // capacity 1: the queue or closed has changed
	closed bool          // what is in the queue is delivered all the same
}

type packet struct {
	data []byte
	due  time.Time
}

func (c *conn) wake() {
	select {
	case c.more <- struct{}{}:
	default:
	}
}

func (c *conn) Write(b []byte) (int, error) {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	if c.closed || c.line.dead {
		return 0, errCut
	}
	c.queue = append(c.queue, packet{append([]byte(nil), b...), time.Now().Add(c.line.latency)})
	c.wake()
	return len(b), nil
}

// Close ends the connection; what was written still arrives, like over TCP.
func (c *conn) Close() error {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	c.closeLocked()
	return nil
}

func (c *conn) closeLocked() {
	c.closed = true
	_ = c.SetReadDeadline(time.Now()) // nobody hears anything any more
	c.wake()
}

// pump delivers what was written, each packet when it is due.
func (c *conn) pump() {
	for {
		c.line.mu.Lock()
		wait := time.Duration(-1)
		if len(c.queue) > 0 {
			wait = time.Until(c.queue[0].due)
		}
		var next []byte
		if wait <= 0 && len(c.queue) > 0 {
			next, c.queue = c.queue[0].data, c.queue[1:]
		}
		over := c.closed && len(c.queue) == 0 && next == nil
		if over {
			delete(c.line.conns, c)
		}
		c.line.mu.Unlock()
		switch {
		case over:
			_ = c.Conn.Close()
			return
		case next != nil:
			if _, err := c.Conn.Write(next); err != nil {
				c.broke()
			}
		default:
			c.rest(wait)
		}
	}
}

// broke forgets what can't arrive: the service has closed the connection. Whoever reads it finds out.
func (c *conn) broke() {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	c.queue = nil
}

// rest waits for a change, and no longer than d if that isn't negative.
func (c *conn) rest(d time.Duration) {
	if d < 0 {
		<-c.more
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.more:
	case <-t.C:
	}
}
