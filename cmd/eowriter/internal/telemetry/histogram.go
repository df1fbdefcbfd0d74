package telemetry

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// durations is the histogram of append durations, counted with two atomic additions: the SDK's costs ten times as
// much, for every append. It is a producer for the SDK's readers.
type durations struct {
	began          time.Time
	landed, stored counts
}

// counts are those of one label; the last is of what is longer than all of latencies.
type counts struct {
	buckets [len(latencies) + 1]atomic.Uint64
	sum     atomic.Int64 // nanoseconds
}

var latencies = [...]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300} // seconds

func (c *counts) record(d time.Duration) {
	n, _ := slices.BinarySearch(latencies[:], d.Seconds()) // a bound is of the bucket below it
	c.buckets[n].Add(1)
	c.sum.Add(int64(d))
}

// Produce implements metric.Producer.
func (d *durations) Produce(context.Context) ([]metricdata.ScopeMetrics, error) {
	now := time.Now()
	var points []metricdata.HistogramDataPoint[float64]
	for _, of := range []struct {
		acknowledge string
		counts      *counts
	}{{"landed", &d.landed}, {"stored", &d.stored}} {
		p := metricdata.HistogramDataPoint[float64]{
			Attributes: attribute.NewSet(attribute.String("acknowledge", of.acknowledge)), StartTime: d.began, Time: now,
			Bounds: latencies[:], Sum: time.Duration(of.counts.sum.Load()).Seconds(),
		}
		for n := range of.counts.buckets {
			count := of.counts.buckets[n].Load()
			p.BucketCounts = append(p.BucketCounts, count)
			p.Count += count
		}
		points = append(points, p)
	}
	return []metricdata.ScopeMetrics{{
		Scope: instrumentation.Scope{Name: scope},
		Metrics: []metricdata.Metrics{{
			Name: "eowriter.append.duration", Unit: "s", Description: "From accepting an append until it was stored or had landed.",
			Data: metricdata.Histogram[float64]{DataPoints: points, Temporality: metricdata.CumulativeTemporality},
		}},
	}}, nil
}
