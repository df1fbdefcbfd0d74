package emulator

import (
	"cmp"
	"context"
	"io"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m,
		// managedwriter's: a sleeper of 20 s for each connection, and the metrics worker that it links in.
		goleak.IgnoreAnyFunction("cloud.google.com/go/bigquery/storage/managedwriter.(*connection).getStream.func1"),
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

const orders = "projects/p/datasets/d/tables/orders"

// The table of most tests: id INTEGER REQUIRED, name STRING(10), tags REPEATED INTEGER, at TIMESTAMP, when DATETIME,
// doc JSON, rec RECORD {leaf INTEGER REQUIRED}.
func ordersSchema() *storagepb.TableSchema {
	col := func(name string, t storagepb.TableFieldSchema_Type, mode storagepb.TableFieldSchema_Mode, sub ...*storagepb.TableFieldSchema) *storagepb.TableFieldSchema {
		return &storagepb.TableFieldSchema{Name: name, Type: t, Mode: mode, Fields: sub}
	}
	name := col("name", storagepb.TableFieldSchema_STRING, storagepb.TableFieldSchema_NULLABLE)
	name.MaxLength = 10
	return &storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{
		col("id", storagepb.TableFieldSchema_INT64, storagepb.TableFieldSchema_REQUIRED),
		name,
		col("tags", storagepb.TableFieldSchema_INT64, storagepb.TableFieldSchema_REPEATED),
		col("at", storagepb.TableFieldSchema_TIMESTAMP, storagepb.TableFieldSchema_NULLABLE),
		col("civil", storagepb.TableFieldSchema_DATETIME, storagepb.TableFieldSchema_NULLABLE),
		col("doc", storagepb.TableFieldSchema_JSON, storagepb.TableFieldSchema_NULLABLE),
		col("rec", storagepb.TableFieldSchema_STRUCT, storagepb.TableFieldSchema_NULLABLE,
			col("leaf", storagepb.TableFieldSchema_INT64, storagepb.TableFieldSchema_REQUIRED)),
	}}
}

type kind = descriptorpb.FieldDescriptorProto_Type

const (
	tInt64   = descriptorpb.FieldDescriptorProto_TYPE_INT64
	tString  = descriptorpb.FieldDescriptorProto_TYPE_STRING
	tDouble  = descriptorpb.FieldDescriptorProto_TYPE_DOUBLE
	tUint64  = descriptorpb.FieldDescriptorProto_TYPE_UINT64
	tMessage = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
)

func field(name string, num int32, t kind) *descriptorpb.FieldDescriptorProto {
	return &descriptorpb.FieldDescriptorProto{
		Name: proto.String(name), Number: proto.Int32(num), Type: t.Enum(),
		Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
	}
}

func message(name string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
	return &descriptorpb.DescriptorProto{Name: proto.String(name), Field: fields}
}

// ordersDescriptor has all columns of ordersSchema, numbered in their order.
func ordersDescriptor() *descriptorpb.DescriptorProto {
	tags := field("tags", 3, tInt64)
	tags.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	rec := field("rec", 7, tMessage)
	rec.TypeName = proto.String("Rec")
	d := message("Order", field("id", 1, tInt64), field("name", 2, tString), tags, field("at", 4, tInt64),
		field("civil", 5, tInt64), field("doc", 6, tString), rec)
	d.NestedType = []*descriptorpb.DescriptorProto{message("Rec", field("leaf", 1, tInt64))}
	return d
}

// varintField and bytesField build rows by hand.
func varintField(b []byte, num protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
}

func bytesField(b []byte, num protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func order(id int64, name string) []byte { return bytesField(varintField(nil, 1, id), 2, name) }

// orderRows are n good rows with ids from first on.
func orderRows(first int64, n int) [][]byte {
	rows := make([][]byte, n)
	for i := range rows {
		rows[i] = order(first+int64(i), "x")
	}
	return rows
}

// bench is an emulator with a raw client: nothing between a test and what the server really sends.
type bench struct {
	*testing.T
	srv    *Server
	conn   *grpc.ClientConn
	client storagepb.BigQueryWriteClient

	patience time.Duration // with one RPC; 0: 20 s
}

func newBench(t *testing.T, opt Options) *bench {
	t.Helper()
	if opt.Tables == nil {
		opt.Tables = map[string]*storagepb.TableSchema{orders: ordersSchema()}
	}
	srv, err := Start(opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	b := &bench{T: t, srv: srv}
	b.conn = b.dial()
	b.client = storagepb.NewBigQueryWriteClient(b.conn)
	return b
}

func (b *bench) dial() *grpc.ClientConn {
	b.Helper()
	return dialAddr(b.T, b.srv.Addr())
}

func dialAddr(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (b *bench) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(b.patience, 20*time.Second))
	b.Cleanup(cancel)
	return ctx
}

func (b *bench) create() string {
	b.Helper()
	w, err := b.client.CreateWriteStream(b.context(), createRequest(orders))
	require.NoError(b, err)
	return w.GetName()
}

func createRequest(table string) *storagepb.CreateWriteStreamRequest {
	return &storagepb.CreateWriteStreamRequest{
		Parent: table, WriteStream: &storagepb.WriteStream{Type: storagepb.WriteStream_COMMITTED},
	}
}

// call is one AppendRows call on one stream.
type call struct {
	*bench
	rpc    storagepb.BigQueryWrite_AppendRowsClient
	stream string
	desc   *descriptorpb.DescriptorProto // of the first request
	sent   bool
}

func (b *bench) open(stream string, opts ...grpc.CallOption) *call {
	b.Helper()
	rpc, err := b.client.AppendRows(b.context(), opts...)
	require.NoError(b, err)
	return &call{bench: b, rpc: rpc, stream: stream, desc: ordersDescriptor()}
}

const noOffset = -1 << 63

// request builds an append; the first one of a call carries name and descriptor.
func (c *call) request(offset int64, rows [][]byte) *storagepb.AppendRowsRequest {
	data := &storagepb.AppendRowsRequest_ProtoData{Rows: &storagepb.ProtoRows{SerializedRows: rows}}
	req := &storagepb.AppendRowsRequest{Rows: &storagepb.AppendRowsRequest_ProtoRows{ProtoRows: data}}
	if offset != noOffset {
		req.Offset = wrapperspb.Int64(offset)
	}
	if !c.sent {
		c.sent = true
		req.WriteStream = c.stream
		data.WriterSchema = &storagepb.ProtoSchema{ProtoDescriptor: c.desc}
	}
	return req
}

func (c *call) send(offset int64, rows [][]byte) {
	c.Helper()
	require.NoError(c, c.rpc.Send(c.request(offset, rows)))
}

func (c *call) recv() *storagepb.AppendRowsResponse {
	c.Helper()
	resp, err := c.rpc.Recv()
	require.NoError(c, err)
	return resp
}

func (c *call) append(offset int64, rows [][]byte) *storagepb.AppendRowsResponse {
	c.Helper()
	c.send(offset, rows)
	return c.recv()
}

// ok appends and wants success at offset want.
func (c *call) ok(offset int64, rows [][]byte, want int64) *storagepb.AppendRowsResponse {
	c.Helper()
	resp := c.append(offset, rows)
	require.Nil(c, resp.GetError(), "%v", resp.GetError())
	require.NotNil(c, resp.GetAppendResult().GetOffset(), "no offset in %v", resp)
	require.Equal(c, want, resp.GetAppendResult().GetOffset().GetValue())
	return resp
}

// refused appends and wants an in-response error.
func (c *call) refused(offset int64, rows [][]byte, code codes.Code, storage storageCode) *storagepb.AppendRowsResponse {
	c.Helper()
	resp := c.append(offset, rows)
	c.wantError(resp, code, storage)
	return resp
}

func (c *call) wantError(resp *storagepb.AppendRowsResponse, code codes.Code, storage storageCode) {
	c.Helper()
	require.NotNil(c, resp.GetError(), "success: %v", resp)
	st := status.FromProto(resp.GetError())
	require.Equal(c, code, st.Code(), st.Message())
	require.Equal(c, storage, storageOf(st), st.Message())
}

// ends wants the call to end with code and returns the status.
func (c *call) ends(code codes.Code) *status.Status {
	c.Helper()
	_, err := c.rpc.Recv()
	require.Error(c, err)
	require.NotErrorIs(c, err, io.EOF)
	st := status.Convert(err)
	require.Equal(c, code, st.Code(), st.Message())
	return st
}

func storageOf(st *status.Status) storageCode {
	for _, d := range st.Details() {
		if e, ok := d.(*storagepb.StorageError); ok {
			return e.GetCode()
		}
	}
	return 0
}

// bareStorageError is the second trailer of an error.
func bareStorageError(t require.TestingT, md metadata.MD) *storagepb.StorageError {
	values := md.Get(storageErrorTrailer)
	require.Len(t, values, 1)
	e := new(storagepb.StorageError)
	require.NoError(t, proto.Unmarshal([]byte(values[0]), e))
	return e
}

func (b *bench) end(stream string) int64 {
	b.Helper()
	info, ok := b.srv.Stream(stream)
	require.True(b, ok)
	return info.End
}

// ids are the ids of the table's rows in order of arrival.
func (b *bench) ids() []int64 {
	b.Helper()
	ids := []int64{}
	for _, row := range b.srv.Rows(orders) {
		values, err := row.Values()
		require.NoError(b, err)
		ids = append(ids, values["id"].(int64))
	}
	return ids
}
