package netfault

import (
	"bytes"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// If it fails, the proxy spoils connections that nothing was to happen to: every test through it would prove less.
func TestTransparent(t *testing.T) {
	s := newService(t, false)
	p := start(t, s, Options{})
	sent := text(3 << 20)
	conn := dial(t, p)
	exchange(t, conn, []byte("hello"))
	go func() { _ = send(conn, sent) }()
	got := make([]byte, len(sent))
	_, err := io.ReadFull(conn, got)
	require.NoError(t, err)
	require.True(t, bytes.Equal(sent, got))
	require.Equal(t, 1, p.Connections())

	// Ends are passed on as what they are.
	require.NoError(t, conn.CloseWrite())
	require.NoError(t, s.end(0).err)
	_, err = conn.Read(got)
	require.ErrorIs(t, err, io.EOF)
	waitFor(t, "the connection is forgotten", func() bool { return p.Connections() == 0 })

	conn = dial(t, p)
	exchange(t, conn, []byte("hello"))
	require.NoError(t, conn.SetLinger(0))
	require.NoError(t, conn.Close())
	require.ErrorIs(t, s.end(1).err, syscall.ECONNRESET)
	require.Empty(t, p.FaultCounts())
}

// If it fails, a half that stays open is closed: a client that has said all no longer hears the answer.
func TestHalfClose(t *testing.T) {
	s := newService(t, true)
	p := start(t, s, Options{})
	conn := dial(t, p)
	_ = send(conn, []byte("question"))
	waitFor(t, "the question arrives", func() bool { return len(s.got(0).bytes) == 8 })
	require.NoError(t, s.got(0).conn.CloseWrite())
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	_ = send(conn, []byte(", still"))
	require.NoError(t, conn.CloseWrite())
	require.Equal(t, "question, still", string(s.end(0).bytes))
}

// If it fails, a service that is not there looks as if it were.
func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	p, err := Start(l.Addr().String(), Options{})
	require.NoError(t, err)
	defer p.Close()
	conn, err := tryDial(t, p)
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
	waitFor(t, "it is forgotten", func() bool { return p.Connections() == 0 })
}

// If it fails, Reset leaves connections alive, or hurts what comes after it.
func TestReset(t *testing.T) {
	s := newService(t, false)
	p := start(t, s, Options{})
	var conns []*net.TCPConn
	for range 3 {
		conns = append(conns, dial(t, p))
		exchange(t, conns[len(conns)-1], []byte("x"))
	}
	require.Equal(t, 3, p.Reset())
	for i, conn := range conns {
		_, err := conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.ErrorIs(t, s.end(i).err, syscall.ECONNRESET)
	}
	waitFor(t, "they are forgotten", func() bool { return p.Connections() == 0 })
	require.Zero(t, p.Reset())
	exchange(t, dial(t, p), []byte("y"))
}

// If it fails, Close hangs, or leaves a goroutine or a connection behind, in some state that a connection may be in.
func TestClose(t *testing.T) {
	s := newService(t, false)
	p := faulty(t, s, "half-open:bytes=1,delay=1h", "half-open:bytes=1,delay=1h,dir=down", "stall:bytes=2,dir=both",
		"zombie:bytes=3,every=2,delay=1h", "slow:delay=1h,every=3", "latency:delay=1h,every=5", "fin:every=7,bytes=2")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			conn := dial(t, p)
			_ = send(conn, text(i))
			if i%3 == 0 {
				_ = conn.Close()
			}
		})
	}
	all.Wait()
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.Zero(t, p.Connections())
	require.Zero(t, p.Zombies())
	_, err := net.DialTimeout("tcp", p.Addr(), time.Second)
	require.Error(t, err)
}

// If it fails, a bad fault is taken, or a good one isn't.
func TestStartRefuses(t *testing.T) {
	_, err := Start("127.0.0.1:1", Options{Faults: []Fault{{Kind: "nonsense"}}})
	require.ErrorContains(t, err, "nonsense")
	_, err = Start("127.0.0.1:1", Options{Listen: "256.0.0.1:0"})
	require.Error(t, err)
	p, err := Start("127.0.0.1:1", Options{})
	require.NoError(t, err)
	defer p.Close()
	require.Panics(t, func() { p.Inject(Fault{Kind: RST, Bytes: -1}) })
}

// BenchmarkCopy is what passes through when nothing is ahead, and with a fault that never comes.
func BenchmarkCopy(b *testing.B) {
	for _, c := range []struct{ name, spec string }{{"direct", ""}, {"plain", ""}, {"armed", "rst:bytes=1000000000000"}, {"frames", "rst:frame=1000000000"}} {
		b.Run(c.name, func(b *testing.B) {
			s := newSink(b)
			target := s.Addr().String()
			if c.name != "direct" {
				opt := Options{}
				if c.spec != "" {
					f, err := ParseFault(c.spec)
					require.NoError(b, err)
					opt.Faults = []Fault{f}
				}
				p, err := Start(target, opt)
				require.NoError(b, err)
				defer p.Close()
				target = p.Addr()
			}
			conn, err := net.Dial("tcp", target)
			require.NoError(b, err)
			chunk := frame(0, make([]byte, 1<<20-headerSize)) // a frame that is no DATA, and larger than any
			b.SetBytes(int64(len(chunk)))
			_, _ = conn.Write(preface)
			for range b.N {
				_, err := conn.Write(chunk)
				require.NoError(b, err)
			}
			require.NoError(b, conn.(*net.TCPConn).CloseWrite())
			_, err = conn.Read(make([]byte, 1)) // all has arrived
			require.ErrorIs(b, err, io.EOF)
			_ = conn.Close()
		})
	}
}

// newSink reads everything and closes at the end.
func newSink(t testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, conn, make([]byte, 256<<10))
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l
}
