package emulator

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// rowCases are those of rows, sizes, limits and schemas.
var rowCases = []conformanceCase{
	{"case-35 zero rows", Options{}, func(b *bench) {
		c := b.open(b.create())
		resp := c.refused(0, nil, codes.InvalidArgument, 0)
		require.Contains(b, resp.GetError().GetMessage(), "Rows must be specified")
		c.ok(0, orderRows(0, 1), 0)
	}},
	{"case-36 case-37 one bad row of three, then the good ones", Options{}, func(b *bench) {
		c := b.open(b.create())
		resp := c.refused(0, [][]byte{order(1, "a"), bytesField(nil, 2, "no id"), order(3, "c")}, codes.InvalidArgument, 0)
		require.True(b, strings.HasPrefix(resp.GetError().GetMessage(), "Errors found while processing rows. Please refer to the row_errors field for details."))
		require.Len(b, resp.GetRowErrors(), 1)
		require.Equal(b, int64(1), resp.GetRowErrors()[0].GetIndex())
		require.Equal(b, storagepb.RowError_FIELDS_ERROR, resp.GetRowErrors()[0].GetCode())
		require.Zero(b, b.end(c.stream))
		c.ok(0, orderRows(0, 2), 0)
	}},
	{"case-38 to case-42 and case-44 row errors", Options{}, func(b *bench) {
		c := b.open(b.create())
		for want, row := range map[string][]byte{
			"Field name: STRING(10) has maximum length 10 but got a value with length 12 on field name.": order(1, "abcdefghijkl"),
			"Timestamp field value is out of range: -9223372036854775808 on field at.":                   varintField(order(1, "a"), 4, -1<<63),
			"Cannot return an invalid datetime value of 1550402640 microseconds expressed as civil time, according to civil_time encoding. The range of valid datetime values is [0001-01-01 00:00:00, 9999-12-31 23:59:59.999999] on field civil.": varintField(order(1, "a"), 5, 1550402640),
			"Field value of id cannot be empty.":       bytesField(nil, 2, "a"),
			"Field value of rec.leaf cannot be empty.": bytesField(order(1, "a"), 7, ""),
			"Invalid JSON value on field doc.":         bytesField(order(1, "a"), 6, "{"),
			malformedRow:                               {0x0a, 0xff},
		} {
			resp := c.refused(0, [][]byte{row}, codes.InvalidArgument, 0)
			require.Equal(b, want, resp.GetRowErrors()[0].GetMessage())
		}
		good := bytesField(bytesField(order(1, "äöüäöüäöüä"), 6, `{"a":[1]}`), 7, string(varintField(nil, 1, 5)))
		good = varintField(good, 5, ((2024<<26|2<<22|29<<17|23<<12|59<<6|59)<<20)|999999)
		c.ok(0, [][]byte{good}, 0)
	}},
	{"case-43 unknown tag", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, [][]byte{bytesField(varintField(order(1, "a"), 99, 5), 100, "?")}, 0)
	}},
	{"case-47 packed and unpacked", Options{}, func(b *bench) {
		c := b.open(b.create())
		unpacked := varintField(varintField(order(1, "a"), 3, 7), 3, 8)
		packed := protowire.AppendTag(order(1, "a"), 3, protowire.BytesType)
		packed = protowire.AppendBytes(packed, []byte{7, 8})
		c.ok(0, [][]byte{unpacked, packed}, 0)
		for _, row := range b.srv.Rows(orders) {
			text, err := row.JSON()
			require.NoError(b, err)
			require.JSONEq(b, `{"id":1,"name":"a","tags":[7,8]}`, string(text))
		}
		broken := protowire.AppendBytes(protowire.AppendTag(order(1, "a"), 3, protowire.BytesType), []byte{7, 0xff})
		c.refused(2, [][]byte{broken}, codes.InvalidArgument, 0)
	}},
	{"case-50 case-51 around 20 MiB", Options{}, func(b *bench) {
		name := b.create()
		c := b.open(name)
		big := func(n int) [][]byte {
			return [][]byte{append(order(1, "a"), bytesField(nil, 99, strings.Repeat("x", n))...)}
		}
		c.ok(0, big(20<<20-600), 0)
		c.send(1, big(20<<20+1000))
		st := c.ends(codes.InvalidArgument)
		require.Zero(b, storageOf(st))
		c = b.open(name)
		c.send(1, big(25<<20)) // larger than what the transport takes
		c.ends(codes.InvalidArgument)
		require.Equal(b, int64(1), b.end(name))
	}},
	{"case-52 soft limit", Options{SoftLimit: 10 << 20}, func(b *bench) {
		c := b.open(b.create())
		req := c.request(0, [][]byte{append(order(1, "a"), bytesField(nil, 99, strings.Repeat("x", 11<<20))...)})
		require.NoError(b, c.rpc.Send(req))
		resp := c.recv()
		c.wantError(resp, codes.InvalidArgument, 0)
		require.Equal(b, fmt.Sprintf("AppendRows request too large: %d limit 10485760 Entity: %s", proto.Size(req), c.stream), resp.GetError().GetMessage())
		c.ok(0, orderRows(0, 1), 0)
	}},
	{"case-53 throughput quota", Options{}, func(b *bench) {
		b.srv.Inject(Fault{Kind: ErrorBefore, Count: 1, Error: status.New(codes.ResourceExhausted, "Exceeds 'AppendRows throughput' quota, user_id: project0000000000000001_us (status: INSUFFICIENT_TOKENS)")})
		c := b.open(b.create())
		resp := c.refused(0, orderRows(0, 1), codes.ResourceExhausted, 0)
		require.True(b, strings.HasPrefix(resp.GetError().GetMessage(), "Exceeds 'AppendRows throughput' quota"))
		c.ok(0, orderRows(0, 1), 0)
	}},
	{"case-54 too many connections", Options{MaxConnections: 1}, func(b *bench) {
		b.open(b.create()).ok(0, orderRows(0, 1), 0)
		c := b.open(b.create())
		c.ends(codes.ResourceExhausted)
	}},
	{"case-55 the 101st stream of a connection waits", Options{}, func(b *bench) {
		var last *call
		for range 100 {
			last = b.open(defaultOf)
			require.Nil(b, last.append(noOffset, orderRows(0, 1)).GetError())
		}
		require.Equal(b, int64(100), b.srv.Stats().PeakCalls)
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_, err := b.client.AppendRows(ctx)
		require.Equal(b, codes.DeadlineExceeded, status.Code(err))
		require.NoError(b, last.rpc.CloseSend())
		_, err = last.rpc.Recv()
		require.ErrorIs(b, err, io.EOF)
		require.Nil(b, b.open(defaultOf).append(noOffset, orderRows(0, 1)).GetError())
	}},
	{"case-56 extra field", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.desc.Field = append(c.desc.Field, field("testfield", 50, tString))
		c.send(0, orderRows(0, 1))
		st := c.ends(codes.InvalidArgument)
		require.Equal(b, "Input schema has more fields than BigQuery schema, extra fields: 'testfield' Entity: "+c.stream, st.Message())
		require.Equal(b, storagepb.StorageError_SCHEMA_MISMATCH_EXTRA_FIELDS, storageOf(st))
		bare := bareStorageError(b, c.rpc.Trailer())
		require.Equal(b, storagepb.StorageError_SCHEMA_MISMATCH_EXTRA_FIELDS, bare.GetCode())
		require.Equal(b, "Schema mismatch due to extra fields in user schema", bare.GetErrorMessage())
		require.Equal(b, c.stream, bare.GetEntity())
		require.NotEmpty(b, c.rpc.Trailer().Get("grpc-status-details-bin"))
	}},
	{"case-57 case-73 type mismatch", Options{}, func(b *bench) {
		for _, t := range []kind{tString, tUint64} {
			c := b.open(b.create())
			c.desc.Field[0].Type = t.Enum()
			c.send(0, orderRows(0, 1))
			st := c.ends(codes.InvalidArgument)
			name := strings.ToLower(strings.TrimPrefix(t.String(), "TYPE_"))
			require.Equal(b, "The proto field mismatched with BigQuery field at Order.id, the proto field type "+name+", BigQuery field type INTEGER Entity: "+c.stream, st.Message())
			require.Zero(b, storageOf(st))
		}
	}},
	{"case-58 unresolved nested type", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.desc.Field[6].TypeName = proto.String(".google.protobuf.Timestamp")
		c.send(0, orderRows(0, 1))
		require.Equal(b, `Invalid proto schema: BqMessage.proto: Order.rec: ".google.protobuf.Timestamp" is not defined. Entity: `+c.stream, c.ends(codes.InvalidArgument).Message())
	}},
	{"case-60 case-61 names: case differs, annotation wins", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.desc.Field[0].Name = proto.String("ID")
		c.desc.Field[1].Name = proto.String("other")
		c.desc.Field[1].Options = &descriptorpb.FieldOptions{}
		proto.SetExtension(c.desc.Field[1].Options, storagepb.E_ColumnName, "name")
		c.ok(0, orderRows(0, 1), 0)
		c.refused(1, [][]byte{bytesField(nil, 2, "a")}, codes.InvalidArgument, 0)
		values, err := b.srv.Rows(orders)[0].Values()
		require.NoError(b, err)
		require.Equal(b, map[string]any{"ID": int64(0), "name": "x"}, values)
	}},
	{"case-60 two fields for one column", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.desc.Field = append(c.desc.Field, field("NAME", 50, tString))
		c.send(0, orderRows(0, 1))
		c.ends(codes.InvalidArgument)
	}},
	{"case-62 case-63 descriptor lacks columns", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.desc = message("M", field("id", 1, tInt64))
		c.ok(0, [][]byte{varintField(nil, 1, 5)}, 0)
		c = b.open(b.create())
		c.desc = message("M", field("name", 2, tString))
		c.send(0, orderRows(0, 1))
		c.ends(codes.InvalidArgument)
	}},
	{"case-65 later writer schema ignored on an application stream", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		req := c.request(1, orderRows(1, 1))
		req.GetProtoRows().WriterSchema = &storagepb.ProtoSchema{ProtoDescriptor: message("Other", field("nonsense", 1, tDouble))}
		require.NoError(b, c.rpc.Send(req))
		require.Nil(b, c.recv().GetError())
	}},
	{"case-66 later writer schema honoured on the default stream", Options{}, func(b *bench) {
		c := b.open(defaultOf)
		require.Nil(b, c.append(noOffset, orderRows(0, 1)).GetError())
		req := c.request(noOffset, [][]byte{varintField(nil, 8, 5)})
		req.WriteStream = defaultOf
		req.GetProtoRows().WriterSchema = &storagepb.ProtoSchema{ProtoDescriptor: message("Other", field("id", 8, tInt64))}
		require.NoError(b, c.rpc.Send(req))
		require.Nil(b, c.recv().GetError())
		require.Equal(b, []int64{0, 5}, b.ids())
		c.send(noOffset, orderRows(0, 1))
		c.ends(codes.InvalidArgument)
	}},
	{"case-67 another stream on the connection of an application stream", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		req := c.request(0, orderRows(0, 1))
		req.WriteStream = b.create()
		require.NoError(b, c.rpc.Send(req))
		c.ends(codes.InvalidArgument)
	}},
	{"case-68 updated_schema on a later success", Options{}, func(b *bench) {
		c := b.open(b.create())
		require.Nil(b, c.ok(0, orderRows(0, 1), 0).GetUpdatedSchema())
		altered := ordersSchema()
		altered.Fields = append(altered.Fields, &storagepb.TableFieldSchema{Name: "more", Type: storagepb.TableFieldSchema_STRING})
		require.NoError(b, b.srv.AlterTable(orders, altered))
		require.Nil(b, c.refused(0, orderRows(0, 1), codes.AlreadyExists, exists).GetUpdatedSchema())
		require.True(b, proto.Equal(altered, c.ok(1, orderRows(1, 1), 1).GetUpdatedSchema()))
		require.Nil(b, c.ok(2, orderRows(2, 1), 2).GetUpdatedSchema())
	}},
	{"case-59 proto3_optional and oneof in the descriptor", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.desc.Field[1].Proto3Optional = proto.Bool(true)
		c.desc.Field[1].OneofIndex = proto.Int32(0)
		c.send(0, orderRows(0, 1))
		c.ends(codes.InvalidArgument)
	}},
	{"case-72 timestamps", Options{}, func(b *bench) {
		stamp := message("google_protobuf_Timestamp", field("seconds", 1, tInt64), field("nanos", 2, descriptorpb.FieldDescriptorProto_TYPE_INT32))
		for _, t := range []kind{tMessage, tString, tDouble} {
			c := b.open(b.create())
			c.desc.Field[3].Type = t.Enum()
			if t == tMessage {
				c.desc.Field[3].TypeName = proto.String("google_protobuf_Timestamp")
				c.desc.NestedType = append(c.desc.NestedType, stamp)
			}
			text := "1970-01-01T00:00:05.000001Z"
			if t == tMessage {
				text = string(varintField(varintField(nil, 1, 5), 2, 1999))
			}
			c.send(0, [][]byte{bytesField(order(1, "a"), 4, text)})
			if t == tDouble {
				require.Contains(b, c.ends(codes.InvalidArgument).Message(), "the proto field type double, BigQuery field type TIMESTAMP")
				continue
			}
			require.Nil(b, c.recv().GetError())
		}
		for _, row := range contents(b, b.srv, orders) {
			require.Equal(b, Value{Kind: ScalarValue, Text: "5000001", Micros: 5000001}, row[3])
		}
	}},
}
