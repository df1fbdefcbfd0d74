package committed

import (
	"context"
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

// take returns the first client with room for a stream, so that few stay in use.
func (c *clients) take() (*client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cl := range c.all {
		if cl.streams < streamsPerClient {
			cl.streams++
			return cl, nil
		}
	}
	cl, err := newClient(c.ctx, c.opts) // dials lazily
	if err != nil {
		return nil, err
	}
	cl.streams = 1
	c.all = append(c.all, cl)
	return cl, nil
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
