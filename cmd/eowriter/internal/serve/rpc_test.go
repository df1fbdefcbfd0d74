package serve

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1/eowriterv1connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
)

func (g *rig) writer(opts ...connect.ClientOption) eowriterv1connect.WriterClient {
	return eowriterv1connect.NewWriterClient(g.client(true), "http://localhost", opts...)
}

func jsonRows(numbers ...int) *eowriterv1.Rows {
	r := &eowriterv1.JSONRows{}
	for _, n := range numbers {
		r.Objects = append(r.Objects, []byte(strings.TrimSpace(lineOf(n))))
	}
	return &eowriterv1.Rows{Kind: &eowriterv1.Rows_Json{Json: r}}
}

// position is the one after row n-1; the beginning's is empty.
func position(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// appendOne is an append of row n.
func appendOne(partition string, n int) *eowriterv1.AppendRequest {
	return &eowriterv1.AppendRequest{
		Table: "p.d.t", Partition: partition, ExpectedPosition: position(n), Position: position(n + 1), Rows: jsonRows(n),
	}
}

// detailOf is the detail that every error has.
func detailOf(t testing.TB, err error, code connect.Code) *eowriterv1.AppendError {
	t.Helper()
	var e *connect.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code(), "%v", err)
	require.Len(t, e.Details(), 1)
	detail, err := e.Details()[0].Value()
	require.NoError(t, err)
	return detail.(*eowriterv1.AppendError)
}

// Every protocol must tell the same: a producer picks one and relies on code and detail.
func TestProtocols(t *testing.T) {
	g := newRig(t, nil)
	for name, opts := range map[string][]connect.ClientOption{
		"connect": nil, "connect-json": {connect.WithProtoJSON()}, "grpc": {connect.WithGRPC()}, "grpc-web": {connect.WithGRPCWeb()},
		"grpc-gzip": {connect.WithGRPC(), connect.WithSendGzip()},
	} {
		t.Run(name, func(t *testing.T) {
			c := g.writer(opts...)
			ctx := context.Background()
			r, err := c.Append(ctx, connect.NewRequest(appendOne(name, 0)))
			require.NoError(t, err)
			require.Equal(t, "1", r.Msg.GetPosition())
			require.Equal(t, eowriterv1.Acknowledge_ACKNOWLEDGE_LANDED, r.Msg.GetAcknowledged())
			r, err = c.Append(ctx, connect.NewRequest(appendOne(name, 0)))
			require.NoError(t, err)
			require.True(t, r.Msg.GetDuplicate())

			stale := appendOne(name, 7)
			_, err = c.Append(ctx, connect.NewRequest(stale))
			require.Equal(t, "1", detailOf(t, err, connect.CodeFailedPrecondition).GetCurrentPosition())
			other := appendOne(name, 0)
			other.Rows = jsonRows(99)
			_, err = c.Append(ctx, connect.NewRequest(other))
			require.Equal(t, eowriterv1.Reason_REASON_CONFLICT, detailOf(t, err, connect.CodeAlreadyExists).GetReason())
			bad := appendOne(name, 1)
			bad.Rows = &eowriterv1.Rows{Kind: &eowriterv1.Rows_Json{Json: &eowriterv1.JSONRows{Objects: [][]byte{[]byte(`{"x": 1}`)}}}}
			_, err = c.Append(ctx, connect.NewRequest(bad))
			require.Equal(t, "x", detailOf(t, err, connect.CodeInvalidArgument).GetRows()[0].GetColumn())
			_, err = c.Append(ctx, connect.NewRequest(&eowriterv1.AppendRequest{Table: "p.d.t", Partition: name, Position: "x"}))
			require.Equal(t, eowriterv1.Reason_REASON_INVALID, detailOf(t, err, connect.CodeInvalidArgument).GetReason())
			nowhere := appendOne(name, 0)
			nowhere.Table = "p.d.nope"
			_, err = c.Append(ctx, connect.NewRequest(nowhere))
			require.Equal(t, eowriterv1.Reason_REASON_NO_TABLE, detailOf(t, err, connect.CodeNotFound).GetReason())

			p, err := c.GetPartition(ctx, connect.NewRequest(&eowriterv1.GetPartitionRequest{Table: "p.d.t", Partition: name}))
			require.NoError(t, err)
			require.Equal(t, "1", p.Msg.GetPartition().GetPosition())
			drained, err := c.Drain(ctx, connect.NewRequest(&eowriterv1.DrainRequest{Table: "p.d.t"}))
			require.NoError(t, err)
			require.Empty(t, drained.Msg.GetRemaining())
		})
	}
	all, err := g.writer().ListPartitions(context.Background(), connect.NewRequest(&eowriterv1.ListPartitionsRequest{Table: "p.d.t"}))
	require.NoError(t, err)
	require.Len(t, all.Msg.GetPartitions(), 5)
}

// If it fails, a producer that doesn't wait between appends gets answers of other appends, or none.
func TestAppendStream(t *testing.T) {
	g := newRig(t, nil)
	for _, opts := range [][]connect.ClientOption{nil, {connect.WithGRPC()}} {
		name := "p" + strconv.Itoa(len(opts))
		s := g.writer(opts...).AppendStream(context.Background())
		const n = 200
		sent := make(chan error, 1)
		go func() {
			for i := range n {
				a := appendOne(name, i)
				if i > 0 {
					a.Table, a.Partition = "", ""
				}
				if i == 100 {
					a.Position = "elsewhere" // those behind it expect another one
				}
				if err := s.Send(&eowriterv1.AppendStreamRequest{Append: a}); err != nil {
					sent <- err
					return
				}
			}
			sent <- s.CloseRequest()
		}()
		for i := range n {
			r, err := s.Receive()
			require.NoError(t, err)
			switch {
			case i < 100:
				require.Equal(t, strconv.Itoa(i+1), r.GetResponse().GetPosition(), "%v", r)
			case i == 100:
				require.Equal(t, "elsewhere", r.GetResponse().GetPosition())
			default:
				require.Equal(t, eowriterv1.Reason_REASON_POSITION, r.GetError().GetReason(), "answer %d: %v", i, r)
				require.Equal(t, "elsewhere", r.GetError().GetCurrentPosition())
			}
		}
		_, err := s.Receive()
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, <-sent)
		require.NoError(t, s.CloseResponse())
	}
	var want []int64
	for i := range 101 {
		want = append(want, int64(i))
	}
	require.Equal(t, append(want, want...), g.numbers())
}

// If it fails, a stream whose rows don't land takes memory without bounds, or its appends are refused instead of waiting.
func TestAppendStreamWaits(t *testing.T) {
	g := newRig(t, func(opt *Options) { opt.StreamAppends = 3; opt.Ingest.PartitionAppends = 4 })
	c := g.writer()
	_, err := c.Append(context.Background(), connect.NewRequest(appendOne("a", 0)))
	require.NoError(t, err)
	g.stall()
	s := c.AppendStream(context.Background())
	for i := 1; i <= 20; i++ {
		require.NoError(t, s.Send(&eowriterv1.AppendStreamRequest{Append: appendOne("a", i)})) // the transport takes so many
	}
	state := func() *eowriterv1.Partition {
		p, err := c.GetPartition(context.Background(), connect.NewRequest(&eowriterv1.GetPartitionRequest{Table: "p.d.t", Partition: "a"}))
		require.NoError(t, err)
		return p.Msg.GetPartition()
	}
	require.Eventually(t, func() bool { p := state(); return p.QueuedAppends+p.OpenAppends == 4 }, 30*time.Second, time.Millisecond)
	g.letGo()
	for i := 1; i <= 20; i++ {
		r, err := s.Receive()
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(i+1), r.GetResponse().GetPosition(), "%v", r)
	}
	require.NoError(t, s.CloseRequest())
	_, err = s.Receive()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, s.CloseResponse())
	require.Len(t, g.numbers(), 21)
}

// If it fails, what a stream had sent when it broke is lost, or the producer can't find out what became of it.
func TestAppendStreamBreaks(t *testing.T) {
	g := newRig(t, nil)
	c := g.writer()
	ctx, cancel := context.WithCancel(context.Background())
	s := c.AppendStream(ctx)
	for i := range 50 {
		require.NoError(t, s.Send(&eowriterv1.AppendStreamRequest{Append: appendOne("a", i)}))
	}
	_, err := s.Receive()
	require.NoError(t, err)
	cancel()
	_, _ = s.Receive()
	// Ask, and go on.
	p, err := c.GetPartition(context.Background(), connect.NewRequest(&eowriterv1.GetPartitionRequest{Table: "p.d.t", Partition: "a"}))
	require.NoError(t, err)
	for at, _ := strconv.Atoi(p.Msg.GetPartition().GetPosition()); at < 60; at++ {
		_, err := c.Append(context.Background(), connect.NewRequest(appendOne("a", at)))
		if e := new(connect.Error); errors.As(err, &e) && e.Code() == connect.CodeFailedPrecondition {
			// What the stream had read before it broke was accepted after the question.
			at, _ = strconv.Atoi(detailOf(t, err, connect.CodeFailedPrecondition).GetCurrentPosition())
			at--
			continue
		}
		require.NoError(t, err)
	}
	var want []int64
	for i := range 60 {
		want = append(want, int64(i))
	}
	require.Equal(t, want, g.numbers())
}

// If it fails, serialized messages land wrong, or a stream needs its descriptor with every request.
func TestProtoRows(t *testing.T) {
	g := newRig(t, nil)
	s := g.writer(connect.WithGRPC()).AppendStream(context.Background())
	d := &descriptorpb.DescriptorProto{Name: proto.String("Row"), Field: []*descriptorpb.FieldDescriptorProto{{
		Name: proto.String("n"), Number: proto.Int32(5), Type: descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_REQUIRED.Enum(),
	}}}
	for i := range 3 {
		row := protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.VarintType), uint64(i))
		a := appendOne("a", i)
		a.Rows = &eowriterv1.Rows{Kind: &eowriterv1.Rows_Proto{Proto: &eowriterv1.ProtoRows{Descriptor_: d, Messages: [][]byte{row}}}}
		require.NoError(t, s.Send(&eowriterv1.AppendStreamRequest{Append: a}))
		d = nil
		r, err := s.Receive()
		require.NoError(t, err)
		require.Nil(t, r.GetError(), "%v", r)
	}
	require.NoError(t, s.CloseRequest())
	_, err := s.Receive()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, s.CloseResponse())
	require.Equal(t, []int64{0, 1, 2}, g.numbers())
	a := appendOne("b", 0)
	a.Rows = &eowriterv1.Rows{Kind: &eowriterv1.Rows_Proto{Proto: &eowriterv1.ProtoRows{Messages: [][]byte{{}}}}}
	_, err = g.writer().Append(context.Background(), connect.NewRequest(a))
	require.Contains(t, detailOf(t, err, connect.CodeInvalidArgument).GetMessage(), "no descriptor")
}

// If it fails, whoever watches sees old states, or all of them every time.
func TestWatchPartitions(t *testing.T) {
	g := newRig(t, nil)
	c := g.writer()
	_, err := c.Append(context.Background(), connect.NewRequest(appendOne("a", 0)))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	w, err := c.WatchPartitions(ctx, connect.NewRequest(&eowriterv1.WatchPartitionsRequest{Interval: durationpb.New(time.Nanosecond)}))
	require.NoError(t, err)
	require.True(t, w.Receive())
	require.Len(t, w.Msg().GetPartitions(), 1)
	_, err = c.Append(context.Background(), connect.NewRequest(appendOne("b", 0)))
	require.NoError(t, err)
	for found := false; !found; {
		require.True(t, w.Receive())
		for _, p := range w.Msg().GetPartitions() {
			found = found || p.GetPartition() == "b" && p.GetLandedPosition() == "1"
		}
	}
	cancel()
	for w.Receive() {
	}
	require.NoError(t, w.Close())
}

// If it fails, a caller with a deadline is not told what is left.
func TestDrainInTime(t *testing.T) {
	g := newRig(t, nil)
	c := g.writer()
	_, err := c.Append(context.Background(), connect.NewRequest(appendOne("a", 0)))
	require.NoError(t, err)
	g.stall()
	a := appendOne("a", 1)
	a.Acknowledge = eowriterv1.Acknowledge_ACKNOWLEDGE_STORED
	_, err = c.Append(context.Background(), connect.NewRequest(a))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	left, err := c.Drain(ctx, connect.NewRequest(&eowriterv1.DrainRequest{}))
	require.NoError(t, err)
	require.Len(t, left.Msg.GetRemaining(), 1)
	require.EqualValues(t, 1, left.Msg.GetRemaining()[0].GetOpenAppends())
	g.letGo()
	left, err = c.Drain(context.Background(), connect.NewRequest(&eowriterv1.DrainRequest{Table: "p.d.t", Partition: "a"}))
	require.NoError(t, err)
	require.Empty(t, left.Msg.GetRemaining())
}
