package committed

import (
	"context"
	"errors"
	"io"
	"net/url"
	"sync"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// wire is one AppendRows RPC as our interceptor sees it, below managedwriter. It
// gives what managedwriter keeps to itself: a way to end this RPC alone, every
// answer as it comes, the status and trailer of the end, openings that fail
// instead of looping, and the routing header that AppendRows needs outside the US
// (case 92). It is passed as a call option, by which the interceptor knows its RPC.
//
// Requests are sent by one goroutine at a time, and answers read by one, which is
// managedwriter's: it reads one for each request that it sent.
type wire struct {
	grpc.EmptyCallOption
	stream   string // the write stream's name
	answered func(*storagepb.AppendRowsResponse)
	ended    func(error, metadata.MD) // called once, after every answer; close may come first
	over     chan struct{}            // closed before ended is called

	mu      sync.Mutex // guards what follows
	cancel  context.CancelFunc
	opened  bool
	hungUp  bool
	unread  int  // requests sent whose answer was not read
	refused bool // the RPC takes no more requests: its status is there to be read
	isOver  bool
}

// Neither is a gRPC status, and neither is io.EOF: managedwriter retries both.
var (
	errNotOpened = errors.New("the connection could not be opened")
	errReopened  = errors.New("a connection is opened once")
)

// writeBuffer is how much goes to the socket at once. gRPC's 32 KiB make 40 system
// calls of an append of 1.25 MB, each waking the other side.
const writeBuffer = 256 << 10

// keepAlive has gRPC notice that a TCP connection has gone dark: the kernel says so only after a quarter of an hour, or
// never if something on the way answers for the service, and until then every new RPC goes over the same connection. One
// ping a minute, and only when an RPC is open and nothing comes; Google's own clients ping the service six times as often.
// A caller's option of the kind wins.
func keepAlive() option.ClientOption {
	return option.WithGRPCDialOption(grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 20 * time.Second}))
}

// dialOptions returns the client options that put the interceptors into place, and
// have gRPC dial again soon after an outage: it would wait for up to two minutes, and
// the partitions wait between their tries already.
func dialOptions() []option.ClientOption {
	again := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 10 * time.Second}
	return []option.ClientOption{
		option.WithGRPCDialOption(grpc.WithWriteBufferSize(writeBuffer)),
		option.WithGRPCDialOption(grpc.WithConnectParams(grpc.ConnectParams{Backoff: again, MinConnectTimeout: 20 * time.Second})),
		option.WithGRPCDialOption(grpc.WithChainStreamInterceptor(interceptStream)),
		option.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(interceptUnary)),
	}
}

func interceptStream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	for _, o := range opts {
		if w, ok := o.(*wire); ok {
			return w.open(ctx, func(ctx context.Context) (grpc.ClientStream, error) {
				return streamer(ctx, desc, cc, method, opts...)
			})
		}
	}
	return streamer(ctx, desc, cc, method, opts...)
}

// lookup is the context key of the stream name that managedwriter is about to look up.
type lookup struct{}

// interceptUnary answers managedwriter's own two lookups of a stream that the
// ledger knows better: they would cost two round trips for every connection, and
// hold the client's lock for as long as a silent service likes.
func interceptUnary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	name, isLookup := ctx.Value(lookup{}).(string)
	answer, isStream := reply.(*storagepb.WriteStream)
	if !isLookup || !isStream {
		return invoker(ctx, method, req, reply, cc, opts...)
	}
	proto.Merge(answer, &storagepb.WriteStream{Name: name, Type: storagepb.WriteStream_COMMITTED})
	return nil
}

// open opens the RPC, once: a connection that managedwriter opened again by itself
// would send later appends past the machine.
func (w *wire) open(ctx context.Context, streamer func(context.Context) (grpc.ClientStream, error)) (grpc.ClientStream, error) {
	w.mu.Lock()
	if w.opened || w.hungUp {
		w.mu.Unlock()
		return nil, errReopened
	}
	ctx, w.cancel = context.WithCancel(ctx)
	w.opened = true
	w.mu.Unlock()

	ctx = metadata.AppendToOutgoingContext(ctx, "x-goog-request-params", "write_stream="+url.QueryEscape(w.stream))
	cs, err := streamer(ctx)
	if err != nil {
		w.end(err, nil)
		return nil, errNotOpened
	}
	return &tap{ClientStream: cs, wire: w}, nil
}

// wasOpened says that the interceptor has seen the RPC.
func (w *wire) wasOpened() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened
}

// hangUp ends the RPC: a blocked send returns, what is in flight has no answer.
func (w *wire) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hungUp = true
	if w.cancel != nil {
		w.cancel()
	}
}

// end tells how the RPC ended; the first word counts.
func (w *wire) end(err error, trailer metadata.MD) {
	w.mu.Lock()
	first := !w.isOver
	w.isOver = true
	w.mu.Unlock()
	if first {
		close(w.over)
		w.ended(err, trailer)
	}
}

// tap is the RPC's stream with a listener.
type tap struct {
	grpc.ClientStream
	wire *wire
}

// SendMsg sends a request. An RPC that has ended tells so with io.EOF only; its
// status has to be read, after the answers that came before it: by managedwriter if
// it still awaits some, else here.
func (t *tap) SendMsg(m any) error {
	err := t.ClientStream.SendMsg(m)
	w := t.wire
	w.mu.Lock()
	if err == nil {
		w.unread++
	}
	eof := errors.Is(err, io.EOF)
	w.refused = w.refused || eof
	drained := w.unread == 0
	w.mu.Unlock()
	switch {
	case eof && drained:
		t.readStatus()
	case err != nil && !eof:
		w.end(err, nil)
	}
	return err
}

// RecvMsg reads an answer and tells of it before managedwriter hears.
func (t *tap) RecvMsg(m any) error {
	err := t.ClientStream.RecvMsg(m)
	w := t.wire
	if err != nil {
		w.end(err, t.Trailer())
		return err
	}
	if answer, ok := m.(*storagepb.AppendRowsResponse); ok {
		w.answered(answer)
	}
	w.mu.Lock()
	w.unread--
	last := w.refused && w.unread == 0
	w.mu.Unlock()
	if last {
		t.readStatus()
	}
	return nil
}

// readStatus reads the status of an RPC that has ended and owes no answer.
func (t *tap) readStatus() {
	err := t.ClientStream.RecvMsg(&storagepb.AppendRowsResponse{})
	if err == nil {
		err = errors.New("an answer to no request")
	}
	t.wire.end(err, t.Trailer())
}
