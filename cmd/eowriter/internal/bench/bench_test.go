package bench

import (
	"context"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func config(tb testing.TB) Config {
	srv, err := emulator.Start(emulator.Options{
		Discard: true, Tables: map[string]*storagepb.TableSchema{Table: TableSchema()},
	})
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = srv.Close() })
	return Config{
		Client: srv.ClientOptions(), Server: "in-process", Dir: tb.TempDir(), Shapes: Shapes,
		Partitions: 4, Window: 256, Duration: 2 * time.Second, Rounds: 1, Progress: func(string) {},
	}
}

// A bench that doesn't land what it counts, or compares other things than it says,
// would be worse than none.
func TestRun(t *testing.T) {
	cfg := config(t)
	cfg.Duration, cfg.Rounds = 20*time.Millisecond, 2
	results, err := Run(context.Background(), cfg)
	require.NoError(t, err)
	require.Len(t, results, len(Shapes)*len(contenders))
	for i, r := range results {
		require.Equal(t, contenders[i%len(contenders)], r.Contender)
		require.Len(t, r.Rates, 2)
		require.Positive(t, r.RowsPerS)
	}
	require.InDelta(t, 1, results[0].Ratio, 1e-9)
}

// Benchmark runs each contender with each shape; profile it with -cpuprofile.
func Benchmark(b *testing.B) {
	for _, shape := range Shapes {
		for _, contender := range contenders {
			b.Run(shape.String()+"/"+contender, func(b *testing.B) {
				cfg := config(b)
				before := cpuSeconds(b)
				var rows int64
				for b.Loop() {
					rate, err := measure(context.Background(), cfg, shape, contender)
					require.NoError(b, err)
					rows += rate.Rows
					b.ReportMetric(rate.rowsPerS(), "rows/s")
					b.ReportMetric(rate.rowsPerS()*float64(shape.Bytes)/1e6, "MB/s")
				}
				// Client and service together: what a busy neighbour doesn't change.
				b.ReportMetric((cpuSeconds(b)-before)*1e6/float64(rows)*float64(shape.Rows), "cpu-µs/append")
			})
		}
	}
}

// cpuSeconds is the processor time that this process has used.
func cpuSeconds(tb testing.TB) float64 {
	var u unix.Rusage
	require.NoError(tb, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
