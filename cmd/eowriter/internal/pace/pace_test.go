package pace

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var start = time.Unix(1_700_000_000, 0)

// If it fails, operators read a wrong rate: a steady one must be shown as it is, and one that has ended as nothing.
func TestRate(t *testing.T) {
	var r Rate
	now := start
	require.Zero(t, r.At(now))
	for range 1000 {
		now = now.Add(100 * time.Millisecond)
		r.Add(now, 50)
	}
	require.InDelta(t, 500, r.At(now), 10)
	require.Zero(t, r.At(now.Add(2*time.Minute)))
	require.InDelta(t, 500, r.At(now.Add(-time.Minute)), 10, "a clock that was set back changes nothing")
}

// If it fails, a digit too many makes everything that shows rates flicker.
func TestRateIsRounded(t *testing.T) {
	for value, want := range map[float64]float64{123456: 123000, 1234.4: 1230, 0.12345: 0.123, 12.345: 12.3, 0.009: 0} {
		r := Rate{value: value, at: start}
		require.InDelta(t, want, r.At(start), 1e-9)
	}
}

// If it fails, latencies are shown shorter than they were, or much longer.
func TestQuantiles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Int64Range(0, int64(3*time.Minute)), 1, 300).Draw(t, "took")
		var h histogram
		for _, d := range all {
			h.add(time.Duration(d))
		}
		slices.Sort(all)
		q := h.quantiles()
		for _, one := range []struct {
			got time.Duration
			per int
		}{{q.P50, 50}, {q.P99, 99}} {
			exact := time.Duration(all[(len(all)*one.per+99)/100-1])
			require.GreaterOrEqual(t, one.got, exact)
			require.LessOrEqual(t, one.got, max(exact, 64*time.Microsecond)*9/8+time.Microsecond)
		}
	})
	var longer histogram
	longer.add(time.Hour)
	require.Equal(t, limit(octaves*eighths-1), longer.quantiles().P99)
	require.Zero(t, new(histogram).quantiles())
}

// If it fails, the chart shows what happened elsewhere in time, or what was more than ten minutes ago.
func TestMeter(t *testing.T) {
	var m Meter
	m.Rows(start, 10, 100)
	m.Took(start, time.Second)
	r := m.Read(start.Add(Step))
	require.Len(t, r.Steps, Steps)
	require.Equal(t, 2.0, r.Steps[Steps-2].Rows)
	require.Zero(t, r.Steps[Steps-1])
	require.Equal(t, r.Took, r.Steps[Steps-2].Took)
	require.InDelta(t, time.Second, r.Took.P50, float64(time.Second/8))
	require.Greater(t, r.Rows, 0.0)
	require.InDelta(t, 10*r.Rows, r.Bytes, 0.1)

	m.Rows(start.Add(Step*Steps), 1, 1) // takes the place of what was ten minutes ago
	r = m.Read(start.Add(Step * Steps))
	require.Zero(t, r.Took)
	require.Equal(t, 1.0, r.Steps[Steps-1].Rows, "a step that has begun counts as a second at least")
	require.Zero(t, m.Read(start.Add(3 * Step * Steps)).Steps[0])
}
