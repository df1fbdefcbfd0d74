package pace

import (
	"math/bits"
	"time"
)

// A duration's bucket is its power of two, from shortest on, and the eighth of that which it is in.
const (
	shortest = 6 // 2^6 µs: what is shorter counts as that
	octaves  = 22
	eighths  = 8
)

// histogram counts durations from 64 µs to 4 minutes; longer ones count as that.
type histogram [octaves * eighths]uint32

func (h *histogram) add(d time.Duration) { h[bucket(d)]++ }

func (h *histogram) merge(other *histogram) {
	for n, count := range other {
		h[n] += count
	}
}

func bucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 1<<shortest))
	octave := bits.Len64(us) - 1
	n := (octave-shortest)*eighths + int(us>>(octave-3))%eighths
	return min(n, octaves*eighths-1)
}

// limit is where a bucket ends.
func limit(bucket int) time.Duration {
	octave := bucket/eighths + shortest
	return time.Duration(eighths+bucket%eighths+1) << (octave - 3) * time.Microsecond
}

// quantiles are the limits of the buckets that they are in.
func (h *histogram) quantiles() (q Quantiles) {
	total := uint64(0)
	for _, count := range h {
		total += uint64(count)
	}
	below := uint64(0)
	for n, count := range h {
		if count == 0 {
			continue
		}
		below += uint64(count)
		if q.P50 == 0 && 2*below >= total {
			q.P50 = limit(n)
		}
		if 100*below >= 99*total {
			q.P99 = limit(n)
			return q
		}
	}
	return q
}
