package committed_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/stretchr/testify/require"
)

// each is n partitions with batches of ten rows each; base is what numbers starts with.
func (b *bench) each(n, batches int, frozen bool, then func(i int, p *committed.Partition)) {
	b.t.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			src := numbers{base: int64(i) << 32}
			cfg := b.config(fmt.Sprint(i), frozen)
			if !frozen {
				cfg.Replay = src.replay
			}
			p, err := b.w.Partition(b.ctx(), cfg)
			if err != nil {
				b.t.Error(err)
				return
			}
			for k := at(p.Position()) / 10; k < int64(batches); k++ {
				r, err := p.Append(b.ctx(), src.batch(k*10, k*10+10))
				if err == nil {
					_, err = r.Wait(b.ctx())
				}
				if err != nil {
					b.t.Error(err)
					return
				}
			}
			if then != nil {
				then(i, p)
			}
		})
	}
	all.Wait()
}

// requireEach checks that each of n partitions has its rows once and in order.
func (b *bench) requireEach(n, rows int) {
	b.t.Helper()
	got := map[int64][]int64{}
	for _, id := range b.ids() {
		got[id>>32] = append(got[id>>32], id&(1<<32-1))
	}
	require.Len(b.t, got, n)
	for i, ids := range got {
		require.Len(b.t, ids, rows, "partition %d", i)
		for k, id := range ids {
			require.EqualValues(b.t, k, id, "partition %d", i)
		}
	}
}

// If it fails, many partitions at once get stuck behind the 100 streams of an HTTP/2
// connection (case 55), or starve one another.
func TestThousandPartitions(t *testing.T) {
	for _, connections := range []int{500, 30} {
		t.Run(fmt.Sprint(connections), func(t *testing.T) {
			n := 1000
			if connections < 100 {
				n = 150
			}
			b := newBench(t, committed.Options{MaxConnections: connections}, emulator.Options{MaxConnections: connections + 50})
			before := time.Now()
			b.each(n, 3, false, nil)
			t.Logf("%d partitions on %d connections: %v", n, connections, time.Since(before))
			b.requireEach(n, 30)
			require.LessOrEqual(t, b.srv.Stats().PeakCalls, int64(100))
			require.NoError(t, b.w.Close(b.ctx()))
		})
	}
}

// If it fails, busy partitions keep their connection from others for ever.
func TestBusyPartitionsTakeTurns(t *testing.T) {
	const n = 5
	b := newBench(t, committed.Options{MaxConnections: 1}, emulator.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var busy sync.WaitGroup
	landed := make(chan int, 1024)
	opened := make(chan struct{}, n)
	for i := range n {
		busy.Go(func() {
			src := numbers{base: int64(i) << 32}
			cfg := b.config(fmt.Sprint(i), false)
			cfg.Replay = src.replay
			p, err := b.w.Partition(b.ctx(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			opened <- struct{}{}
			for k := int64(0); ctx.Err() == nil; k += 10 { // never idle
				if _, err := p.Append(b.ctx(), src.batch(k, k+10)); err != nil {
					return
				}
				select {
				case landed <- i:
				default:
				}
			}
		})
	}
	for range n {
		select {
		case <-opened:
		case <-b.ctx().Done():
			require.Fail(t, "starved while opening")
		}
	}
	got := map[int]int{}
	deadline := time.After(20 * time.Second)
	for len(got) < n {
		select {
		case i := <-landed:
			got[i]++
		case <-deadline:
			require.Fail(t, "starved", "%v", got)
		}
	}
	cancel()
	busy.Wait()
	require.NoError(t, b.w.Close(b.ctx()))
}

// on starts the service at an address where it was before.
func on(t *testing.T, addr, data string) *emulator.Server {
	t.Helper()
	srv, err := emulator.Start(emulator.Options{Listen: addr, Data: data, Tables: map[string]*storagepb.TableSchema{table: idSchema()}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = srv.Close() })
	return srv
}

// If it fails, a service that is away at the start keeps a partition from opening
// when it is back, or Partition can't be given up.
func TestServiceIsAwayAtTheStart(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	addr := b.srv.Addr()
	require.NoError(t, b.srv.Close())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := b.w.Partition(ctx, b.config("a", true))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	opened := make(chan *committed.Partition)
	go func() {
		p, err := b.w.Partition(b.ctx(), b.config("a", true))
		if err != nil {
			t.Error(err)
		}
		opened <- p
	}()
	eventually(t, "it tries again", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.waits) > 3 })
	b.srv = on(t, addr, "")
	p := <-opened
	require.NotNil(t, p)
	b.requireLanded(b.append(p, 0, 3))
	b.requireRows(30)
}

// If it fails, a restart of the service loses, duplicates or disorders rows.
func TestServiceRestarts(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		data := t.TempDir()
		b := newBench(t, committed.Options{}, emulator.Options{Data: data})
		addr := b.srv.Addr()
		var all sync.WaitGroup
		all.Go(func() { b.each(4, 200, frozen, nil) })
		for range 4 {
			rows := b.srv.Stats().Rows
			eventually(t, "rows are written", func() bool { return b.srv.Stats().Rows > rows+200 })
			require.NoError(t, b.srv.Close())
			b.srv = on(t, addr, data)
		}
		all.Wait()
		b.requireEach(4, 2000)
		b.requireSound()
	}
}
