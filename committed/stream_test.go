package committed

import (
	"context"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"
)

// If it fails, a connection that is closed while a send waits to hear how the RPC ended
// leaves the worker waiting for ever, and Close with it: managedwriter's reader, told to
// stop, leaves the rest of the answers and the status unread.
func TestCloseWhileASendWaitsForTheEnd(t *testing.T) {
	const table = "projects/p/datasets/d/tables/t"
	schema := &storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{{Name: "id", Type: storagepb.TableFieldSchema_INT64, Mode: storagepb.TableFieldSchema_NULLABLE}}}
	srv, err := emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{table: schema}})
	require.NoError(t, err)
	defer srv.Close()
	s, err := NewSchema(table, schema, nil)
	require.NoError(t, err)
	ctx := context.Background()
	all, err := newClients(ctx, srv.ClientOptions())
	require.NoError(t, err)
	defer all.close()

	for range 10 { // the reader leaves or goes on by chance
		stream, err := all.control.create(ctx, table)
		require.NoError(t, err)
		reading, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 2)
		reads := sync.OnceFunc(func() { close(reading) })
		w := &wire{
			stream:   stream,
			answered: func(*storagepb.AppendRowsResponse) { reads(); <-goOn },
			ended:    func(err error, _ metadata.MD) { ended <- err },
			over:     make(chan struct{}),
		}
		c, err := all.control.connect(ctx, w, "eowriter:test", s.descriptor, false, 1e6)
		require.NoError(t, err)
		row := [][]byte{protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1)}
		c.send(newBlock(row, blockSize(row)), 0)
		<-reading // the reader is busy with this answer
		c.send(newBlock(row, blockSize(row)), 1)
		require.Positive(t, srv.ResetConnections())
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for offset := int64(2); len(ended) == 0; offset++ {
				c.send(newBlock(row, blockSize(row)), offset)
			}
		}()
		require.Eventually(t, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.refused }, 10*time.Second, time.Millisecond)
		closed := make(chan struct{})
		go func() { c.close(); close(closed) }()
		require.Eventually(t, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.hungUp }, 10*time.Second, time.Millisecond)
		close(goOn)
		for _, done := range []chan struct{}{closed, sent} {
			select {
			case <-done:
			case <-time.After(10 * time.Second):
				require.Fail(t, "the send or the close waits for ever")
			}
		}
		require.Error(t, <-ended)
		require.Empty(t, ended, "the end is told once")
	}
}
