package emulator

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	exists    = storagepb.StorageError_OFFSET_ALREADY_EXISTS
	beyond    = storagepb.StorageError_OFFSET_OUT_OF_RANGE
	sealed    = storagepb.StorageError_STREAM_FINALIZED
	noStream  = storagepb.StorageError_STREAM_NOT_FOUND
	defaultOf = orders + "/streams/_default"
)

// conformanceCase is one case, or a few that one history shows.
type conformanceCase struct {
	name string
	opt  Options
	run  func(b *bench)
}

// Each subtest is a case of docs/service-facts.md by its number: if it failed, what is proved against this server wouldn't
// hold for the service.
func TestConformance(t *testing.T) {
	for _, c := range slices.Concat(streamCases, rowCases, valueCases) {
		t.Run(c.name, func(t *testing.T) { c.run(newBench(t, c.opt)) })
	}
}

// If this failed, RowsFirst would not change which error a bad row at a wrong offset gets.
func TestRowsFirstOrOffsetFirst(t *testing.T) {
	for _, rowsFirst := range []bool{false, true} {
		c := newBench(t, Options{RowsFirst: rowsFirst}).open(defaultOf)
		c.stream = c.create()
		resp := c.append(7, [][]byte{bytesField(nil, 2, "no id")})
		require.Equal(t, rowsFirst, len(resp.GetRowErrors()) > 0)
	}
}

// streamCases are those of streams, offsets and connections.
var streamCases = []conformanceCase{
	{"case-1 create COMMITTED", Options{Location: "eu"}, func(b *bench) {
		w, err := b.client.CreateWriteStream(b.context(), createRequest(orders))
		require.NoError(b, err)
		require.Regexp(b, `^`+orders+`/streams/Ci[A-Za-z0-9_-]+$`, w.GetName())
		require.True(b, proto.Equal(ordersSchema(), w.GetTableSchema()))
		require.Equal(b, "eu", w.GetLocation())
		require.NotNil(b, w.GetCreateTime())
		require.Equal(b, w.GetCreateTime().AsTime(), w.GetCommitTime().AsTime())
		require.Equal(b, storagepb.WriteStream_COMMITTED, w.GetType())
	}},
	{"case-3 create without a type; others unsupported", Options{}, func(b *bench) {
		_, err := b.client.CreateWriteStream(b.context(), &storagepb.CreateWriteStreamRequest{Parent: orders})
		require.Equal(b, codes.InvalidArgument, status.Code(err))
		_, err = b.client.CreateWriteStream(b.context(), &storagepb.CreateWriteStreamRequest{
			Parent: orders, WriteStream: &storagepb.WriteStream{Type: storagepb.WriteStream_PENDING}})
		require.Equal(b, codes.Unimplemented, status.Code(err))
		_, err = b.client.FlushRows(b.context(), &storagepb.FlushRowsRequest{WriteStream: b.create()})
		require.Equal(b, codes.Unimplemented, status.Code(err))
	}},
	{"case-4 create, table missing", Options{}, func(b *bench) {
		_, err := b.client.CreateWriteStream(b.context(), createRequest(orders+"x"))
		require.Equal(b, codes.NotFound, status.Code(err))
		require.Equal(b, "Requested entity was not found.", status.Convert(err).Message())
	}},
	{"case-5 create over quota", Options{Faults: []Fault{{Kind: RefuseCreate, Count: 1}}}, func(b *bench) {
		_, err := b.client.CreateWriteStream(b.context(), createRequest(orders))
		require.Equal(b, codes.ResourceExhausted, status.Code(err))
		require.True(b, strings.HasPrefix(status.Convert(err).Message(), "Exceeds 'CreateWriteStream requests' quota"))
		b.create()
	}},
	{"case-6 case-7 case-11 get BASIC and FULL, after ALTER", Options{}, func(b *bench) {
		name := b.create()
		basic, err := b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{Name: name})
		require.NoError(b, err)
		require.Nil(b, basic.GetTableSchema())
		altered := ordersSchema()
		altered.Fields = append(altered.Fields, &storagepb.TableFieldSchema{Name: "more", Type: storagepb.TableFieldSchema_STRING})
		for _, want := range []*storagepb.TableSchema{ordersSchema(), altered} {
			require.NoError(b, b.srv.AlterTable(orders, want))
			full, err := b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{
				Name: name, View: storagepb.WriteStreamView_FULL})
			require.NoError(b, err)
			require.True(b, proto.Equal(want, full.GetTableSchema()))
		}
	}},
	{"case-8 case-9 get the default stream by both names", Options{}, func(b *bench) {
		for _, name := range []string{defaultOf, orders + "/_default"} {
			w, err := b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{Name: name})
			require.NoError(b, err)
			require.Equal(b, storagepb.WriteStream_COMMITTED, w.GetType())
			require.Nil(b, w.GetCreateTime())
			require.Nil(b, w.GetCommitTime())
		}
	}},
	{"case-10 get an unknown and a malformed id", Options{}, func(b *bench) {
		var md metadata.MD
		_, err := b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{Name: orders + "/streams/" + newID()}, grpc.Trailer(&md))
		require.Equal(b, codes.NotFound, status.Code(err))
		require.Equal(b, noStream, storageOf(status.Convert(err)))
		require.Equal(b, noStream, bareStorageError(b, md).GetCode())
		for _, name := range []string{orders + "/streams/%%", orders + "/streams/Cic", orders + "/streams/", orders, "x", ""} {
			_, err = b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{Name: name})
			require.Equal(b, codes.InvalidArgument, status.Code(err))
			require.Contains(b, err.Error(), "Invalid stream name.")
		}
	}},
	{"case-12 case-13 first request incomplete", Options{}, func(b *bench) {
		c := b.open("")
		c.send(0, orderRows(0, 1))
		c.ends(codes.InvalidArgument)
		c = b.open(b.create())
		req := c.request(0, orderRows(0, 1))
		req.GetProtoRows().WriterSchema = nil
		require.NoError(b, c.rpc.Send(req))
		c.ends(codes.InvalidArgument)
	}},
	{"case-14 no request at all", Options{}, func(b *bench) {
		c := b.open("")
		require.NoError(b, c.rpc.CloseSend())
		require.Equal(b, "Cannot route on empty project id ''", c.ends(codes.InvalidArgument).Message())
	}},
	{"case-15 case-16 later requests rows only, without offset", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(noOffset, orderRows(0, 3), 0)
		c.ok(noOffset, orderRows(3, 2), 3)
	}},
	{"case-17 case-20 offset at the end, wrong ones, and on", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 3), 0)
		c.refused(0, orderRows(0, 3), codes.AlreadyExists, exists)
		c.refused(100, orderRows(0, 3), codes.OutOfRange, beyond)
		c.ok(3, orderRows(3, 1), 3)
		require.Equal(b, []int64{0, 1, 2, 3}, b.ids())
	}},
	{"case-18 resend of the same offset", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		resp := c.refused(0, orderRows(0, 1), codes.AlreadyExists, exists)
		require.Equal(b, "The offset is within stream, expected offset 1, received 0 Entity: "+c.stream, resp.GetError().GetMessage())
		require.Equal(b, "type.googleapis.com/google.cloud.bigquery.storage.v1.StorageError", resp.GetError().GetDetails()[0].GetTypeUrl())
	}},
	{"case-19 offset beyond the end, and the probe", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		for _, offset := range []int64{100, 1 << 62} {
			resp := c.refused(offset, orderRows(0, 1), codes.OutOfRange, beyond)
			require.Equal(b, fmt.Sprintf("The offset is beyond stream, expected offset 1, received %d Entity: %s", offset, c.stream), resp.GetError().GetMessage())
		}
		require.Equal(b, int64(1), b.end(c.stream))
	}},
	{"case-21 case-33 pipelined, each judged on its own, in order", Options{}, func(b *bench) {
		c := b.open(b.create())
		for _, offset := range []int64{0, 5, 2, 2, 4} {
			c.send(offset, orderRows(offset, 2))
		}
		want := []codes.Code{codes.OK, codes.OutOfRange, codes.OK, codes.AlreadyExists, codes.OK}
		for i, code := range want {
			require.Equal(b, code, codes.Code(c.recv().GetError().GetCode()), "response %d", i)
		}
		require.NoError(b, c.rpc.CloseSend())
		_, err := c.rpc.Recv()
		require.ErrorIs(b, err, io.EOF)
		require.Equal(b, []int64{0, 1, 2, 3, 4, 5}, b.ids())
	}},
	{"case-22 case-23 overlaps and other bytes write nothing", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 3), 0)
		c.refused(2, orderRows(90, 3), codes.AlreadyExists, exists)
		c.refused(0, orderRows(90, 3), codes.AlreadyExists, exists)
		require.Equal(b, []int64{0, 1, 2}, b.ids())
	}},
	{"case-24 rows fail, the next one pipelined is out of range", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.send(0, [][]byte{order(1, "a"), order(2, "much too long")})
		c.send(2, orderRows(2, 1))
		c.wantError(c.recv(), codes.InvalidArgument, 0)
		c.wantError(c.recv(), codes.OutOfRange, beyond)
	}},
	{"case-25 offsets survive a reconnect", Options{}, func(b *bench) {
		name := b.create()
		b.open(name).ok(0, orderRows(0, 5), 0)
		b.srv.ResetConnections()
		b.client = storagepb.NewBigQueryWriteClient(b.dial())
		b.open(name).ok(5, orderRows(5, 1), 5)
	}},
	{"case-26 answer lost, sent again", Options{Faults: []Fault{{Kind: CloseAfter, Count: 1}}}, func(b *bench) {
		name := b.create()
		c := b.open(name)
		c.send(0, orderRows(0, 2))
		c.ends(codes.Unavailable)
		b.open(name).refused(0, orderRows(0, 2), codes.AlreadyExists, exists)
		require.Equal(b, []int64{0, 1}, b.ids())
	}},
	{"case-27 stale end after a reconnect", Options{Faults: []Fault{{Kind: StaleEnd, Lag: 2, Checks: 3, Count: 1}}}, func(b *bench) {
		name := b.create()
		c := b.open(name)
		for i := range int64(4) {
			c.ok(i*2, orderRows(i*2, 2), i*2)
		}
		c = b.open(name)
		for _, offset := range []int64{8, 1 << 62} {
			resp := c.refused(offset, orderRows(8, 1), codes.OutOfRange, beyond)
			require.Contains(b, resp.GetError().GetMessage(), "expected offset 4, received")
		}
		// Written already, though the stale view would take it: nothing is written twice.
		resp := c.refused(4, orderRows(90, 2), codes.AlreadyExists, exists)
		require.Contains(b, resp.GetError().GetMessage(), "expected offset 8, received 4")
		c.ok(8, orderRows(8, 1), 8)
		require.Equal(b, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8}, b.ids())
		require.Equal(b, int64(1), b.srv.FaultCounts()["stale-end"])
	}},
	{"case-28 negative offset", Options{}, func(b *bench) {
		c := b.open(b.create())
		require.NotNil(b, c.append(-1, orderRows(0, 1)).GetError())
		c.ok(0, orderRows(0, 1), 0)
	}},
	{"case-29 case-30 default stream", Options{}, func(b *bench) {
		c := b.open(defaultOf)
		c.refused(0, orderRows(0, 1), codes.InvalidArgument, 0)
		resp := c.append(noOffset, orderRows(0, 1))
		require.NotNil(b, resp.GetAppendResult())
		require.Nil(b, resp.GetAppendResult().GetOffset())
	}},
	{"case-31 two connections on the default stream", Options{}, func(b *bench) {
		one, two := b.open(defaultOf), b.open(defaultOf)
		for range 3 {
			require.Nil(b, one.append(noOffset, orderRows(0, 1)).GetError())
			require.Nil(b, two.append(noOffset, orderRows(0, 1)).GetError())
		}
	}},
	{"case-32 newest connection wins", Options{}, func(b *bench) {
		name := b.create()
		old := b.open(name)
		old.ok(0, orderRows(0, 1), 0)
		young := b.open(name)
		young.ok(1, orderRows(1, 1), 1)
		old.ends(codes.Aborted)
		young.ok(2, orderRows(2, 1), 2)
	}},
	{"case-34 the response names the stream as it was named", Options{}, func(b *bench) {
		for _, name := range []string{b.create(), defaultOf, orders + "/_default"} {
			c := b.open(name)
			require.Equal(b, name, c.append(noOffset, orderRows(0, 1)).GetWriteStream())
			require.Equal(b, name, c.append(noOffset, nil).GetWriteStream())
		}
	}},
	{"case-74 finalize, and again", Options{}, func(b *bench) {
		name := b.create()
		b.open(name).ok(0, orderRows(0, 5), 0)
		for range 2 {
			resp, err := b.client.FinalizeWriteStream(b.context(), &storagepb.FinalizeWriteStreamRequest{Name: name})
			require.NoError(b, err)
			require.Equal(b, int64(5), resp.GetRowCount())
		}
	}},
	{"case-75 append after finalize", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		_, err := b.srv.FinalizeStream(c.stream)
		require.NoError(b, err)
		for _, offset := range []int64{noOffset, 0, 1, 1 << 62} {
			resp := c.refused(offset, orderRows(1, 1), codes.InvalidArgument, sealed)
			require.Contains(b, resp.GetError().GetMessage(), "Stream has been finalized and cannot be appended")
		}
		require.Equal(b, int64(1), b.end(c.stream))
	}},
	{"case-76 finalize the default stream", Options{}, func(b *bench) {
		_, err := b.client.FinalizeWriteStream(b.context(), &storagepb.FinalizeWriteStreamRequest{Name: defaultOf})
		require.Equal(b, codes.InvalidArgument, status.Code(err))
	}},
	{"case-88 idle", Options{IdleTimeout: time.Second}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		require.Equal(b, "Closing the stream because it has been inactive for 1 seconds. Entity: "+c.stream, c.ends(codes.Aborted).Message())
		b.open(c.stream).ok(1, orderRows(1, 1), 1)
	}},
	{"case-89 request intervals", Options{Faults: []Fault{{Kind: Intervals, Every: 10}}}, func(b *bench) {
		name := b.create()
		c := b.open(name)
		for i := range int64(10) {
			c.ok(i, orderRows(i, 1), i)
		}
		c.send(10, orderRows(10, 1))
		require.Equal(b, "Closing the stream on request intervals: 10 Entity: "+name, c.ends(codes.Aborted).Message())
		b.open(name).ok(10, orderRows(10, 1), 10)
	}},
	{"case-90 GOAWAY, not applied and applied", Options{}, func(b *bench) {
		name := b.create()
		for i, k := range []Kind{GoAwayBefore, GoAwayAfter} {
			other := b.open(defaultOf)
			require.Nil(b, other.append(noOffset, orderRows(0, 1)).GetError())
			b.srv.Inject(Fault{Kind: k, Count: 1})
			c := b.open(name)
			c.send(0, orderRows(0, 1))
			require.Equal(b, "the connection is draining", c.ends(codes.Unavailable).Message())
			require.Equal(b, int64(i), b.end(name))
			other.ends(codes.Unavailable)
			waitFor(b.T, "the old connection lives", func() bool { return b.srv.Stats().Connections == 0 })
		}
		b.open(name).ok(1, orderRows(1, 1), 1)
		require.Equal(b, int64(3), b.srv.Stats().ConnectionsEver)
	}},
	{"case-91 INTERNAL on every 10th", Options{Faults: []Fault{{Kind: InternalEach}}}, func(b *bench) {
		c := b.open(b.create())
		for i := range int64(25) {
			if resp := c.append(i, orderRows(i, 1)); resp.GetError() != nil {
				c.wantError(resp, codes.Internal, 0)
				c.ok(i, orderRows(i, 1), i)
			}
		}
		require.Equal(b, int64(2), b.srv.FaultCounts()["internal-every"])
		require.Equal(b, int64(25), b.end(c.stream))
	}},
	{"case-92 routing header", Options{RequireRouting: true}, func(b *bench) {
		c := b.open(b.create())
		c.send(0, orderRows(0, 1))
		st := c.ends(codes.PermissionDenied)
		require.Equal(b, "Permission 'TABLES_UPDATE_DATA' denied on resource '"+orders+"' (or it may not exist).", st.Message())
		escaped := strings.ReplaceAll(c.stream, "/", "%2F")
		rpc, err := b.client.AppendRows(metadata.AppendToOutgoingContext(b.context(), "x-goog-request-params", "write_stream="+escaped))
		require.NoError(b, err)
		c.rpc, c.sent = rpc, false
		c.ok(0, orderRows(0, 1), 0)
	}},
	{"case-93 gzip", Options{}, func(b *bench) {
		c := b.open(b.create(), grpc.UseCompressor(gzip.Name))
		c.ok(0, orderRows(0, 1000), 0)
		require.Len(b, b.ids(), 1000)
	}},
	{"case-94 expired stream", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		require.NoError(b, b.srv.ExpireStream(c.stream))
		c.send(1, orderRows(1, 1))
		require.Equal(b, noStream, storageOf(c.ends(codes.NotFound)))
		_, err := b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{Name: c.stream})
		require.Equal(b, codes.NotFound, status.Code(err))
		_, err = b.client.FinalizeWriteStream(b.context(), &storagepb.FinalizeWriteStreamRequest{Name: c.stream})
		require.Equal(b, noStream, storageOf(status.Convert(err)))
	}},
	{"case-95 table dropped and made again", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		require.NoError(b, b.srv.DropTable(orders))
		c.send(1, orderRows(1, 1))
		require.Equal(b, "Requested entity was not found. Entity: "+c.stream, c.ends(codes.NotFound).Message())
		require.NoError(b, b.srv.CreateTable(orders, ordersSchema()))
		_, err := b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{Name: c.stream})
		require.Equal(b, codes.NotFound, status.Code(err))
		b.open(b.create()).ok(0, orderRows(0, 1), 0)
		require.Equal(b, []int64{0}, b.ids())
	}},
}
