package committed

import (
	"context"
	"errors"
	"io"
	"net/url"
	"sync"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// wire is one AppendRows RPC as our interceptor sees it, below managedwriter. It
// gives what managedwriter keeps to itself: a way to end this RPC alone, the status
// and the trailer it ended with, openings that fail instead of looping, and the
// routing header that AppendRows needs outside the US (case 92). It is passed as a
// call option, by which the interceptor knows its RPC.
type wire struct {
	grpc.EmptyCallOption
	stream string // the write stream's name

	mu      sync.Mutex // guards what follows
	opened  bool
	closed  bool
	cancel  context.CancelFunc // of the RPC
	err     error              // what it ended with
	trailer metadata.MD
	unread  int // requests sent whose answer was not read
}

// Neither is a gRPC status, and neither is io.EOF: managedwriter retries both.
var (
	errNotOpened = errors.New("the connection could not be opened")
	errReopened  = errors.New("a connection is opened once")
)

// interceptors returns the client options that put the interceptors into place.
func interceptors() []option.ClientOption {
	return []option.ClientOption{
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
	name, ok := ctx.Value(lookup{}).(string)
	answer, isStream := reply.(*storagepb.WriteStream)
	if !ok || !isStream {
		return invoker(ctx, method, req, reply, cc, opts...)
	}
	proto.Merge(answer, &storagepb.WriteStream{Name: name, Type: storagepb.WriteStream_COMMITTED})
	return nil
}

// open opens the RPC, once: a connection that managedwriter opened again by itself
// would send later appends past the machine.
func (w *wire) open(ctx context.Context, streamer func(context.Context) (grpc.ClientStream, error)) (grpc.ClientStream, error) {
	w.mu.Lock()
	if w.opened || w.closed {
		w.mu.Unlock()
		return nil, errReopened
	}
	ctx, w.cancel = context.WithCancel(ctx)
	w.opened = true
	w.mu.Unlock()

	ctx = metadata.AppendToOutgoingContext(ctx, "x-goog-request-params", "write_stream="+url.QueryEscape(w.stream))
	cs, err := streamer(ctx)
	if err != nil {
		w.ended(err, nil)
		return nil, errNotOpened
	}
	return &tap{ClientStream: cs, wire: w}, nil
}

// hangUp ends the RPC: a blocked send returns, appends without an answer fail.
func (w *wire) hangUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.cancel != nil {
		w.cancel()
	}
}

// ended notes what the RPC ended with; the first word counts.
func (w *wire) ended(err error, trailer metadata.MD) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err, w.trailer = err, trailer
	}
}

// status returns what the RPC ended with, or err if that isn't known.
func (w *wire) status(err error) (error, metadata.MD) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return w.err, w.trailer
	}
	return err, nil
}

// wasOpened says that the interceptor has seen the RPC.
func (w *wire) wasOpened() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.opened
}

// tap is the RPC's stream with a listener.
type tap struct {
	grpc.ClientStream
	wire *wire
}

// SendMsg sends a request. A stream that has ended tells so with io.EOF only; its
// status has to be read, which is managedwriter's business while it awaits answers
// and ours when it does not. Sends come from one goroutine at a time.
func (t *tap) SendMsg(m any) error {
	err := t.ClientStream.SendMsg(m)
	t.wire.mu.Lock()
	if err == nil {
		t.wire.unread++
	}
	idle := t.wire.unread == 0
	t.wire.mu.Unlock()
	if errors.Is(err, io.EOF) && idle {
		_ = t.RecvMsg(&storagepb.AppendRowsResponse{})
	}
	return err
}

func (t *tap) RecvMsg(m any) error {
	err := t.ClientStream.RecvMsg(m)
	if err != nil {
		t.wire.ended(err, t.Trailer())
		return err
	}
	t.wire.mu.Lock()
	t.wire.unread--
	t.wire.mu.Unlock()
	return nil
}
