package emulator

import (
	"cmp"
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"pgregory.net/rapid"
)

// Each kind of fault once: what the client sees, what is written, and that it is counted. If it failed, a scenario
// that names the fault would prove nothing.
func TestFaultKinds(t *testing.T) {
	type outcome struct {
		code      codes.Code
		ends      bool // the RPC ends, instead of an in-response error
		applied   bool
		storage   storageCode
		connected bool // the TCP connection lives on
	}
	injected := func(text string) Fault {
		f, err := ParseFault(text)
		require.NoError(t, err)
		return f
	}
	cases := []struct {
		fault Fault
		want  outcome
	}{
		{Fault{Kind: CloseBefore}, outcome{codes.Unavailable, true, false, 0, true}},
		{Fault{Kind: CloseAfter}, outcome{codes.Unavailable, true, true, 0, true}},
		{injected("close-after:code=INTERNAL,message=Received Rst Stream"), outcome{codes.Internal, true, true, 0, true}},
		{Fault{Kind: ErrorBefore}, outcome{codes.Internal, false, false, 0, true}},
		{injected("error:code=INVALID_ARGUMENT,storage=STREAM_FINALIZED"), outcome{codes.InvalidArgument, false, false, sealed, true}},
		{Fault{Kind: ErrorAfter}, outcome{codes.Internal, false, true, 0, true}},
		{Fault{Kind: Abort}, outcome{codes.Aborted, true, false, 0, true}},
		{injected("abort:code=NOT_FOUND,storage=STREAM_NOT_FOUND,message=gone, for good"), outcome{codes.NotFound, true, false, noStream, true}},
		{Fault{Kind: ResetBefore}, outcome{codes.Unavailable, true, false, 0, false}},
		{Fault{Kind: ResetAfter}, outcome{codes.Unavailable, true, true, 0, false}},
		{Fault{Kind: ResetAfter, All: true}, outcome{codes.Unavailable, true, true, 0, false}},
		{Fault{Kind: GoAwayBefore}, outcome{codes.Unavailable, true, false, 0, false}},
		{Fault{Kind: GoAwayAfter}, outcome{codes.Unavailable, true, true, 0, false}},
		{Fault{Kind: Finalize}, outcome{codes.InvalidArgument, false, false, sealed, true}},
		{Fault{Kind: Expire}, outcome{codes.NotFound, true, false, noStream, true}},
		{Fault{Kind: DropConnect}, outcome{codes.Unavailable, true, false, 0, true}},
	}
	for _, c := range cases {
		t.Run(c.fault.String(), func(t *testing.T) {
			b := newBench(t, Options{})
			name := b.create()
			c.fault.Count = 1
			c.fault.Stream = name
			b.srv.Inject(c.fault)
			call := b.open(name)
			call.send(0, orderRows(0, 2))
			if c.want.ends {
				require.Equal(t, c.want.storage, storageOf(call.ends(c.want.code)))
			} else {
				call.wantError(call.recv(), c.want.code, c.want.storage)
			}
			want := int64(0)
			if c.want.applied {
				want = 2
			}
			require.Equal(t, want, b.end(name))
			require.Equal(t, map[string]int64{string(c.fault.Kind): 1}, b.srv.FaultCounts())
			if !c.want.connected {
				waitFor(t, "the old connection lives", func() bool { return b.srv.Stats().Connections == 0 })
			}
			if c.fault.Kind != Expire && c.fault.Kind != Finalize {
				b.open(name).ok(want, orderRows(want, 1), want)
			}
			if !c.want.connected {
				require.Equal(t, int64(2), b.srv.Stats().ConnectionsEver)
			}
		})
	}
}

// If this failed, a lost answer of a unary call could not be staged, or would not have happened.
func TestFaultsOfUnaryCalls(t *testing.T) {
	b := newBench(t, Options{Faults: []Fault{{Kind: CreateLost, Count: 1}, {Kind: FinalizeLost, Count: 1}}})
	_, err := b.client.CreateWriteStream(b.context(), createRequest(orders))
	require.Equal(t, codes.Unavailable, status.Code(err))
	streams := b.srv.Streams(orders)
	require.Len(t, streams, 2) // the default stream, and the one whose name nobody knows
	require.True(t, streams[0].Default)

	_, err = b.client.FinalizeWriteStream(b.context(), &storagepb.FinalizeWriteStreamRequest{Name: streams[1].Name})
	require.Equal(t, codes.Unavailable, status.Code(err))
	info, ok := b.srv.Stream(streams[1].Name)
	require.True(t, ok)
	require.True(t, info.Finalized)
	require.Equal(t, int64(1), b.srv.Stats().Finalizes)
}

// If this failed, After, Every and Count would not mean what they say.
func TestFaultCounting(t *testing.T) {
	b := newBench(t, Options{})
	b.srv.Inject(Fault{Kind: ErrorBefore, After: 3, Every: 2, Count: 2})
	c := b.open(defaultOf)
	var failed []int
	for i := 1; i <= 12; i++ {
		if c.append(noOffset, orderRows(0, 1)).GetError() != nil {
			failed = append(failed, i)
		}
	}
	require.Equal(t, []int{5, 7}, failed)
	b.srv.Inject(Fault{Kind: ErrorBefore, Table: orders + "x"})
	require.Nil(t, c.append(noOffset, orderRows(0, 1)).GetError())
	b.srv.Inject(Fault{Kind: ErrorBefore, Table: orders})
	require.NotNil(t, c.append(noOffset, orderRows(0, 1)).GetError())
	b.srv.ClearFaults()
	require.Nil(t, c.append(noOffset, orderRows(0, 1)).GetError())
	require.Panics(t, func() { b.srv.Inject(Fault{Kind: "nonsense"}) })
	_, err := Start(Options{Faults: []Fault{{Kind: Stall, Delay: -1}}})
	require.Error(t, err)
}

// If this failed, a run could not be replayed from its seed: one stream's faults must not depend on what the others do.
func TestFaultsReplayPerStream(t *testing.T) {
	history := func(seed uint64, noise int) string {
		b := newBench(t, Options{Seed: seed, Faults: []Fault{{Kind: ErrorBefore, Probability: 0.3}}})
		c, other := b.open(b.create()), b.open(defaultOf)
		var h strings.Builder
		for i := range 60 {
			for range noise * i % 3 {
				other.append(noOffset, orderRows(0, 1))
			}
			if c.append(noOffset, orderRows(0, 1)).GetError() != nil {
				h.WriteByte('x')
			} else {
				h.WriteByte('.')
			}
		}
		return h.String()
	}
	want := history(7, 0)
	require.Equal(t, want, history(7, 1))
	require.NotEqual(t, want, history(8, 0))
	require.InDelta(t, 18, strings.Count(want, "x"), 12)
}

// If this failed, a lost CreateWriteStream or FinalizeWriteStream would hit another stream in each run of a seed: their
// faults must not depend on the calls for other tables and streams either.
func TestFaultsOfUnaryCallsReplayPerStream(t *testing.T) {
	other := orders + "2"
	history := func(noise int) string {
		b := newBench(t, Options{
			Seed: 7, Tables: map[string]*storagepb.TableSchema{orders: ordersSchema(), other: ordersSchema()},
			Faults: []Fault{{Kind: RefuseCreate, Probability: 0.3}, {Kind: FinalizeLost, Probability: 0.3}},
		})
		var h strings.Builder
		note := func(err error) {
			if err != nil {
				h.WriteByte('x')
			} else {
				h.WriteByte('.')
			}
		}
		for i := range 40 {
			for range noise * i % 3 {
				if w, err := b.client.CreateWriteStream(b.context(), createRequest(other)); err == nil {
					_, _ = b.client.FinalizeWriteStream(b.context(), &storagepb.FinalizeWriteStreamRequest{Name: w.GetName()})
				}
			}
			w, err := b.client.CreateWriteStream(b.context(), createRequest(orders))
			note(err)
			if err == nil {
				_, err = b.client.FinalizeWriteStream(b.context(), &storagepb.FinalizeWriteStreamRequest{Name: w.GetName()})
				note(err)
			}
		}
		return h.String()
	}
	want := history(0)
	require.Equal(t, want, history(1))
	require.InDelta(t, 20, strings.Count(want, "x"), 15)
}

// If this failed, a writer's bound on silence could not be tested: a stall must hold the answer for its delay, and
// without one until the connection ends, applying nothing.
func TestStall(t *testing.T) {
	b := newBench(t, Options{})
	name := b.create()
	b.srv.Inject(Fault{Kind: Stall, Delay: 50 * time.Millisecond, Count: 1})
	begin := time.Now()
	b.open(name).ok(0, orderRows(0, 1), 0)
	require.GreaterOrEqual(t, time.Since(begin), 50*time.Millisecond)

	b.srv.Inject(Fault{Kind: Stall, Count: 1})
	c := b.open(name)
	c.send(1, orderRows(1, 1))
	waitFor(t, "no stall", func() bool { return b.srv.FaultCounts()["stall"] == 2 })
	young := b.open(name) // newest wins also over a stalled connection, whose request is dropped
	young.ok(1, orderRows(1, 2), 1)
	c.ends(codes.Aborted)
	require.Equal(t, []int64{0, 1, 2}, b.ids())
}

// If this failed, OnAppend and OnAnswer could not serve as an oracle's witnesses.
func TestOnAppend(t *testing.T) {
	var seen, answered []Request
	var answers []codes.Code
	b := newBench(t, Options{OnAppend: func(r Request) { seen = append(seen, r) },
		OnAnswer: func(r Request, resp *storagepb.AppendRowsResponse, err error) {
			answered = append(answered, r)
			answers = append(answers, cmp.Or(status.Code(err), codes.Code(resp.GetError().GetCode())))
		},
	})
	c := b.open(b.create())
	c.ok(0, orderRows(0, 2), 0)
	c.ok(noOffset, orderRows(2, 1), 2)
	c.append(9, orderRows(2, 1))
	size := int64(len(order(0, "x")))
	require.Equal(t, []Request{
		{c.stream, orders, 0, 2, 2 * size}, {c.stream, orders, -1, 1, size}, {c.stream, orders, 9, 1, size},
	}, seen)
	b.srv.Inject(Fault{Kind: CloseAfter})
	c.send(3, orderRows(3, 1))
	c.ends(codes.Unavailable)
	require.Equal(t, seen, answered)
	require.Equal(t, []codes.Code{codes.OK, codes.OK, codes.OutOfRange, codes.Unavailable}, answers)
	stats := b.srv.Stats()
	require.Equal(t, int64(4), stats.Appends)
	require.Equal(t, int64(4), stats.Rows)
	require.Equal(t, 4*size, stats.Bytes)
}

// If this failed, a foreign writer could not be staged.
func TestAppendForeign(t *testing.T) {
	b := newBench(t, Options{})
	c := b.open(b.create())
	c.ok(0, orderRows(0, 2), 0)
	at, err := b.srv.AppendForeign(c.stream, orderRows(100, 3))
	require.NoError(t, err)
	require.Equal(t, int64(2), at)
	c.refused(2, orderRows(2, 1), codes.AlreadyExists, exists)
	require.Equal(t, []int64{0, 1, 100, 101, 102}, b.ids())
}

// case-88 with its real duration, on a virtual clock and a listener in memory: if it failed, suites in synctest could
// not use the emulator.
func TestIdleCloseInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := bufconn.Listen(1 << 20)
		srv, err := Start(Options{Listener: l, Tables: map[string]*storagepb.TableSchema{orders: ordersSchema()}})
		require.NoError(t, err)
		defer srv.Close()
		ctx := context.Background()
		client, closeClient := googleClient(t, srv)
		defer closeClient()
		w, err := client.CreateWriteStream(ctx, createRequest(orders))
		require.NoError(t, err)
		rpc, err := client.AppendRows(ctx)
		require.NoError(t, err)
		c := &call{bench: &bench{T: t, srv: srv}, rpc: rpc, stream: w.GetName(), desc: ordersDescriptor()}
		c.ok(0, orderRows(0, 1), 0)
		time.Sleep(599 * time.Second)
		c.ok(1, orderRows(1, 1), 1)
		begin := time.Now()
		require.Equal(t, "Closing the stream because it has been inactive for 600 seconds. Entity: "+w.GetName(), c.ends(codes.Aborted).Message())
		require.Equal(t, 600*time.Second, time.Since(begin))
	})
}

// If this failed, rows would be lost or doubled by the emulator itself, and every proof that leans on it would be
// wrong: whatever is sent to a stream in whatever order, its rows are the ids 0, 1, 2, ... of those it said yes to.
func TestStreamIsAlwaysAPrefix(t *testing.T) {
	b := newBench(t, Options{})
	rapid.Check(t, func(r *rapid.T) {
		name := b.create()
		c := b.open(name)
		end := int64(0)
		for range rapid.IntRange(1, 15).Draw(r, "requests") {
			if rapid.IntRange(0, 4).Draw(r, "reconnect") == 0 {
				c = b.open(name)
			}
			offset := rapid.Int64Range(0, end+3).Draw(r, "offset")
			n := rapid.IntRange(1, 4).Draw(r, "rows")
			resp := c.append(offset, orderRows(offset, n))
			switch got := codes.Code(resp.GetError().GetCode()); {
			case offset < end:
				require.Equal(r, codes.AlreadyExists, got)
			case offset > end:
				require.Equal(r, codes.OutOfRange, got)
			default:
				require.Equal(r, codes.OK, got)
				end += int64(n)
			}
		}
		require.NoError(r, c.rpc.CloseSend()) // a connection carries 100 calls only
		_, err := c.rpc.Recv()
		require.ErrorIs(r, err, io.EOF)
		require.Equal(r, end, b.end(name))
		next := int64(0)
		for _, row := range b.srv.Rows(orders) {
			if row.Stream == name {
				require.Equal(r, next, row.Offset)
				require.Equal(r, order(next, "x"), row.Data)
				next++
			}
		}
		require.Equal(r, end, next)
	})
}

// If this failed, Google's own client couldn't be used against an emulator in memory and on a virtual clock: here it
// is refused, disconnected and served again.
func TestGoogleClientInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := Start(Options{
			Listener: bufconn.Listen(1 << 20), Tables: map[string]*storagepb.TableSchema{orders: ordersSchema()},
			Faults: []Fault{{Kind: ResetAfter, After: 1, Count: 1}},
		})
		require.NoError(t, err)
		ctx := t.Context()
		client, err := managedwriter.NewClient(ctx, "p", srv.ClientOptions()...)
		require.NoError(t, err)
		ms, err := client.NewManagedStream(ctx, managedwriter.WithDestinationTable(orders),
			managedwriter.WithType(managedwriter.CommittedStream), managedwriter.WithSchemaDescriptor(ordersDescriptor()))
		require.NoError(t, err)
		add := func(offset int64) error {
			r, err := ms.AppendRows(ctx, orderRows(offset, 1), managedwriter.WithOffset(offset))
			if err != nil {
				return err
			}
			_, err = r.GetResult(ctx)
			return err
		}
		require.NoError(t, add(0))
		require.Error(t, add(1)) // written, but the answer is lost
		for err = add(1); err != nil && status.Code(err) != codes.AlreadyExists; err = add(1) {
			time.Sleep(time.Second)
		}
		require.Equal(t, codes.AlreadyExists, status.Code(err))
		require.NoError(t, add(2))
		require.Equal(t, int64(3), srv.Streams(orders)[1].End)
		_ = ms.Close() // says EOF
		require.NoError(t, client.Close())
		require.NoError(t, srv.Close())
		time.Sleep(time.Minute) // managedwriter's sleepers
	})
}
