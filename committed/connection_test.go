package committed_test

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// eventually waits for something that nothing tells of.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 10*time.Second, time.Millisecond, what)
}

// If it fails, unused connections are kept for ever (there is a quota), or a
// partition that let go of its own can't get another.
func TestIdleConnectionIsLetGo(t *testing.T) {
	b := newBench(t, committed.Options{IdleTimeout: 50 * time.Millisecond}, emulator.Options{})
	p := b.partition("a", true)
	for i := range int64(3) {
		b.requireLanded(b.append(p, i, i+1))
		eventually(t, "the connection is let go", func() bool { return b.srv.Stats().Calls == 0 })
	}
	b.requireRows(30)
	require.GreaterOrEqual(t, b.srv.Stats().CallsEver, int64(3))
	require.Empty(t, b.take().waits, "idleness is normal life")
	require.EqualValues(t, 1, b.srv.Stats().Creates)
}

// If it fails, the service's own idle close (case 88) is reported as trouble, or costs a backoff.
func TestServiceClosesAnIdleConnection(t *testing.T) {
	b := newBench(t, committed.Options{Backoff: slow()}, emulator.Options{IdleTimeout: 200 * time.Millisecond})
	p := b.partition("a", true)
	for i := range int64(3) {
		b.requireLanded(b.append(p, i, i+1))
		eventually(t, "the service closes", func() bool { return b.srv.Stats().Calls == 0 })
	}
	b.requireRows(30)
	require.Empty(t, b.take().waits)
	require.NoError(t, p.Err())
}

// If it fails, a service that says nothing any more (half-open) is waited for without end.
func TestAnswerIsOverdue(t *testing.T) {
	b := newBench(t, committed.Options{AnswerTimeout: 60 * time.Millisecond}, emulator.Options{
		Faults: []emulator.Fault{
			{Kind: emulator.Stall, Count: 1},           // the probe
			{Kind: emulator.Stall, After: 3, Count: 2}, // appends
		},
	})
	p := b.partition("a", false)
	b.requireLanded(b.append(p, 0, 10))
	b.requireRows(100)
	require.EqualValues(t, 3, b.srv.FaultCounts()[string(emulator.Stall)])
	require.GreaterOrEqual(t, len(b.take().waits), 3)
}

// If it fails, a stream without traffic expires at the service, with its end unprovable.
func TestStreamWithoutTrafficIsReplaced(t *testing.T) {
	b := newBench(t, committed.Options{StreamAge: 100 * time.Millisecond, IdleTimeout: 20 * time.Millisecond}, emulator.Options{})
	p := b.partition("a", true)
	b.requireLanded(b.append(p, 0, 3))
	eventually(t, "the stream is replaced twice", func() bool { return b.srv.Stats().Finalizes >= 2 })
	b.requireLanded(b.append(p, 3, 5))
	b.requireRows(50)
	for _, s := range b.take().seals {
		require.Equal(t, ledger.Aging, s.Reason)
	}
	require.NoError(t, p.Close(b.ctx()))

	// A start finds one that became too old while nobody looked.
	b.close()
	b.opt.StreamAge = time.Millisecond
	before := len(b.srv.Streams(table))
	b.open()
	b.partition("a", true)
	eventually(t, "the stream is replaced", func() bool { return len(b.srv.Streams(table)) > before })
	b.opt.StreamAge = 0
	b.reopen()
	b.requireLanded(b.append(b.partition("a", true), 5, 6))
	b.requireRows(60)
}

// If it fails, nothing can be written outside the US (case 92).
func TestRoutingHeader(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{RequireRouting: true, Location: "europe-west1"})
	b.requireLanded(b.append(b.partition("a", true), 0, 3))
	b.requireRows(30)
}

// If it fails, refused creations hammer the service, end the opening, or are not told.
func TestCreateIsRefusedForAWhile(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{Faults: []emulator.Fault{
		{Kind: emulator.RefuseCreate, Count: 4}, {Kind: emulator.CreateLost, Count: 2},
	}})
	b.requireLanded(b.append(b.partition("a", true), 0, 3))
	got := b.take()
	require.Equal(t, []recovery.WaitKind{recovery.Backoff, recovery.Backoff, recovery.Backoff, recovery.Backoff, recovery.Backoff, recovery.Backoff}, got.waits)
	require.IsNonDecreasing(t, got.delays)
	require.Less(t, got.delays[0], got.delays[5])
	require.Equal(t, 1, got.created)
	require.EqualValues(t, 7, b.srv.Stats().Creates)
	require.Len(t, b.srv.Streams(table)[1:], 3, "the streams whose names were lost are empty")
	b.requireRows(30)
}

// If it fails, opening many partitions exceeds the service's rate of creations.
func TestCreateRate(t *testing.T) {
	b := newBench(t, committed.Options{CreateRate: 50, CreateBurst: 5}, emulator.Options{})
	before := time.Now()
	var all sync.WaitGroup
	for i := range 15 {
		all.Go(func() {
			if _, err := b.w.Partition(b.ctx(), b.config(fmt.Sprint(i), true)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.GreaterOrEqual(t, time.Since(before), 10*time.Second/50)
}

// If it fails, a MaxElapsed in the caller's policy makes partitions give up or try without pause.
func TestBackoffWithoutEnd(t *testing.T) {
	opt := committed.Options{}
	opt.Backoff.Initial, opt.Backoff.Max, opt.Backoff.MaxElapsed = time.Millisecond, 5*time.Millisecond, time.Millisecond
	b := newBench(t, opt, emulator.Options{Faults: []emulator.Fault{{Kind: emulator.RefuseCreate, Count: 20}}})
	b.requireLanded(b.append(b.partition("a", true), 0, 1))
	got := b.take()
	require.Len(t, got.delays, 20)
	for _, d := range got.delays {
		require.Positive(t, d)
	}
}

// spy hears the requests that a client sends.
type spy struct {
	grpc.ClientStream
	heard func(*storagepb.AppendRowsRequest)
}

func (s spy) SendMsg(m any) error {
	if req, ok := m.(*storagepb.AppendRowsRequest); ok {
		s.heard(req)
	}
	return s.ClientStream.SendMsg(m)
}

// If it fails, support can't tell from a trace which ledger and partition an append
// came from, or a connection's first request lacks what only it may carry.
func TestFirstRequestAndTrace(t *testing.T) {
	var mu sync.Mutex
	var requests []*storagepb.AppendRowsRequest
	listen := func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		cs, err := next(ctx, desc, cc, method, opts...)
		return spy{cs, func(req *storagepb.AppendRowsRequest) {
			mu.Lock()
			defer mu.Unlock()
			requests = append(requests, req)
		}}, err
	}
	b := newBench(t, committed.Options{}, emulator.Options{})
	b.close()
	b.opt.ClientOptions = append(b.opt.ClientOptions, option.WithGRPCDialOption(grpc.WithChainStreamInterceptor(listen)))
	b.open()
	p := b.partition("orders 0", true)
	b.requireLanded(b.append(p, 0, 3))
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, requests, 4)
	first := requests[0]
	require.Regexp(t, regexp.MustCompile(`(^| )`+regexp.QuoteMeta("eowriter:"+b.led.ID()+":orders 0:1")+`$`), first.GetTraceId())
	require.Equal(t, b.stream(0).Name, first.GetWriteStream())
	require.NotNil(t, first.GetProtoRows().GetWriterSchema())
	require.EqualValues(t, 1<<62, first.GetOffset().GetValue(), "the probe comes first")
	for i, req := range requests[1:] {
		require.EqualValues(t, i*10, req.GetOffset().GetValue())
		require.Nil(t, req.GetProtoRows().GetWriterSchema())
	}
}

// If it fails, a connection of the caller's, past our interceptors, looks like working.
func TestWithGRPCConnIsRefused(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	conn, err := grpc.NewClient(b.srv.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	b.close()
	kept := b.opt.ClientOptions
	b.opt.ClientOptions = []option.ClientOption{option.WithGRPCConn(conn)}
	b.led, err = ledger.Open(b.path, &ledger.Options{SegmentBytes: 1 << 20})
	require.NoError(t, err)
	w, err := committed.Open(b.ctx(), b.led, b.opt)
	if err == nil {
		b.w = w
		_, err = w.Partition(b.ctx(), b.config("a", true))
		require.ErrorIs(t, err, committed.ErrBlocked)
	}
	require.ErrorContains(t, err, "WithGRPCConn is not supported")
	require.NoError(t, b.led.Close())
	b.opt.ClientOptions = kept
	b.open()
}
