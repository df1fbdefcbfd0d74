package telemetry

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

const (
	producers = 16
	perRound  = 200 // appends of each producer in a round
)

// contender is an Ingest with telemetry or without.
type contender struct {
	b    *testing.B
	in   *ingest.Ingest
	at   int // appends of each producer so far
	cpu  []float64
	wall []float64
}

func newContender(b *testing.B, srv *emulator.Server, tel *Telemetry) *contender {
	opt, wopt, lopt := ingest.Defaults(), committed.Options{ClientOptions: srv.ClientOptions()}, &ledger.Options{}
	if tel != nil {
		opt.Events, wopt.Events, lopt.Committed = tel.Ingest(), tel.Writer(), tel.Committed
	}
	led, err := ledger.Open(filepath.Join(b.TempDir(), "l"), lopt)
	require.NoError(b, err)
	w, err := committed.Open(context.Background(), led, wopt)
	require.NoError(b, err)
	in, err := ingest.New(led, w, opt)
	require.NoError(b, err)
	b.Cleanup(func() {
		_, err := in.Close(context.Background())
		require.NoError(b, err)
		require.NoError(b, w.Close(context.Background()))
		require.NoError(b, led.Close())
	})
	return &contender{b: b, in: in}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// round has every producer push its appends, as fast as they are accepted.
func (c *contender) round() {
	began, used := time.Now(), cpu(c.b)
	var pushing sync.WaitGroup
	for p := range producers {
		pushing.Go(func() {
			var last *ingest.Pending
			for n := c.at; n < c.at+perRound; n++ {
				a := ingest.Append{Key: ledger.Key{Table: benchTable, Name: fmt.Sprint(p)}, Position: fmt.Sprint(n + 1), Patient: true}
				if n > 0 {
					a.Expected = fmt.Sprint(n)
				}
				for i := range 10 {
					a.Rows = append(a.Rows, fmt.Appendf(nil, `{"n": %d, "s": "a row of about a hundred bytes: %050d"}`, n*10+i, i))
				}
				var err error
				if last, err = c.in.Accept(context.Background(), a); err != nil {
					panic(err)
				}
			}
			if _, err := last.Wait(context.Background(), eowriterv1.Acknowledge_ACKNOWLEDGE_LANDED); err != nil {
				panic(err)
			}
		})
	}
	pushing.Wait()
	c.at += perRound
	c.wall = append(c.wall, time.Since(began).Seconds())
	c.cpu = append(c.cpu, (cpu(c.b) - used).Seconds())
}

const benchTable = "projects/p/datasets/d/tables/t"

// What metrics cost of all that the sidecar does, by turns in one run: appends of 10 rows of 100 bytes, which is little to do
// for each. The emulator's work is in the processor time.
func BenchmarkCost(b *testing.B) {
	schema, err := rows.ParseSchema([]byte(`[{"name": "n", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "s", "type": "STRING"}]`))
	require.NoError(b, err)
	srv, err := emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{benchTable: schema}})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, srv.Close()) })
	off, on := newContender(b, srv, nil), newContender(b, srv, newTelemetry(b, ""))
	off.round()
	on.round() // their partitions are open now
	off.cpu, on.cpu, off.wall, on.wall = nil, nil, nil, nil
	for n := 0; b.Loop(); n++ {
		if n%2 == 0 {
			off.round()
			on.round()
		} else {
			on.round()
			off.round()
		}
	}
	b.ReportMetric(ratio(on.cpu, off.cpu), "cpu-ratio")
	b.ReportMetric(ratio(on.wall, off.wall), "wall-ratio")
	b.ReportMetric(median(off.cpu)/producers/perRound*1e6, "cpu-µs/append")
}

// ratio is the median of those of two rounds that follow each other: what else the machine does changes slowly.
func ratio(on, off []float64) float64 {
	each := make([]float64, len(on))
	for n := range on {
		each[n] = on[n] / off[n]
	}
	return median(each)
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
