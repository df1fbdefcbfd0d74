package serve

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1/eowriterv1connect"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
)

// Limits on what a connection may cost before anybody has looked at it.
const (
	headerTimeout = 10 * time.Second // for a request's header to arrive
	bodyTimeout   = time.Minute      // for the body of a request that is no stream
	idleTimeout   = 2 * time.Minute  // of a connection without requests
	writeTimeout  = time.Minute      // for a client to take what it is sent
	pingTimeout   = 30 * time.Second // a silent HTTP/2 connection is asked whether it lives, and has so long to say so
	maxHeader     = 64 << 10         // bytes of a header: two positions and a name, escaped
	maxStreams    = 250              // requests at the same time on an HTTP/2 connection
	streamWindow  = 256 << 10        // bytes of a stream that are not read yet
	connWindow    = 1 << 20          // and of a connection
	overhead      = 1 << 20          // bytes of a message beside its rows, which take a third more as JSON: a descriptor, mostly
	stopTimeout   = 2 * time.Second  // for answers to go out at the end
)

// server answers requests. Its goroutines end with stop.
type server struct {
	in     *ingest.Ingest
	opt    Options
	https  []*http.Server  // one for each door
	ctx    context.Context // of all requests; ends in stop
	end    context.CancelFunc
	served sync.WaitGroup
}

func newServer(in *ingest.Ingest, opt Options) *server {
	s := &server{in: in, opt: opt}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// serverOf answers what comes by a door.
func (s *server) serverOf(d *door) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC's, without TLS
	return &http.Server{
		Handler: s.handler(d), Protocols: protocols,
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: connWindow, MaxReceiveBufferPerStream: streamWindow,
			SendPingTimeout: pingTimeout, PingTimeout: pingTimeout, WriteByteTimeout: writeTimeout,
		},
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ErrorLog:    slog.NewLogLogger(s.opt.Log.Handler(), slog.LevelDebug),
	}
}

// readers are the calls that change nothing.
var readers = []string{
	eowriterv1connect.WriterGetPartitionProcedure,
	eowriterv1connect.WriterListPartitionsProcedure,
	eowriterv1connect.WriterWatchPartitionsProcedure,
}

// handler is what all requests go through that come by a door.
func (s *server) handler(d *door) http.Handler {
	mux := http.NewServeMux()
	path, rpc := eowriterv1connect.NewWriterHandler(&writer{in: s.in, window: s.opt.StreamAppends},
		connect.WithReadMaxBytes(int(s.opt.Ingest.AppendBytes)*3/2+overhead))
	if d.service {
		mux.Handle(path, rpc)
	} else {
		for _, call := range readers {
			mux.Handle(call, rpc)
		}
	}
	if d.operators {
		s.admin(mux)
	}
	rows := &rowsHandler{in: s.in, maxBytes: s.opt.Ingest.AppendBytes}
	route := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Not by mux: it takes names with slashes or dots in them for paths to be cleaned.
		if d.service && strings.HasPrefix(r.URL.EscapedPath(), rowsPrefix) {
			rows.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
	return localOnly(bounded(http.NewCrossOriginProtection().Handler(route)))
}

// localOnly refuses requests on a loopback port that a browser makes for a page from elsewhere whose name was given our
// address. Requests on a Unix socket have whatever host they like.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && local.IP.IsLoopback() && !isLoopback(r.Host) {
			http.Error(w, "the sidecar is addressed by a loopback address or as localhost", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// streams are the calls whose requests last.
var streams = map[string]bool{eowriterv1connect.WriterAppendStreamProcedure: true}

// bounded gives bodies of requests that are no streams so long to arrive.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !streams[r.URL.Path] && r.Body != http.NoBody {
			c := http.NewResponseController(w)
			if err := c.SetReadDeadline(time.Now().Add(bodyTimeout)); err == nil {
				r.Body = &deadlined{r.Body, c}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// deadlined takes the deadline back when all of the body has arrived: the connection is watched from then on.
type deadlined struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
	c *http.ResponseController
}

func (d *deadlined) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	if err != nil {
		_ = d.c.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (d *deadlined) Close() error { return d.body.Close() }

// start serves at the doors. What goes wrong with one of them comes through the channel.
func (s *server) start(l *doors) <-chan error {
	failed := make(chan error, len(l.all))
	for _, d := range l.all {
		one := s.serverOf(d)
		s.https = append(s.https, one)
		s.served.Go(func() {
			if err := one.Serve(d); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	return failed
}

// stop lets answers that are due go out, ends everything else, and waits.
func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	s.end()
	for _, one := range s.https {
		s.served.Go(func() {
			if err := one.Shutdown(ctx); err != nil {
				_ = one.Close()
			}
		})
	}
	s.served.Wait()
}
