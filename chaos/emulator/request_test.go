package emulator

import (
	"maps"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// chopped is data in buffers of n bytes, as a message arrives.
func chopped(data []byte, n int) mem.BufferSlice {
	var s mem.BufferSlice
	for len(data) > n {
		s = append(s, mem.SliceBuffer(data[:n]))
		data = data[n:]
	}
	return append(s, mem.SliceBuffer(data))
}

// If this failed, the emulator would see another request than a protocol-buffer parser does, or fault on hostile bytes.
func FuzzRequest(f *testing.F) {
	c := &call{stream: orders + "/streams/x", desc: ordersDescriptor()}
	for _, req := range []*storagepb.AppendRowsRequest{
		c.request(7, orderRows(0, 3)),
		c.request(noOffset, nil),
		{Rows: &storagepb.AppendRowsRequest_ArrowRows{ArrowRows: &storagepb.AppendRowsRequest_ArrowData{}}, TraceId: "t"},
		{DefaultMissingValueInterpretation: storagepb.AppendRowsRequest_DEFAULT_VALUE, Offset: &wrapperspb.Int64Value{}},
		{MissingValueInterpretations: map[string]interpretation{"a": defaultValue, "": unspecified}},
	} {
		raw, err := proto.Marshal(req)
		require.NoError(f, err)
		f.Add(raw, 5)
	}
	f.Fuzz(func(t *testing.T, raw []byte, piece int) {
		got := request{keep: true}
		err := got.decode(chopped(raw, max(1, piece&0xff)))
		want := new(storagepb.AppendRowsRequest)
		if proto.Unmarshal(raw, want) != nil {
			return // the walker may be more lenient, but didn't panic
		}
		if err != nil || got.unsupported != "" {
			return // and stricter about groups, which no client sends
		}
		counted := request{}
		require.NoError(t, counted.decode(chopped(raw, max(1, piece&0xff))))
		require.Equal(t, got.count, counted.count)
		require.Equal(t, got.rowBytes, counted.rowBytes)
		require.Equal(t, want.GetWriteStream(), got.stream)
		require.Equal(t, want.Offset != nil, got.hasOffset)
		require.Equal(t, want.GetOffset().GetValue(), got.offset)
		require.Equal(t, want.GetDefaultMissingValueInterpretation(), got.missing.standard)
		require.True(t, maps.Equal(want.GetMissingValueInterpretations(), got.missing.columns))
		rows := want.GetProtoRows().GetRows().GetSerializedRows()
		require.Len(t, got.rows, len(rows))
		for i := range rows {
			require.Equal(t, string(rows[i]), string(got.rows[i]))
		}
	})
}
