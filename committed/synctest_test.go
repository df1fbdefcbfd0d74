package committed_test

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/test/bufconn"
)

// inBubble runs a test in a bubble of its own time, with the writer's default timeouts.
func inBubble(t *testing.T, opt committed.Options, emu emulator.Options, test func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Minute) }) // see TestMain for whom this waits
		memory := bufconn.Listen(1 << 20)             // made in the bubble
		if d, is := emu.Listener.(*dusk); is {
			d.Listener = memory
		} else {
			emu.Listener = memory
		}
		b := newBench(t, opt, emu)
		b.patience = 1000 * time.Hour
		test(t, b)
	})
}

// regular is the default policy without chance.
func regular() retry.Policy {
	p := retry.DefaultPolicy()
	p.Jitter = 0
	return p
}

// If it fails, a service in trouble is hammered, or left alone for too long.
func TestTimeBackoff(t *testing.T) {
	emu := emulator.Options{Faults: []emulator.Fault{{Kind: emulator.CloseBefore, After: 1, Count: 12}}}
	inBubble(t, committed.Options{Backoff: regular()}, emu, func(t *testing.T, b *bench) {
		p := b.partition("a", true)
		before := time.Now()
		b.requireLanded(b.append(p, 0, 1))
		var want []time.Duration
		var sum time.Duration
		for d, i := 100*time.Millisecond, 0; i < 12; d, i = min(2*d, 30*time.Second), i+1 {
			want, sum = append(want, d), sum+d
		}
		require.Equal(t, want, b.take().delays)
		require.InDelta(t, sum.Seconds(), time.Since(before).Seconds(), 1)

		// After a success it begins anew.
		b.srv.Inject(emulator.Fault{Kind: emulator.CloseAfter, Count: 1})
		b.requireLanded(b.append(p, 1, 2))
		require.Equal(t, []time.Duration{100 * time.Millisecond}, b.take().delays)
		b.requireRows(20)
	})
}

// If it fails, a half-open connection is noticed too late or too early.
func TestTimeAnswerIsOverdue(t *testing.T) {
	emu := emulator.Options{Faults: []emulator.Fault{{Kind: emulator.Stall, After: 1, Count: 1}}}
	inBubble(t, committed.Options{Backoff: regular(), IdleTimeout: time.Hour}, emu, func(t *testing.T, b *bench) {
		p := b.partition("a", false)
		before := time.Now()
		b.requireLanded(b.append(p, 0, 5))
		took := time.Since(before)
		require.GreaterOrEqual(t, took, 3*time.Minute)
		require.Less(t, took, 5*time.Minute) // it is looked at every half of it
		b.requireRows(50)
	})
}

// dusk is a listener in memory whose connections go dark when told: what is written to them is lost, and no side hears
// that the other has ended. Those that come later are well.
type dusk struct {
	*bufconn.Listener
	mu    sync.Mutex // guards conns
	conns []*dusky
}

type dusky struct {
	net.Conn
	dark   atomic.Bool
	closed chan struct{}
	close  sync.Once
}

func (l *dusk) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, &dusky{Conn: c, closed: make(chan struct{})})
	return l.conns[len(l.conns)-1], nil
}

func (l *dusk) fall() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.dark.Store(true)
	}
}

func (c *dusky) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.dark.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *dusky) Write(b []byte) (int, error) {
	if c.dark.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *dusky) Close() error {
	c.close.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// If it fails, a partition whose TCP connection has gone dark tries again over the same one for ever.
func TestTimeConnectionGoesDark(t *testing.T) {
	listener := &dusk{}
	inBubble(t, committed.Options{Backoff: regular()}, emulator.Options{Listener: listener}, func(t *testing.T, b *bench) {
		b.patience = time.Hour
		p := b.partition("a", false)
		b.requireLanded(b.append(p, 0, 1))
		listener.fall()
		before := time.Now()
		b.requireLanded(b.append(p, 1, 5))
		require.Less(t, time.Since(before), 2*time.Minute)
		b.requireRows(50)

		listener.fall() // the one for calls too
		before = time.Now()
		b.requireLanded(b.append(b.partition("b", false), 0, 5))
		require.Less(t, time.Since(before), 2*time.Minute)
	})
}

// If it fails, a slow service whose answers do come loses its connection all the same.
func TestTimeAnswersComeSlowly(t *testing.T) {
	emu := emulator.Options{Faults: []emulator.Fault{{Kind: emulator.Stall, Delay: 2 * time.Minute}}}
	inBubble(t, committed.Options{}, emu, func(t *testing.T, b *bench) {
		p := b.partition("a", false)
		b.requireLanded(b.append(p, 0, 30)) // an hour for all
		require.Empty(t, b.take().waits)
		require.EqualValues(t, 1, b.srv.Stats().CallsEver)
		b.requireRows(300)
	})
}

// If it fails, connections are held for longer than they are of use: the quota is for a region.
func TestTimeIdle(t *testing.T) {
	inBubble(t, committed.Options{}, emulator.Options{}, func(t *testing.T, b *bench) {
		p := b.partition("a", true)
		b.requireLanded(b.append(p, 0, 1))
		time.Sleep(59 * time.Second)
		require.EqualValues(t, 1, b.srv.Stats().Calls)
		time.Sleep(60 * time.Second)
		synctest.Wait()
		require.Zero(t, b.srv.Stats().Calls)
		for i := int64(1); i < 5; i++ {
			time.Sleep(10 * time.Minute)
			b.requireLanded(b.append(p, i, i+1))
		}
		require.Empty(t, b.take().waits)
		b.requireRows(50)
	})
}

// If it fails, the service's close after 600 s (case 88) costs a backoff and is reported.
func TestTimeServiceClosesAnIdleConnection(t *testing.T) {
	inBubble(t, committed.Options{IdleTimeout: 24 * time.Hour}, emulator.Options{}, func(t *testing.T, b *bench) {
		p := b.partition("a", true)
		for i := int64(0); i < 4; i++ {
			before := time.Now()
			b.requireLanded(b.append(p, i, i+1))
			require.Less(t, time.Since(before), 50*time.Millisecond)
			time.Sleep(601 * time.Second)
			require.Zero(t, b.srv.Stats().Calls)
		}
		require.Empty(t, b.take().waits)
		b.requireRows(40)
	})
}

// If it fails, a quiet stream expires at the service after three days, or is
// replaced more often than needed.
func TestTimeQuietStream(t *testing.T) {
	inBubble(t, committed.Options{}, emulator.Options{}, func(t *testing.T, b *bench) {
		p := b.partition("a", true)
		b.requireLanded(b.append(p, 0, 1))
		time.Sleep(59 * time.Hour)
		require.Empty(t, b.take().seals)
		b.requireLanded(b.append(p, 1, 2))
		time.Sleep(59 * time.Hour)
		require.Empty(t, b.take().seals)
		time.Sleep(2 * time.Hour)
		got := b.take()
		require.Len(t, got.seals, 1)
		require.Equal(t, ledger.Aging, got.seals[0].Reason)
		for range 10 {
			time.Sleep(24 * time.Hour)
			require.False(t, b.srv.Streams(table)[len(b.srv.Streams(table))-1].Finalized)
		}
		b.requireLanded(b.append(p, 2, 3))
		b.requireRows(30)
	})
}

// If it fails, opening many partitions runs into the quota of creations, 10,000 an hour.
func TestTimeCreateRate(t *testing.T) {
	inBubble(t, committed.Options{CreateRate: 2.5, CreateBurst: 50}, emulator.Options{}, func(t *testing.T, b *bench) {
		before := time.Now()
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				if _, err := b.w.Partition(b.ctx(), b.config(fmt.Sprint(i), true)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		require.InDelta(t, 20, time.Since(before).Seconds(), 1)
	})
}

// If it fails, a lost answer to Finalize leaves a partition between two streams.
func TestTimeFinalizeIsLost(t *testing.T) {
	inBubble(t, committed.Options{}, emulator.Options{}, func(t *testing.T, b *bench) {
		p := b.partition("a", true)
		b.requireLanded(b.append(p, 0, 1))
		b.srv.Inject(emulator.Fault{Kind: emulator.FinalizeLost, Count: 3})
		time.Sleep(61 * time.Hour) // aging finalizes the stream
		got := b.take()
		require.Len(t, got.seals, 1)
		require.Len(t, got.waits, 3)
		b.requireLanded(b.append(p, 1, 2))
		b.requireRows(20)
	})
}
