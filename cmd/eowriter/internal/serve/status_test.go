package serve

import (
	"context"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1/eowriterv1connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (g *rig) status() eowriterv1connect.StatusClient {
	return eowriterv1connect.NewStatusClient(g.client(true), "http://localhost")
}

// describe asks until the description is as ok says.
func (g *rig) describe(partition string, ok func(*eowriterv1.DescribePartitionResponse) bool) (d *eowriterv1.DescribePartitionResponse) {
	g.t.Helper()
	c := g.status()
	require.Eventually(g.t, func() bool {
		r, err := c.DescribePartition(context.Background(), connect.NewRequest(&eowriterv1.DescribePartitionRequest{Table: "p.d.t", Partition: partition}))
		if err != nil {
			return false
		}
		d = r.Msg
		return ok(d)
	}, time.Minute, 10*time.Millisecond)
	return d
}

// What an operator is told must be what has happened: if it fails, the page and the terminal show something else.
func TestStatus(t *testing.T) {
	g := newRig(t, nil)
	ctx := context.Background()
	for n := range 3 {
		_, err := g.writer().Append(ctx, connect.NewRequest(appendOne("a", n)))
		require.NoError(t, err)
	}
	r, err := g.status().GetStatus(ctx, connect.NewRequest(&eowriterv1.GetStatusRequest{}))
	require.NoError(t, err)
	require.Equal(t, int64(3), r.Msg.Totals.Rows)
	require.Len(t, r.Msg.Totals.States, 1)
	require.Equal(t, eowriterv1.State_STATE_OPEN, r.Msg.Totals.States[0].State)
	require.Empty(t, r.Msg.Totals.Attention)
	require.Equal(t, int32(1), r.Msg.Room.Partitions)
	require.Equal(t, g.opt.Ingest.TotalBytes, r.Msg.Room.MaxBytes)
	require.False(t, r.Msg.Started.AsTime().After(r.Msg.Now.AsTime()))

	p := r.Msg.Pace
	require.Positive(t, p.RowsPerSecond)
	require.Positive(t, p.AppendsPerSecond)
	require.Positive(t, p.LandedP50.AsDuration())
	require.GreaterOrEqual(t, p.LandedP99.AsDuration(), p.LandedP50.AsDuration())
	require.NotEmpty(t, p.Steps)

	l := r.Msg.Ledger
	require.Equal(t, g.opt.Ledger, l.Path)
	require.Equal(t, int64(1), l.Incarnation)
	require.Empty(t, l.Error)
	require.Positive(t, l.FileBytes-l.FreeBytes)
	require.Positive(t, l.CommitP50.AsDuration())
	require.NotNil(t, l.LastCommit)

	_, err = g.status().DescribePartition(ctx, connect.NewRequest(&eowriterv1.DescribePartitionRequest{Table: "p.d.t", Partition: "none"}))
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
	_, err = g.status().FindPartitions(ctx, connect.NewRequest(&eowriterv1.FindPartitionsRequest{Offset: -1}))
	require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))
}

// If it fails, whoever looks at a partition that hangs sees nothing of what it holds, or takes stored batches for sent ones.
func TestDescribe(t *testing.T) {
	g := newRig(t, nil)
	ctx := context.Background()
	_, err := g.writer().Append(ctx, connect.NewRequest(appendOne("a", 0)))
	require.NoError(t, err)
	g.stall()
	for n := 1; n < 4; n++ {
		a := appendOne("a", n)
		a.Acknowledge = eowriterv1.Acknowledge_ACKNOWLEDGE_STORED
		_, err := g.writer().Append(ctx, connect.NewRequest(a))
		require.NoError(t, err)
	}
	d := g.describe("a", func(d *eowriterv1.DescribePartitionResponse) bool {
		return len(d.Open) > 0 && d.Open[len(d.Open)-1].State == eowriterv1.BatchState_BATCH_STATE_SENT
	})
	require.Equal(t, int(d.AllOpen), len(d.Open))
	require.Equal(t, "1", d.Open[0].Before)
	last := d.Open[len(d.Open)-1]
	require.Equal(t, "4", last.After)
	require.Equal(t, []int64{1, 4}, []int64{d.Open[0].Start, last.End})
	for _, b := range d.Open {
		require.Positive(t, b.Bytes)
		require.NotNil(t, b.Since, "batch %d", b.Number)
		require.WithinDuration(t, time.Now(), b.Since.AsTime(), time.Minute)
	}
	require.Equal(t, eowriterv1.State_STATE_OPEN, d.Status.Partition.State)
	g.letGo()
	d = g.describe("a", func(d *eowriterv1.DescribePartitionResponse) bool { return len(d.Open) == 0 })
	require.Equal(t, int64(4), d.Status.Partition.Rows)
}

// partitions are some, ordered by table and name, as they are to be found.
func partitionsToFind() []*eowriterv1.PartitionStatus {
	at := func(s int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Seconds: s} }
	return []*eowriterv1.PartitionStatus{
		{Partition: &eowriterv1.Partition{Table: "p.d.a", Partition: "x", State: eowriterv1.State_STATE_OPEN, Oldest: at(200), Stream: "a/streams/Cg1234"}, RowsPerSecond: 5},
		{Partition: &eowriterv1.Partition{Table: "p.d.a", Partition: "Y", State: eowriterv1.State_STATE_IDLE}},
		{Partition: &eowriterv1.Partition{Table: "p.d.b", Partition: "h", State: eowriterv1.State_STATE_HALTED, Error: "Table is gone", Oldest: at(100)},
			Attention: eowriterv1.Attention_ATTENTION_IN_DOUBT},
		{Partition: &eowriterv1.Partition{Table: "p.d.b", Partition: "w", State: eowriterv1.State_STATE_WAITING, Position: "at-7"},
			Attention: eowriterv1.Attention_ATTENTION_WAITING, RowsPerSecond: 1},
		{Partition: &eowriterv1.Partition{Table: "p.d.b", Partition: "x", State: eowriterv1.State_STATE_OPEN, Acked: 9, Oldest: at(300)}},
	}
}

// If it fails, an operator who filters or sorts doesn't see what is wrong.
func TestFind(t *testing.T) {
	for name, c := range map[string]struct {
		req  *eowriterv1.FindPartitionsRequest
		want string
	}{
		"what needs a person first": {&eowriterv1.FindPartitionsRequest{}, "b/h b/w a/Y a/x b/x"},
		"by name":                   {&eowriterv1.FindPartitionsRequest{Order: eowriterv1.Order_ORDER_PARTITION}, "a/Y b/h b/w a/x b/x"},
		"by name, the other way":    {&eowriterv1.FindPartitionsRequest{Order: eowriterv1.Order_ORDER_PARTITION, Descending: true}, "a/x b/x b/w b/h a/Y"},
		"the oldest first":          {&eowriterv1.FindPartitionsRequest{Order: eowriterv1.Order_ORDER_AGE, Descending: true}, "b/h a/x b/x a/Y b/w"},
		"the fastest first":         {&eowriterv1.FindPartitionsRequest{Order: eowriterv1.Order_ORDER_RATE, Descending: true}, "a/x b/w a/Y b/h b/x"},
		"by something newer":        {&eowriterv1.FindPartitionsRequest{Order: 99}, "b/h b/w a/Y a/x b/x"},
		"of a state":                {&eowriterv1.FindPartitionsRequest{States: []eowriterv1.State{eowriterv1.State_STATE_OPEN}}, "a/x b/x"},
		"needing a person":          {&eowriterv1.FindPartitionsRequest{Attention: true}, "b/h b/w"},
		"by a name":                 {&eowriterv1.FindPartitionsRequest{Text: "y"}, "a/Y"},
		"by a table":                {&eowriterv1.FindPartitionsRequest{Text: "D.B"}, "b/h b/w b/x"},
		"by an error":               {&eowriterv1.FindPartitionsRequest{Text: "table is"}, "b/h"},
		"by a stream":               {&eowriterv1.FindPartitionsRequest{Text: "streams/Cg123"}, "a/x"},
		"not by a bit of it":        {&eowriterv1.FindPartitionsRequest{Text: "Cg123"}, ""},
		"by a position":             {&eowriterv1.FindPartitionsRequest{Text: "at-7"}, "b/w"},
		"a page":                    {&eowriterv1.FindPartitionsRequest{Offset: 1, Limit: 2}, "b/w a/Y"},
		"beyond the end":            {&eowriterv1.FindPartitionsRequest{Offset: 9}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range pageOf(find(partitionsToFind(), c.req), c.req) {
				got = append(got, strings.TrimPrefix(s.Partition.Table, "p.d.")+"/"+s.Partition.Partition)
			}
			require.Equal(t, c.want, strings.Join(got, " "))
		})
	}
	for order := range eowriterv1.Order_name {
		require.NotNil(t, orders[eowriterv1.Order(order)], "order %d", order)
	}
}

// If it fails, nobody can tell from the page which program runs.
func TestBuild(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1", Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"},
	}}
	require.Equal(t, "abc", buildOf(info, true).Commit)
	require.True(t, buildOf(info, true).Modified)
	require.Empty(t, buildOf(nil, false).Version)
}
