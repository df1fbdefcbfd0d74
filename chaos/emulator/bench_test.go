package emulator

import (
	"context"
	"net"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// googleClient is a raw client that is connected as ClientOptions say for a listener in memory.
func googleClient(t testing.TB, srv *Server) (storagepb.BigQueryWriteClient, func()) {
	l, ok := srv.opt.Listener.(interface {
		DialContext(context.Context) (conn net.Conn, err error)
	})
	require.True(t, ok)
	conn, err := grpc.NewClient("passthrough:///emulator", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	require.NoError(t, err)
	return storagepb.NewBigQueryWriteClient(conn), func() { _ = conn.Close() }
}

// BenchmarkDiscard is what the bare client reaches against an emulator that keeps nothing: the ceiling of every
// comparison made with it. Client and server share the process.
func BenchmarkDiscard(b *testing.B) {
	for _, size := range []struct {
		name       string
		rows, size int
	}{{"500x2500B", 500, 2500}, {"1000x100B", 1000, 100}, {"100x100B", 100, 100}} {
		b.Run(size.name, func(b *testing.B) { benchmarkAppend(b, Options{Discard: true}, size.rows, size.size) })
	}
	b.Run("500x2500B-kept", func(b *testing.B) { benchmarkAppend(b, Options{}, 500, 2500) })
}

func benchmarkAppend(b *testing.B, opt Options, rows, size int) {
	opt.Tables = map[string]*storagepb.TableSchema{orders: ordersSchema()}
	srv, err := Start(opt)
	require.NoError(b, err)
	defer srv.Close()
	ctx := context.Background()
	client, err := managedwriter.NewClient(ctx, "p", srv.ClientOptions()...)
	require.NoError(b, err)
	defer client.Close()
	stream, err := client.NewManagedStream(ctx, managedwriter.WithDestinationTable(orders),
		managedwriter.WithType(managedwriter.CommittedStream), managedwriter.WithSchemaDescriptor(ordersDescriptor()))
	require.NoError(b, err)
	defer stream.Close()

	row := bytesField(order(1, "x"), 99, strings.Repeat("x", size-10))
	data := make([][]byte, rows)
	for i := range data {
		data[i] = row
	}
	b.SetBytes(int64(rows * len(row)))
	b.ResetTimer()
	waiting := make(chan *managedwriter.AppendResult, 64)
	done := make(chan error, 1)
	go func() {
		for r := range waiting {
			if _, err := r.GetResult(ctx); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for i := range b.N {
		r, err := stream.AppendRows(ctx, data, managedwriter.WithOffset(int64(i*rows)))
		require.NoError(b, err)
		waiting <- r
	}
	close(waiting)
	require.NoError(b, <-done)
	b.StopTimer()
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
	require.Equal(b, int64(b.N*rows), srv.Stats().Rows)
}
