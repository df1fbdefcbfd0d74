package committed_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	soakSeed = flag.Uint64("seed", 0, "seed of TestSoak; 0: a new one, which is printed")
	soakTime = flag.Duration("soak", 8*time.Second, "how long TestSoak goes on")
)

// weather is a mix of all faults that a writer recovers from.
func weather() []emulator.Fault {
	by := func(p float64, k emulator.Kind) emulator.Fault { return emulator.Fault{Kind: k, Probability: p} }
	with := func(p float64, k emulator.Kind, c codes.Code) emulator.Fault {
		return emulator.Fault{Kind: k, Probability: p, Error: status.New(c, "Injected.")}
	}
	silent, slow := by(0.0005, emulator.Stall), by(0.01, emulator.Stall)
	slow.Delay = 3 * time.Millisecond
	stale := by(0.4, emulator.StaleEnd)
	stale.Lag, stale.Checks = 2, 2
	all := by(0.001, emulator.ResetAfter)
	all.All = true
	return []emulator.Fault{
		silent, slow, stale, all,
		by(0.005, emulator.CloseBefore), by(0.005, emulator.CloseAfter),
		by(0.01, emulator.ErrorBefore), by(0.01, emulator.ErrorAfter),
		by(0.003, emulator.Abort), with(0.003, emulator.Abort, codes.Unknown),
		with(0.01, emulator.ErrorBefore, codes.ResourceExhausted), with(0.003, emulator.CloseAfter, codes.DeadlineExceeded),
		by(0.003, emulator.ResetBefore), by(0.003, emulator.ResetAfter),
		by(0.001, emulator.GoAwayBefore), by(0.001, emulator.GoAwayAfter),
		by(0.05, emulator.DropConnect), by(0.3, emulator.RefuseCreate), by(0.2, emulator.CreateLost), by(0.5, emulator.FinalizeLost),
		{Kind: emulator.Intervals, Every: 300},
	}
}

// If it fails, some mixture of faults, closes in the middle, rotations and moved
// ledgers loses, duplicates or disorders rows, or gets a partition stuck. Its seed is
// printed; -seed plays the service's part of it again.
func TestSoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d: go test ./committed -run TestSoak -seed %d", seed, seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	b := newBench(t, committed.Options{
		AnswerTimeout: 150 * time.Millisecond, IdleTimeout: 100 * time.Millisecond, StreamAge: 2 * time.Second,
		WindowRequests: 32, MaxConnections: 4,
	}, emulator.Options{Faults: weather(), Seed: seed, SoftLimit: 1200})
	b.patience = *soakTime + time.Minute

	const partitions = 6
	starts := 0
	for end := time.Now().Add(*soakTime); time.Now().Before(end); starts++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(50+rnd.IntN(700))*time.Millisecond)
		var all sync.WaitGroup
		for i := range partitions {
			r := rand.New(rand.NewPCG(seed, uint64(starts*partitions+i+1)))
			all.Go(func() { b.soak(ctx, i, r) })
		}
		all.Wait()
		cancel()
		require.False(t, t.Failed(), "seed %d", seed)
		if rnd.IntN(2) == 0 { // some time to drain
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			if err := b.w.Close(ctx); err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded, "seed %d", seed)
			}
			cancel()
		}
		b.close()
		if rnd.IntN(4) == 0 {
			moved := filepath.Join(t.TempDir(), "moved.ledger")
			copyLedger(t, b.path, moved)
			b.path = moved
		}
		b.open()
		b.requireSound()
	}

	b.srv.ClearFaults()
	want := map[int64]int64{}
	for i := range int64(partitions) {
		p, err := b.w.Partition(b.ctx(), b.soakConfig(int(i)))
		require.NoError(t, err, "seed %d", seed)
		require.NoError(t, p.Drain(b.ctx()), "seed %d", seed)
		want[i] = at(p.Position())
	}
	next := map[int64]int64{}
	for _, id := range b.ids() {
		i := id >> 32
		require.Equal(t, next[i], id&(1<<32-1), "partition %d, seed %d", i, seed)
		next[i]++
	}
	for i, n := range want {
		require.Equal(t, n, next[i], "partition %d, seed %d", i, seed)
	}
	b.requireSound()
	got := b.take()
	t.Logf("%d rows, %d starts, %d streams replaced, %d waits, %d appends again, %d streams, faults %v",
		len(b.ids()), starts, len(got.seals), len(got.waits), len(got.again), len(b.srv.Streams(table))-1, b.srv.FaultCounts())
}

func (b *bench) soakConfig(i int) committed.PartitionConfig {
	cfg := b.config(fmt.Sprint(i), i%2 == 0)
	if i%2 == 1 {
		cfg.Replay = numbers{base: int64(i) << 32}.replay
	}
	return cfg
}

// soak appends to a partition until ctx ends.
func (b *bench) soak(ctx context.Context, i int, rnd *rand.Rand) {
	p, err := b.w.Partition(ctx, b.soakConfig(i))
	for err == nil {
		from := at(p.Position())
		rows := 1 + rnd.Int64N(20)
		if rnd.IntN(50) == 0 {
			rows = 200 // too large for the service
		}
		_, err = p.Append(ctx, numbers{base: int64(i) << 32}.batch(from, from+rows))
		if rnd.IntN(100) == 0 && err == nil {
			err = p.Drain(ctx)
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		b.t.Errorf("partition %d: %v", i, err)
	}
}
