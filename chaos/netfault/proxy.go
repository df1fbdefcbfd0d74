package netfault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// Options say where a proxy listens and what goes wrong. The zero value passes everything on.
type Options struct {
	Listen string  // address; "" means 127.0.0.1:0
	Seed   uint64  // of what is by chance
	Faults []Fault // injected from the start
	// OnFault is called when a fault begins on a connection, by a goroutine of the connection: in order for each
	// direction. It must not call Close.
	OnFault func(Event)
}

// Event is the beginning of a fault on a connection.
type Event struct {
	Connection int64 // its number, from 1
	Fault      Fault
	Direction  Direction
	Bytes      int64 // that had passed in that direction
}

// Proxy is a running proxy. Its methods are safe for concurrent use.
type Proxy struct {
	target   string
	opt      Options
	listener net.Listener
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu       sync.Mutex // guards what follows
	faults   []*armed
	injected uint64
	fired    map[string]int64
	accepted uint64
	links    map[*link]struct{}
}

// acceptAgain is how long a failed accept is waited after: too many files are open, or the client had gone.
const acceptAgain = 5 * time.Millisecond

// Start passes connections on to the TCP address target. The caller must Close the proxy.
func Start(target string, opt Options) (*Proxy, error) {
	for _, f := range opt.Faults {
		if err := f.Validate(); err != nil {
			return nil, fmt.Errorf("start wire proxy: %w", err)
		}
	}
	if opt.Listen == "" {
		opt.Listen = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", opt.Listen)
	if err != nil {
		return nil, fmt.Errorf("start wire proxy: %w", err)
	}
	p := &Proxy{target: target, opt: opt, listener: listener, fired: map[string]int64{}, links: map[*link]struct{}{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for _, f := range opt.Faults {
		p.Inject(f)
	}
	p.running.Go(p.accept)
	return p, nil
}

// Addr is the address that is listened on.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Inject arms a fault for connections to come. It panics if the fault isn't valid: check with Validate what comes
// from a user.
func (p *Proxy) Inject(f Fault) {
	if err := f.Validate(); err != nil {
		panic("netfault: inject: " + err.Error())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &armed{Fault: f, index: p.injected})
	p.injected++
}

// ClearFaults disarms all faults for connections to come; counts stay. Connections that are open keep what they were
// given: Reset ends them.
func (p *Proxy) ClearFaults() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// FaultCounts says on how many connections faults of each kind began, each direction by itself. Kinds that never did
// are absent.
func (p *Proxy) FaultCounts() map[string]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.fired)
}

// Connections says how many are open. Zombies don't count.
func (p *Proxy) Connections() int { return p.count(living, keeping) }

// Zombies says how many connections have lost their client while bytes of it wait to be delivered.
func (p *Proxy) Zombies() int { return p.count(waiting) }

func (p *Proxy) count(stages ...stage) int {
	n := 0
	for _, l := range p.all() {
		if slices.Contains(stages, l.now()) {
			n++
		}
	}
	return n
}

// Reset resets every connection that has a client, on both sides, and says how many there were. Where bytes are kept
// back (Zombie) the service's side stays, as if the client alone had died.
func (p *Proxy) Reset() int {
	n := 0
	for _, l := range p.all() {
		if l.cut() {
			n++
		}
	}
	return n
}

// ReleaseZombies delivers to the service what clients that are gone had sent and was kept back, and says of how many
// connections. When it returns the bytes are on their way. The service's side then stays open until the service ends it.
func (p *Proxy) ReleaseZombies() int {
	n := 0
	for _, l := range p.all() {
		if l.release() {
			n++
		}
	}
	return n
}

// Close stops listening, resets every connection, zombies too, and returns when all goroutines have ended. Closing
// again is harmless.
func (p *Proxy) Close() error {
	p.cancel()
	err := p.listener.Close()
	for _, l := range p.all() {
		l.reset()
	}
	p.running.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // for the second time
	}
	return err
}

func (p *Proxy) all() []*link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.links))
}

// accept takes connections until Close.
func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(acceptAgain):
				continue
			}
		}
		p.mu.Lock()
		p.accepted++
		l := newLink(p, int64(p.accepted), client.(*net.TCPConn), p.plan(p.accepted))
		p.links[l] = struct{}{}
		p.mu.Unlock()
		p.running.Go(l.run)
	}
}

func (p *Proxy) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// began counts a fault and tells of it.
func (p *Proxy) began(e Event) {
	p.mu.Lock()
	p.fired[string(e.Fault.Kind)]++
	p.mu.Unlock()
	if p.opt.OnFault != nil {
		p.opt.OnFault(e)
	}
}
