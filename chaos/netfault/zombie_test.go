package netfault

import (
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// If it fails, a dead client's bytes come too early, too late, changed, or not at all.
func TestZombie(t *testing.T) {
	for name, kill := range map[string]func(*Proxy, *net.TCPConn){
		"ended":     func(_ *Proxy, c *net.TCPConn) { _ = c.Close() },
		"shut down": func(_ *Proxy, c *net.TCPConn) { _ = c.CloseWrite() },
		"killed": func(_ *Proxy, c *net.TCPConn) {
			_ = c.SetLinger(0)
			_ = c.Close()
		},
		"cut": func(p *Proxy, _ *net.TCPConn) { _ = p.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, false)
			p := faulty(t, s, "zombie:bytes=3,count=1")
			conn := dial(t, p)
			_ = send(conn, []byte("12345"))
			got := make([]byte, 3)
			_, err := io.ReadFull(conn, got)
			require.NoError(t, err)
			require.Equal(t, "123", string(got))
			waitFor(t, "it has begun", func() bool { return p.FaultCounts()["zombie"] == 1 })
			_ = send(conn, []byte("678"))
			silent(t, conn)
			require.Zero(t, p.ReleaseZombies(), "its client lives")

			kill(p, conn)
			waitFor(t, "the client is gone", func() bool { return p.Zombies() == 1 })
			require.Zero(t, p.Connections())
			exchange(t, dial(t, p), []byte("a new client")) // takes over
			require.Equal(t, "123", string(s.got(0).bytes))
			require.False(t, s.got(0).ended)
			require.Equal(t, 1, p.Reset(), "the new one")
			require.Equal(t, 1, p.Zombies())

			require.Equal(t, 1, p.ReleaseZombies())
			waitFor(t, "the bytes arrive", func() bool { return string(s.got(0).bytes) == "12345678" })
			require.Zero(t, p.ReleaseZombies())
			require.Zero(t, p.Zombies())
			require.False(t, s.got(0).ended, "a connection that ends may not be looked at any more")
			require.NoError(t, p.Close())
			require.ErrorIs(t, s.end(0).err, syscall.ECONNRESET)
		})
	}
}

// If it fails, a zombie is not delivered by itself, or one that can't be is waited for.
func TestZombieByItself(t *testing.T) {
	s := newService(t, true)
	p := faulty(t, s, "zombie:delay=10ms,jitter=5ms")
	conn := dial(t, p)
	_ = send(conn, []byte("late"))
	waitFor(t, "the service accepts", func() bool { return s.got(0).conn != nil })
	require.NoError(t, conn.Close())
	waitFor(t, "the bytes arrive", func() bool { return string(s.got(0).bytes) == "late" })

	// A client that said nothing after the place leaves no zombie: its end is passed on.
	p = faulty(t, s, "zombie:bytes=4")
	conn = dial(t, p)
	_ = send(conn, []byte("1234"))
	require.NoError(t, conn.CloseWrite())
	require.Equal(t, "1234", string(s.end(1).bytes))
	require.Zero(t, p.Zombies())

	// A service that ends it first.
	conn = dial(t, p)
	_ = send(conn, []byte("12345"))
	waitFor(t, "some arrives", func() bool { return len(s.got(2).bytes) == 4 })
	require.NoError(t, conn.Close())
	waitFor(t, "the client is gone", func() bool { return p.Zombies() == 1 })
	require.NoError(t, s.got(2).conn.Close())
	waitFor(t, "it is forgotten", func() bool { return p.Zombies() == 0 })
	require.Zero(t, p.ReleaseZombies())
}

// If it fails, what a dead client had sent is lost when the service goes on talking to it.
func TestZombieOfATalkingService(t *testing.T) {
	s := newService(t, true)
	p := faulty(t, s, "zombie:bytes=1")
	for i := range 30 {
		conn := dial(t, p)
		_ = send(conn, []byte("12345"))
		waitFor(t, "some arrives", func() bool { return len(s.got(i).bytes) == 1 })
		waitFor(t, "the fault begins", func() bool { return p.FaultCounts()[string(Zombie)] == int64(i+1) }) // or what was read is lost with the client
		require.NoError(t, conn.SetLinger(0))
		var talking sync.WaitGroup
		talking.Go(func() {
			for range 50 {
				_ = send(s.got(i).conn, text(1000))
			}
		})
		_ = conn.Close()
		talking.Wait()
		waitFor(t, "the client is gone", func() bool { return p.Zombies() == 1 })
		require.Equal(t, 1, p.ReleaseZombies())
		waitFor(t, "the rest arrives", func() bool { return string(s.got(i).bytes) == "12345" })
	}
}

// If it fails, releasing zombies while they come and go, and the proxy closes, hangs or races.
func TestZombiesComeAndGo(t *testing.T) {
	s := newService(t, true)
	p := faulty(t, s, "zombie:bytes=1,delay=2ms,jitter=2ms")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				conn := dial(t, p)
				_ = send(conn, []byte("12345"))
				_ = conn.Close()
				p.ReleaseZombies()
			}
		})
	}
	all.Wait()
	for _, d := range []time.Duration{0, time.Millisecond} {
		time.Sleep(d)
		p.ReleaseZombies()
	}
	require.NoError(t, p.Close())
}
