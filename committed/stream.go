package committed

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/descriptorpb"
)

// streamsPerClient leaves room below the 100 streams that the service allows on one
// HTTP/2 connection (case 55): the 101st waits without a word.
const streamsPerClient = 90

// gapic retries calls for up to 20 minutes, past our limits: never.
var noRetry = gax.WithRetry(func() gax.Retryer { return nil })

// client is a managedwriter client: one HTTP/2 connection.
type client struct {
	mw      *managedwriter.Client
	streams int // guarded by clients.mu
}

func newClient(ctx context.Context, opts []option.ClientOption) (*client, error) {
	opts = append(append([]option.ClientOption{keepAlive()}, opts...), dialOptions()...)
	opts = append(opts, option.WithGRPCConnectionPool(1))
	// The project is for multiplexing only; stream names carry their own.
	mw, err := managedwriter.NewClient(ctx, "-", opts...)
	if err != nil {
		return nil, fmt.Errorf("make a BigQuery client: %w", err)
	}
	return &client{mw: mw}, nil
}

// create makes a new COMMITTED stream (O1, R1). Repeated, it makes another one: an
// unused stream is harmless.
func (c *client) create(ctx context.Context, table string) (string, error) {
	ws, err := c.mw.CreateWriteStream(ctx, &storagepb.CreateWriteStreamRequest{
		Parent:      table,
		WriteStream: &storagepb.WriteStream{Type: storagepb.WriteStream_COMMITTED},
	}, noRetry)
	return ws.GetName(), err
}

func (c *client) tableSchema(ctx context.Context, table string) (*storagepb.TableSchema, error) {
	ws, err := c.mw.GetWriteStream(ctx, &storagepb.GetWriteStreamRequest{
		Name: table + "/streams/_default", View: storagepb.WriteStreamView_FULL,
	}, noRetry)
	return ws.GetTableSchema(), err
}

// finalize ends a stream and returns how many rows it has (R3); it may be repeated (case 74).
func (c *client) finalize(ctx context.Context, stream string) (int64, error) {
	ms, err := c.open(ctx, stream)
	if err != nil {
		return 0, err
	}
	defer ms.Close()
	return ms.Finalize(ctx, noRetry)
}

func (c *client) open(ctx context.Context, stream string, opts ...managedwriter.WriterOption) (*managedwriter.ManagedStream, error) {
	ctx = context.WithValue(ctx, lookup{}, stream)
	return c.mw.NewManagedStream(ctx, append(opts, managedwriter.WithStreamName(stream))...)
}

// connection is one AppendRows RPC to a write stream, by way of managedwriter with
// its retries off. The worker sends; answers and the end come through the wire, in
// order, to the functions given to connect.
type connection struct {
	id     uint64
	wire   *wire
	ms     *managedwriter.ManagedStream
	client *client
	slot   *slot
	codec  *codec // the sender's own, like seen
	seen   bool   // the interceptor has seen the RPC
	probe  []byte // a row that is valid for the writer schema

	progress time.Time // when it answered, or got something to do; guarded by Partition.mu
}

// connect prepares a connection. It does no I/O: the RPC is opened by the first
// append. defaults: columns that a row leaves out get their default values. depth is how
// many appends may be in flight.
func (c *client) connect(ctx context.Context, w *wire, trace string, schema *descriptorpb.DescriptorProto, defaults bool, depth int) (*connection, error) {
	codec := newCodec()
	missing := storagepb.AppendRowsRequest_MISSING_VALUE_INTERPRETATION_UNSPECIFIED // which is NULL
	if defaults {
		missing = storagepb.AppendRowsRequest_DEFAULT_VALUE
	}
	ms, err := c.open(ctx, w.stream,
		managedwriter.WithDefaultMissingValueInterpretation(missing),
		managedwriter.WithSchemaDescriptor(schema),
		managedwriter.WithTraceID(trace),
		managedwriter.WithMaxInflightRequests(depth),
		managedwriter.WithAppendRowsCallOption(gax.WithGRPCOptions(w, grpc.ForceCodecV2(codec))),
		managedwriter.WithAppendRowsCallOption(noRetry),
	)
	if err != nil {
		return nil, err
	}
	return &connection{wire: w, ms: ms, client: c, codec: codec}, nil
}

// send hands a block for an offset to the client, and takes over a reference to it.
// Nothing but hangUp ends it early: a cancelled append might be sent later. When the
// client refuses, the connection has ended: send returns after wire.ended was called,
// so that nothing more is sent here.
func (c *connection) send(rows block, offset int64) {
	c.codec.next = rows
	_, err := c.ms.AppendRows(context.Background(), stand, managedwriter.WithOffset(offset))
	if err != nil && c.codec.next != nil { // it did not come to encoding them
		c.codec.next.Free()
		c.codec.next = nil
	}
	switch {
	case err == nil && (c.seen || c.wire.wasOpened()):
		c.seen = true
		return
	case err == nil:
		c.wire.end(status.Error(codes.FailedPrecondition, "the client options bypass the writer's interceptors: option.WithGRPCConn is not supported"), nil)
	case !c.wire.wasOpened():
		c.wire.end(err, nil)
	}
	<-c.wire.over // whoever reads the RPC tells, or close
}

// close frees what the connection holds. The RPC is ended first: managedwriter's
// Close waits for a blocked send. It also stops reading, perhaps before it has come to
// the RPC's end, so that the end is told here if nobody did.
func (c *connection) close() {
	c.wire.hangUp()
	_ = c.ms.Close() // it returns io.EOF when all is well
	c.wire.end(status.Error(codes.Canceled, "the connection was closed"), nil)
}
