package emulator

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
)

const childFolder = "EMULATOR_TEST_DATA"

// childMain turns the test binary into an emulator on the folder named in the environment, for tests that kill it.
func childMain() bool {
	folder := os.Getenv(childFolder)
	if folder == "" {
		return false
	}
	srv, err := Start(Options{Data: folder, Tables: map[string]*storagepb.TableSchema{orders: ordersSchema()}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(srv.Addr())
	select {}
}

// If this failed, a SIGKILLed emulator would forget rows that it answered for, or remember a torn one.
func TestKilledEmulatorKnowsWhatItAnswered(t *testing.T) {
	folder := t.TempDir()
	acked := int64(0)
	name := ""
	for round := range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childFolder+"="+folder)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		addr := line[:len(line)-1]

		acked = appendUntilKilled(t, addr, &name, acked, func() { require.NoError(t, child.Process.Kill()) })
		_ = child.Wait() // killed
		require.Positive(t, acked, "round %d", round)
	}

	b := newBench(t, Options{Data: folder})
	end := b.end(name)
	require.GreaterOrEqual(t, end, acked)
	require.LessOrEqual(t, end, acked+window*batchRows)
	for i, id := range b.ids() {
		require.Equal(t, int64(i), id)
	}
	require.Len(t, b.ids(), int(end))
	b.open(name).ok(end, orderRows(end, 1), end)
}

const (
	window    = 8
	batchRows = 50
)

// appendUntilKilled goes on from where the stream ends and kills the server once 20 batches are answered and more are
// on their way. It returns the end that is certain.
func appendUntilKilled(t *testing.T, addr string, name *string, acked int64, kill func()) int64 {
	b := &bench{T: t, srv: nil}
	b.client = storagepb.NewBigQueryWriteClient(dialAddr(t, addr))
	if *name == "" {
		*name = b.create()
	}
	c := b.open(*name)
	c.send(1<<62, orderRows(0, 1))
	resp := c.recv()
	var end int64
	_, err := fmt.Sscanf(resp.GetError().GetMessage(), "The offset is beyond stream, expected offset %d,", &end)
	require.NoError(t, err)
	require.GreaterOrEqual(t, end, acked)
	next := end
	for answered := 0; ; answered++ {
		for next < end+window*batchRows {
			if c.rpc.Send(c.request(next, orderRows(next, batchRows))) != nil {
				return end
			}
			next += batchRows
		}
		if answered == 20 {
			kill()
		}
		resp, err := c.rpc.Recv()
		if err != nil {
			return end
		}
		require.Nil(t, resp.GetError())
		end += batchRows
	}
}

// If this failed, a restart would lose streams, finalization, expiry, order of arrival or a dropped table.
func TestRestartKnowsEverything(t *testing.T) {
	folder := t.TempDir()
	first, err := Start(Options{Data: folder, Tables: map[string]*storagepb.TableSchema{orders: ordersSchema()}})
	require.NoError(t, err)
	gone := "projects/p/datasets/d/tables/gone"
	require.NoError(t, first.CreateTable(gone, ordersSchema()))
	b := &bench{T: t, srv: first}
	b.client = storagepb.NewBigQueryWriteClient(b.dial())
	one, two, three := b.create(), b.create(), b.create()
	w, err := b.client.CreateWriteStream(b.context(), createRequest(gone))
	require.NoError(t, err)
	c1, c2, c3 := b.open(one), b.open(two), b.open(orders+"/streams/_default")
	c1.ok(0, orderRows(0, 2), 0)
	c2.ok(0, orderRows(10, 1), 0)
	require.Nil(t, c3.append(noOffset, orderRows(20, 1)).GetError())
	c1.ok(2, orderRows(2, 2), 2)
	_, err = first.FinalizeStream(two)
	require.NoError(t, err)
	require.NoError(t, first.ExpireStream(three))
	require.NoError(t, first.DropTable(gone))
	want := first.Rows(orders)
	require.NoError(t, first.Close())

	// Torn: half a record at the end.
	path := filepath.Join(folder, "emulator.log")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(data, 200, 0, 0, 0, 1, 2, 3, 4, 'A', 0), 0o600))

	b = newBench(t, Options{Data: folder})
	got := b.srv.Rows(orders)
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i].Stream, got[i].Stream)
		require.Equal(t, want[i].Offset, got[i].Offset)
		require.Equal(t, want[i].Data, got[i].Data)
	}
	require.Equal(t, []int64{0, 1, 10, 20, 2, 3}, b.ids())
	b.open(one).refused(0, orderRows(0, 2), codes.AlreadyExists, storagepb.StorageError_OFFSET_ALREADY_EXISTS)
	b.open(one).ok(4, orderRows(4, 1), 4)
	b.open(two).refused(1, orderRows(0, 1), codes.InvalidArgument, storagepb.StorageError_STREAM_FINALIZED)
	for _, name := range []string{three, w.GetName()} {
		c := b.open(name)
		c.send(0, orderRows(0, 1))
		c.ends(codes.NotFound)
	}
}

// If this failed, a durable emulator that keeps no rows would forget where its streams end.
func TestRestartWithDiscard(t *testing.T) {
	folder := t.TempDir()
	opt := Options{Data: folder, Discard: true, Tables: map[string]*storagepb.TableSchema{orders: ordersSchema()}}
	first, err := Start(opt)
	require.NoError(t, err)
	b := &bench{T: t, srv: first}
	b.client = storagepb.NewBigQueryWriteClient(b.dial())
	name := b.create()
	b.open(name).ok(0, orderRows(0, 7), 0)
	require.NoError(t, first.Close())

	b = newBench(t, opt)
	require.Equal(t, int64(7), b.end(name))
	require.Empty(t, b.srv.Rows(orders))
}

// If this failed, a damaged data folder could be served as if it were whole.
func TestReplayRefusesNonsense(t *testing.T) {
	s := newStore(false, 0)
	srv := &Server{store: s, tables: map[string]*table{}, streams: map[string]*stream{}}
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	s.file = f
	require.NoError(t, s.tableDropped("unknown"))
	require.NoError(t, s.close())
	data, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	r := replay{srv: srv, store: s}
	_, err = r.all(data)
	require.ErrorContains(t, err, "unknown table")
	n, err := (&replay{srv: srv, store: s}).all(data[:len(data)-1])
	require.NoError(t, err)
	require.Zero(t, n)
}

// waitFor polls for something that happens in another goroutine and has no other sign.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for !done() {
		require.NoError(t, ctx.Err(), what)
		time.Sleep(time.Millisecond)
	}
}
