package serve

import (
	"container/list"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
)

// conns is a listener with at most so many connections, and so many requests at a time. When there are as many connections, a
// new one takes the place of the one that has been without a request for longest. So those on which nothing happens, or
// a header arrives slowly, keep nobody out, however many they are.
type conns struct {
	net.Listener
	most, mostRequests int

	mu       sync.Mutex // guards what follows, and requests and place of every conn
	open     map[*conn]struct{}
	waiting  *list.List // those without a request; the first has been so for longest
	requests int
}

func newConns(l net.Listener, most, mostRequests int) *conns {
	return &conns{Listener: l, most: most, mostRequests: mostRequests, open: map[*conn]struct{}{}, waiting: list.New()}
}

// conn is one connection.
type conn struct {
	net.Conn
	of       *conns
	requests int
	place    *list.Element // in waiting; nil: it has requests, or is closed
}

// Accept waits for the next connection that there is a place for.
func (l *conns) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, of: l}
		victim, ok := l.admit(c)
		if victim != nil {
			_ = victim.Close()
		}
		if ok {
			return c, nil
		}
		_ = raw.Close()
	}
}

// admit takes a connection, and says which one has to go.
func (l *conns) admit(c *conn) (victim *conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) >= l.most {
		first := l.waiting.Front()
		if first == nil {
			return nil, false
		}
		victim = first.Value.(*conn)
		l.remove(victim)
	}
	l.open[c] = struct{}{}
	c.place = l.waiting.PushBack(c)
	return victim, true
}

// remove forgets a connection; l.mu is held.
func (l *conns) remove(c *conn) {
	delete(l.open, c)
	if c.place != nil {
		l.waiting.Remove(c.place)
		c.place = nil
	}
}

// closeAll closes all connections.
func (l *conns) closeAll() {
	l.mu.Lock()
	all := make([]*conn, 0, len(l.open))
	for c := range l.open {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.of.mu.Lock()
	c.of.remove(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets the server say that it has answered a request whose body it doesn't read.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// begin takes a place for a request, unless there is none.
func (c *conn) begin() bool {
	l := c.of
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.requests >= l.mostRequests {
		return false
	}
	l.requests++
	c.requests++
	if c.place != nil {
		l.waiting.Remove(c.place)
		c.place = nil
	}
	return true
}

// end gives it back.
func (c *conn) end() {
	l := c.of
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests--
	c.requests--
	if _, open := l.open[c]; open && c.requests == 0 {
		c.place = l.waiting.PushBack(c)
	}
}

type connKey struct{}

// withConn gives requests their connection.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c.(*conn))
}

// counted refuses a request when there are as many as there may be.
func counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := r.Context().Value(connKey{}).(*conn)
		switch {
		case isHealth(r):
		case !c.begin():
			deny(w, r, busy("there are as many requests as --max-requests allows; nothing was accepted"))
			return
		default:
			defer c.end()
		}
		next.ServeHTTP(w, r)
	})
}

func busy(message string) *ingest.Error {
	return &ingest.Error{Reason: eowriterv1.Reason_REASON_BUSY, RetryAfter: 1e9, Message: message}
}
