package netfault

import (
	"errors"
	"flag"
	"io"
	"net"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Most of a test's time is waiting for timeouts.
	if err := flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m,
		// managedwriter's: a sleeper of 20 s for each connection, and the metrics worker that it links in.
		goleak.IgnoreAnyFunction("cloud.google.com/go/bigquery/storage/managedwriter.(*connection).getStream.func1"),
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// patience is far more than anything here takes.
const patience = 20 * time.Second

// service is an echo server that knows what each connection has brought, in the order of their acceptance.
type service struct {
	t        testing.TB
	listener net.Listener
	mute     bool // receives only
	running  sync.WaitGroup

	mu    sync.Mutex // guards what follows
	conns []*received
}

// received is what a connection has brought; guarded by service.mu.
type received struct {
	conn  *net.TCPConn
	bytes []byte
	ended bool
	err   error // of the end; nil: in good order
}

func newService(t testing.TB, mute bool) *service {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &service{t: t, listener: l, mute: mute}
	s.running.Go(s.accept)
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for _, r := range s.conns {
			_ = r.conn.Close()
		}
		s.mu.Unlock()
		s.running.Wait()
	})
	return s
}

func (s *service) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		r := &received{conn: conn.(*net.TCPConn)}
		s.mu.Lock()
		s.conns = append(s.conns, r)
		s.mu.Unlock()
		s.running.Go(func() { s.serve(r) })
	}
}

func (s *service) serve(r *received) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.conn.Read(buf)
		s.mu.Lock()
		r.bytes = append(r.bytes, buf[:n]...)
		if err != nil {
			r.ended = true
			if !errors.Is(err, io.EOF) {
				r.err = err
			}
			_ = r.conn.Close()
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
		if !s.mute {
			if _, err := r.conn.Write(buf[:n]); err != nil {
				continue // the next read says it
			}
		}
	}
}

// got is what connection i has brought so far.
func (s *service) got(i int) received {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i >= len(s.conns) {
		return received{}
	}
	r := *s.conns[i]
	r.bytes = append([]byte(nil), r.bytes...)
	return r
}

// waitFor waits until something is so.
func waitFor(t testing.TB, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, patience, time.Millisecond, what)
}

// end waits for the end of connection i, and returns what it has brought.
func (s *service) end(i int) received {
	s.t.Helper()
	waitFor(s.t, "the service sees the end", func() bool { return s.got(i).ended })
	return s.got(i)
}

func start(t testing.TB, s *service, opt Options) *Proxy {
	p, err := Start(s.listener.Addr().String(), opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

func faulty(t testing.TB, s *service, specs ...string) *Proxy {
	var opt Options
	for _, spec := range specs {
		f, err := ParseFault(spec)
		require.NoError(t, err)
		opt.Faults = append(opt.Faults, f)
	}
	return start(t, s, opt)
}

func dial(t testing.TB, p *Proxy) *net.TCPConn {
	conn, err := tryDial(t, p)
	require.NoError(t, err)
	return conn
}

// tryDial dials a proxy that may reset before it is done.
func tryDial(t testing.TB, p *Proxy) (*net.TCPConn, error) {
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn), conn.SetDeadline(time.Now().Add(patience))
}

// send writes as much as goes, and returns why it went no further. The kernel says so once: a read after it may find
// nothing but the end.
func send(conn net.Conn, b []byte) error {
	_, err := conn.Write(b)
	return err
}

// exchange writes and reads it back.
func exchange(t testing.TB, conn net.Conn, b []byte) {
	t.Helper()
	require.NoError(t, send(conn, b))
	got := make([]byte, len(b))
	_, err := io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, b, got)
}

// silent requires that nothing at all is heard for a moment: no byte, no end.
func silent(t testing.TB, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Millisecond)))
	n, err := conn.Read(make([]byte, 1))
	require.Zero(t, n)
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
}

// text is n bytes, each told from its neighbours.
func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}
