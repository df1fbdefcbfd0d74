package emulator

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // case 93
	"google.golang.org/grpc/keepalive"
)

// Options say what an emulator serves and how. The zero value serves no tables on a free port of the loopback.
type Options struct {
	Listen   string                            // address; "" means 127.0.0.1:0
	Listener net.Listener                      // instead of Listen; the server closes it
	Tables   map[string]*storagepb.TableSchema // by name, projects/P/datasets/D/tables/T
	// Data is a folder for durable state: an emulator that is started again on it, also after a SIGKILL, knows every
	// stream, its end and its rows. One process at a time; safe from a killed process, not from a power cut.
	Data    string
	Discard bool    // check offsets, keep no rows and don't look into them: for measuring throughput
	Faults  []Fault // armed from the start
	Seed    uint64  // of the faults by chance
	// Location of the datasets; "" means us.
	Location string

	RequireRouting bool          // refuse AppendRows without a routing header (case 92)
	SoftLimit      int64         // bytes of a request that are refused in-response (case 52: 10 MiB); 0: only the hard limit of 20 MiB
	RowsFirst      bool          // check rows before the offset; otherwise the offset first
	MaxConnections int           // AppendRows calls at a time (case 54); 0: no limit
	IdleTimeout    time.Duration // of a connection without requests (case 88); 0 means 600 s
	StreamTTL      time.Duration // of a stream without requests (case 94); 0 means 3 days; less than 0: for ever
	// AbortFollowers answers an offset beyond the end on a connection whose request before was refused with ABORTED
	// "because of prior failures" instead of OUT_OF_RANGE (case 24).
	AbortFollowers bool
	Propagation    Propagation   // of changes of tables to AppendRows
	OnAppend       func(Request) // called before each request is judged, by the goroutine of its connection
	// OnAnswer is called after a request was judged, by the same goroutine, with the response that it gets, or with the
	// error that ends the call in its place.
	OnAnswer func(Request, *storagepb.AppendRowsResponse, error)
}

// Request is what OnAppend is told of an append.
type Request struct {
	Stream, Table string
	Offset        int64 // -1: none given
	Rows          int64
	Bytes         int64 // of the rows
}

// Stats counts since Start.
type Stats struct {
	Connections     int64 // TCP connections now
	ConnectionsEver int64
	Calls           int64 // AppendRows calls now
	CallsEver       int64
	PeakCalls       int64 // the most AppendRows calls there were at a time on one connection
	Appends         int64 // requests of connections that were attached
	Rows            int64 // written by clients
	Bytes           int64 // of those rows
	Creates         int64 // CreateWriteStream calls for COMMITTED streams, refused ones too
	Finalizes       int64 // FinalizeWriteStream calls that finalized or found finalized
}

type counters struct {
	callsEver, peakCalls, appends, rows, bytes, creates, finalizes atomic.Int64
}

// Server is a running emulator. Its methods are safe for concurrent use.
type Server struct {
	opt       Options
	started   time.Time
	transport *transport
	store     *store
	faults    *faults
	stats     counters
	workers   sync.WaitGroup
	closing   sync.Once
	closeErr  error

	// mu guards what follows. It is never held while a stream's mu is taken, and may be held when the store's is.
	mu          sync.Mutex
	tables      map[string]*table
	streams     map[string]*stream // by full name
	byIndex     []*stream          // in the order of the store's log
	connections map[*connection]struct{}
	current     *grpc.Server   // accepts
	draining    []*grpc.Server // after GOAWAY
	closed      bool
}

// Start serves and returns once connections are accepted. The caller must Close the server.
func Start(opt Options) (*Server, error) {
	if opt.Listen == "" {
		opt.Listen = "127.0.0.1:0"
	}
	if opt.Location == "" {
		opt.Location = "us"
	}
	if opt.IdleTimeout == 0 {
		opt.IdleTimeout = 600 * time.Second
	}
	if opt.StreamTTL == 0 {
		opt.StreamTTL = 3 * 24 * time.Hour
	}
	var err error
	if opt.Propagation, err = opt.Propagation.withDefaults(); err != nil {
		return nil, fmt.Errorf("start emulator: %w", err)
	}
	s := &Server{
		opt: opt, started: time.Now(), store: newStore(opt.Discard, opt.StreamTTL), faults: newFaults(opt.Seed),
		tables: map[string]*table{}, streams: map[string]*stream{}, connections: map[*connection]struct{}{},
	}
	for _, f := range opt.Faults {
		if err := f.Validate(); err != nil {
			return nil, fmt.Errorf("start emulator: %w", err)
		}
		s.faults.add(f)
	}
	if err := s.prepare(); err != nil {
		_ = s.store.close()
		return nil, fmt.Errorf("start emulator: %w", err)
	}
	s.mu.Lock()
	s.serveLocked()
	s.mu.Unlock()
	s.workers.Go(s.transport.run) // last: what it accepts needs a server to go to
	return s, nil
}

// prepare reads the data folder, makes the tables and listens.
func (s *Server) prepare() error {
	if s.opt.Data != "" {
		if err := s.store.open(s.opt.Data, s); err != nil {
			return err
		}
	}
	for name, schema := range s.opt.Tables {
		if err := s.give(name, schema); err != nil {
			return err
		}
	}
	listener := s.opt.Listener
	if listener == nil {
		var err error
		if listener, err = net.Listen("tcp", s.opt.Listen); err != nil {
			return err
		}
	}
	s.transport = newTransport(listener)
	return nil
}

// serveLocked starts a gRPC server on a new feed of the transport. The caller holds mu.
func (s *Server) serveLocked() {
	g := grpc.NewServer(
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxConcurrentStreams(100), // case 55
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.InitialWindowSize(8<<20),
		grpc.InitialConnWindowSize(16<<20),
		grpc.ReadBufferSize(256<<10),
		grpc.WriteBufferSize(64<<10),
		grpc.WaitForHandlers(true),
		// The service bears a ping each 10 s: its own JDBC driver sends one.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(unaryTrailer),
		grpc.StreamInterceptor(streamTrailer),
	)
	storagepb.RegisterBigQueryWriteServer(g, &service{srv: s})
	s.current = g
	feed := s.transport.renew()
	s.workers.Go(func() { _ = g.Serve(feed) }) // ends when g is stopped
}

// Addr is the address that is listened on.
func (s *Server) Addr() string { return s.transport.listener.Addr().String() }

// ClientOptions are what a Google client needs to reach the emulator: its address, no encryption, no credentials.
func (s *Server) ClientOptions() []option.ClientOption {
	opts := []option.ClientOption{
		option.WithEndpoint(s.Addr()),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
	// A listener in memory is dialled through itself.
	if l, ok := s.opt.Listener.(interface {
		DialContext(context.Context) (net.Conn, error)
	}); ok {
		opts = append(opts, option.WithEndpoint("passthrough:///emulator"),
			option.WithGRPCDialOption(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				return l.DialContext(ctx)
			})))
	}
	return opts
}

// Close stops at once: open calls end with UNAVAILABLE or a broken connection. It returns when all of the server's
// goroutines have ended, with the error of closing the data folder. Closing again is harmless.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.mu.Lock()
		s.closed = true
		servers := append(s.draining, s.current)
		s.mu.Unlock()
		_ = s.transport.listener.Close()
		for _, g := range servers {
			g.Stop()
		}
		s.workers.Wait()
		s.transport.resetAll() // connections that were accepted and never served
		s.closeErr = s.store.close()
	})
	return s.closeErr
}

// GoAway sends GOAWAY on every connection and ends every open AppendRows call with UNAVAILABLE "the connection is
// draining"; a request that is being judged may still be applied (case 90). New connections are served, and so is a call that was
// opened on an old one before its GOAWAY arrived.
func (s *Server) GoAway() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	old := s.current
	s.draining = append(s.draining, old)
	s.serveLocked()
	s.workers.Go(func() {
		old.GracefulStop()
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, g := range s.draining {
			if g == old {
				s.draining = append(s.draining[:i:i], s.draining[i+1:]...)
				return
			}
		}
	})
	for c := range s.connections {
		c.end(draining())
	}
}

// ResetConnections closes every connection with a TCP reset and says how many there were.
func (s *Server) ResetConnections() int { return s.transport.resetAll() }

// connect admits an AppendRows call.
func (s *Server) connect(c *connection) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit := s.opt.MaxConnections; limit > 0 && len(s.connections) >= limit {
		return tooManyConnections()
	}
	s.connections[c] = struct{}{}
	s.stats.callsEver.Add(1)
	if c.carrier != nil {
		if n := c.carrier.open.Add(1); n > s.stats.peakCalls.Load() { // mu makes this one step
			s.stats.peakCalls.Store(n)
		}
	}
	return nil
}

func (s *Server) disconnect(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.connections, c)
	if c.carrier != nil {
		c.carrier.open.Add(-1)
	}
}

// Stats returns the counts of this moment.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	calls := int64(len(s.connections))
	s.mu.Unlock()
	return Stats{
		Connections: s.transport.count(), ConnectionsEver: s.transport.accepted.Load(),
		Calls: calls, CallsEver: s.stats.callsEver.Load(), PeakCalls: s.stats.peakCalls.Load(),
		Appends: s.stats.appends.Load(), Rows: s.stats.rows.Load(), Bytes: s.stats.bytes.Load(),
		Creates: s.stats.creates.Load(), Finalizes: s.stats.finalizes.Load(),
	}
}
