package committed

import (
	"bytes"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

// drawRows draws rows of all lengths that matter to tags, lengths and size classes.
func drawRows(t *rapid.T) [][]byte {
	rows := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 1, 40).Draw(t, "rows")
	if n := rapid.IntRange(0, 200_000).Draw(t, "long row"); n > 100_000 {
		rows = append(rows, make([]byte, n))
	}
	return rows
}

// fullRequest has every field that a request with proto rows can have.
func fullRequest(rows [][]byte) *storagepb.AppendRowsRequest {
	return &storagepb.AppendRowsRequest{
		WriteStream: "projects/p/datasets/d/tables/t/streams/s",
		Offset:      wrapperspb.Int64(7),
		Rows: &storagepb.AppendRowsRequest_ProtoRows{ProtoRows: &storagepb.AppendRowsRequest_ProtoData{
			WriterSchema: &storagepb.ProtoSchema{ProtoDescriptor: &descriptorpb.DescriptorProto{Name: proto.String("root")}},
			Rows:         &storagepb.ProtoRows{SerializedRows: rows},
		}},
		TraceId: "trace",
		MissingValueInterpretations: map[string]storagepb.AppendRowsRequest_MissingValueInterpretation{
			"c": storagepb.AppendRowsRequest_DEFAULT_VALUE,
		},
		DefaultMissingValueInterpretation: storagepb.AppendRowsRequest_NULL_VALUE,
		ClientStats:                       &storagepb.ClientStats{},
	}
}

// If this fails, the service reads something else than what was appended: rows cut
// or joined, an offset or a schema lost.
func TestCodecKeepsEveryRequest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		req, sent := fullRequest(rows), fullRequest(stand)
		if rapid.Bool().Draw(t, "later request") {
			req = &storagepb.AppendRowsRequest{Offset: req.Offset, Rows: req.Rows}
			req.GetProtoRows().WriterSchema = nil
			sent = &storagepb.AppendRowsRequest{Offset: req.Offset}
		}
		c := newCodec()
		c.next = newBlock(rows, blockSize(rows))
		b, err := c.Marshal(sent)
		require.NoError(t, err)
		defer b.Free()
		got := &storagepb.AppendRowsRequest{}
		require.NoError(t, proto.Unmarshal(b.Materialize(), got))
		require.True(t, proto.Equal(req, got))
		_, err = c.Marshal(sent)
		require.Error(t, err, "a request must not go out without its rows")
	})
}

// A field that a newer client library adds would be dropped in silence.
func TestCodecKnowsEveryField(t *testing.T) {
	// The messages that the codec takes apart; what is in the others is copied whole.
	apart := map[protoreflect.Name]bool{"AppendRowsRequest": true, "ProtoData": true, "ProtoRows": true}
	var check func(m protoreflect.Message)
	check = func(m protoreflect.Message) {
		fields := m.Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			if f.Name() == "arrow_rows" {
				continue // the other side of the oneof: never used here
			}
			require.True(t, m.Has(f), "set %s in fullRequest, and see that the codec keeps it", f.FullName())
			if f.Message() != nil && apart[f.Message().Name()] {
				check(m.Get(f).Message())
			}
		}
	}
	check(fullRequest([][]byte{{1}}).ProtoReflect())
}

// The parts of a split batch are its rows: none lost between two, none twice.
func TestDivide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := drawRows(t)
		rows = append(rows, []byte("last"))
		n := int64(len(rows))
		whole := newBlock(rows, blockSize(rows))
		defer whole.Free()
		cut := rapid.Int64Range(1, n-1).Draw(t, "cut")
		head, err := divide(whole, ledger.Intent{Rows: cut, Of: n})
		require.NoError(t, err)
		tail, err := divide(whole, ledger.Intent{From: cut, Rows: n - cut, Of: n})
		require.NoError(t, err)
		require.Equal(t, whole.ReadOnlyData(), append(head.ReadOnlyData(), tail.ReadOnlyData()...))
		got := &storagepb.ProtoRows{}
		require.NoError(t, proto.Unmarshal(tail.ReadOnlyData(), got))
		require.Len(t, got.SerializedRows, int(n-cut))
		_, err = divide(whole, ledger.Intent{Rows: n + 1, Of: n + 1})
		require.Error(t, err)
	})
}

// If it fails, a row that the service refused is sent again, another is left out, or a
// dead letter holds another row's content.
func TestDivideWithout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := append(drawRows(t), []byte("last"))
		whole := newBlock(rows, blockSize(rows))
		defer whole.Free()
		in := ledger.Intent{}
		var kept, dropped [][]byte
		for i, row := range rows {
			if rapid.Bool().Draw(t, "refused") {
				in.Without = append(in.Without, int64(i))
				dropped = append(dropped, row)
			} else {
				kept = append(kept, row)
			}
		}
		in.Of = int64(len(kept))
		in.From = rapid.Int64Range(0, in.Of).Draw(t, "from")
		in.Rows = rapid.Int64Range(0, in.Of-in.From).Draw(t, "rows")
		part, err := divide(whole, in)
		require.NoError(t, err)
		got := &storagepb.ProtoRows{}
		require.NoError(t, proto.Unmarshal(part.ReadOnlyData(), got))
		require.Len(t, got.SerializedRows, int(in.Rows))
		for i, row := range got.SerializedRows {
			require.True(t, bytes.Equal(kept[in.From+int64(i)], row))
		}
		contents, err := rowsAt(whole, in.Without)
		require.NoError(t, err)
		require.Len(t, contents, len(dropped))
		for i := range dropped {
			require.True(t, bytes.Equal(dropped[i], contents[i]))
		}
	})
}

// A class that is too small would cut a block; one for another size would waste.
func TestBlockClasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 64<<20).Draw(t, "n")
		_, size := classOf(n)
		require.GreaterOrEqual(t, size, n)
		require.LessOrEqual(t, size, max(4096, 3*n/2+1))
		class, again := classOf(size)
		require.Equal(t, size, again, "a block goes back to the class it came from")
		got, _ := classOf(n)
		require.Equal(t, class, got)
	})
}

// Per batch: making its block, and putting its request on the wire, beside gRPC's codec.
func BenchmarkCodec(b *testing.B) {
	for name, size := range map[string][2]int{"500x2500": {500, 2500}, "1000x100": {1000, 100}, "100x100": {100, 100}} {
		rows := make([][]byte, size[0])
		for i := range rows {
			rows[i] = make([]byte, size[1])
		}
		offset := wrapperspb.Int64(1)
		b.Run(name+"/block", func(b *testing.B) {
			b.ReportAllocs()
			c, req := newCodec(), &storagepb.AppendRowsRequest{Offset: offset}
			for b.Loop() {
				c.next = newBlock(rows, blockSize(rows))
				data, _ := c.Marshal(req)
				data.Free()
			}
		})
		b.Run(name+"/grpc", func(b *testing.B) {
			b.ReportAllocs()
			c, req := newCodec().CodecV2, &storagepb.AppendRowsRequest{Offset: offset, Rows: fullRequest(rows).Rows}
			req.GetProtoRows().WriterSchema = nil
			for b.Loop() {
				data, _ := c.Marshal(req)
				data.Free()
			}
		})
	}
}
