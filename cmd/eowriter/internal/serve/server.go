package serve

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"connectrpc.com/connect"
	"github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1/eowriterv1connect"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/telemetry"
	"github.com/eowriter/eowriter/ledger"
)

// server answers requests. Its goroutines end with stop.
type server struct {
	led     *ledger.Ledger
	in      *ingest.Ingest
	tel     *telemetry.Telemetry
	status  *statusService
	opt     *Options
	https   []*http.Server // one for each door
	reading reading
	ctx     context.Context // of all requests; ends in stop
	end     context.CancelFunc
	served  sync.WaitGroup
}

func newServer(c *sidecar, in *ingest.Ingest) *server {
	s := &server{led: c.led, in: in, tel: c.tel, status: newStatus(in, c.led, c.commits), opt: c.opt}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// serverOf answers what comes by a door.
func (s *server) serverOf(d *door) *http.Server {
	one := &http.Server{
		Handler: s.handler(d), Protocols: &http.Protocols{}, TLSConfig: d.guard.TLS(),
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: connWindow, MaxReceiveBufferPerStream: streamWindow,
			MaxReadFrameSize: maxFrame, SendPingTimeout: pingTimeout, PingTimeout: pingTimeout, WriteByteTimeout: writeTimeout,
		},
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ConnContext: withConn,
		ErrorLog:    slog.NewLogLogger(s.opt.Log.Handler(), slog.LevelDebug),
	}
	one.Protocols.SetHTTP1(true)
	one.Protocols.SetHTTP2(true)
	one.Protocols.SetUnencryptedHTTP2(one.TLSConfig == nil) // gRPC's, without TLS
	return one
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
	path, rpc := eowriterv1connect.NewWriterHandler(&writer{in: s.in, window: s.opt.StreamAppends, refused: s.refused},
		connect.WithReadMaxBytes(int(s.opt.Ingest.AppendBytes)*3/2+overhead), s.reading.gzipped())
	rpc = s.reading.measured(rpc)
	if d.service {
		mux.Handle(path, rpc)
	} else {
		for _, call := range readers {
			mux.Handle(call, rpc)
		}
	}
	if d.operators {
		operators := http.NewServeMux()
		s.admin(operators, d)
		mux.Handle("/", forOperators(operators))
	}
	rows := &rowsHandler{in: s.in, maxBytes: s.opt.Ingest.AppendBytes, maxRows: s.opt.Ingest.AppendRows, refused: s.refused}
	route := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Not by mux: it takes names with slashes or dots in them for paths to be cleaned.
		if d.service && strings.HasPrefix(r.URL.EscapedPath(), rowsPrefix) {
			rows.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
	return counted(localOnly(d.asked(bounded(http.NewCrossOriginProtection().Handler(s.tel.Continue(route))))))
}

// start serves at the doors. What goes wrong with one of them comes through the channel.
func (s *server) start(l *doors) <-chan error {
	failed := make(chan error, len(l.all))
	for _, d := range l.all {
		one := s.serverOf(d)
		s.https = append(s.https, one)
		s.served.Go(func() {
			serve := one.Serve
			if one.TLSConfig != nil {
				serve = func(l net.Listener) error { return one.ServeTLS(l, "", "") }
			}
			if err := serve(d); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	if s.opt.Guard != nil {
		s.served.Go(func() { s.opt.Guard.Watch(s.ctx, s.opt.Log, l.closeAll) })
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
