package committed_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/test/bufconn"
)

// network is a listener in memory whose connections can fall silent: nothing comes
// through any more, in either direction, and neither side is told.
type network struct {
	*bufconn.Listener

	mu    sync.Mutex // guards conns
	conns []*silentConn
}

type silentConn struct {
	net.Conn
	mu     sync.Mutex // guards silent
	silent bool
}

func (n *network) DialContext(ctx context.Context) (net.Conn, error) {
	c, err := n.Listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	s := &silentConn{Conn: c}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, s)
	return s, nil
}

// silence has all connections of now fall silent.
func (n *network) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.mu.Lock()
		c.silent = true
		c.mu.Unlock()
	}
}

func (c *silentConn) isSilent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.silent
}

func (c *silentConn) Write(b []byte) (int, error) {
	if c.isSilent() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *silentConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.isSilent() {
			return n, err
		}
	}
}

// If it fails, a writer whose network path has died in silence (a NAT that forgot it, a
// machine that was moved) calls again and again over that path: AnswerTimeout ends calls,
// and not the TCP connection that carries them.
func TestTimeNetworkFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) }) // see TestMain for whom this waits
		n := &network{Listener: bufconn.Listen(1 << 20)}
		b := newBench(t, committed.Options{Backoff: regular()}, emulator.Options{Listener: n})
		b.patience = time.Hour
		p := b.partition("a", false)
		b.requireLanded(b.append(p, 0, 2))
		for i, what := range []string{"while it is in use", "when it has been idle for long"} {
			n.silence()
			before := time.Now()
			b.requireLanded(b.append(p, int64(2+i), int64(3+i)))
			require.Less(t, time.Since(before), 6*time.Minute, what)
			time.Sleep(10 * time.Minute)
		}
		n.silence() // also what carries calls
		before := time.Now()
		for _, err := b.w.TableSchema(b.ctx(), table); err != nil; _, err = b.w.TableSchema(b.ctx(), table) {
			require.Less(t, time.Since(before), 6*time.Minute, "calls")
		}
		b.requireRows(40)
	})
}
