package committed

import (
	"context"
	"runtime"
	"sync"

	"google.golang.org/api/option"
)

// clients hands out clients so that none carries more streams than one HTTP/2
// connection takes, and keeps one apart for unary calls, which count there too.
type clients struct {
	ctx     context.Context
	opts    []option.ClientOption
	control *client

	mu  sync.Mutex // guards what follows and client.streams
	all []*client
}

func newClients(ctx context.Context, opts []option.ClientOption) (*clients, error) {
	control, err := newClient(ctx, opts)
	if err != nil {
		return nil, err
	}
	return &clients{ctx: ctx, opts: opts, control: control}, nil
}

// take returns the client with the fewest streams. Another one is made when all are
// full, or busy and still fewer than the processors can keep busy: all bytes of one
// connection go through one goroutine.
func (c *clients) take() (*client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var best *client
	for _, cl := range c.all {
		if best == nil || cl.streams < best.streams {
			best = cl
		}
	}
	if best == nil || best.streams >= streamsPerClient || best.streams > 0 && len(c.all) < min(4, runtime.GOMAXPROCS(0)) {
		cl, err := newClient(c.ctx, c.opts) // dials lazily
		if err != nil {
			return nil, err
		}
		c.all = append(c.all, cl)
		best = cl
	}
	best.streams++
	return best, nil
}

func (c *clients) release(cl *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl.streams--
}

// close closes all clients; nobody uses them any more.
func (c *clients) close() {
	for _, cl := range append(c.all, c.control) {
		_ = cl.mw.Close() // closing twice panics there; what it returns is of no use here
	}
}
