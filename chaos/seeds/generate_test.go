package seeds

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
)

// Generate makes the schedule of a seed.
func Generate(seed uint64) Schedule {
	rnd := draw(seed, "schedule", 0)
	s := Schedule{Seed: seed, Rows: 10 + rnd.Int64N(70), BatchRows: 5}
	for range 1 + rnd.IntN(3) {
		s.Partitions = append(s.Partitions, Partition{Frozen: rnd.IntN(2) == 0, Dirty: rnd.IntN(4) == 0})
	}
	s.Service = service(draw(seed, "service", 0))
	s.Faults = weather(draw(seed, "weather", 0), len(s.Partitions))
	for n := range 1 + rnd.IntN(4) {
		s.Runs = append(s.Runs, run(draw(seed, "run", int64(n)), s, n))
	}
	if rnd.IntN(12) == 0 {
		restore(draw(seed, "restore", 0), &s)
	}
	if rnd.IntN(4) == 0 {
		for n := range 1 + rnd.IntN(2) {
			s.Retire = append(s.Retire, end(draw(seed, "retire", int64(n)), len(s.Partitions)))
		}
	}
	return s
}

// draw returns random numbers for one purpose, the same in each run.
func draw(seed uint64, purpose string, ordinal int64) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %d", purpose, ordinal)
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// one says yes once in n times.
func one(rnd *rand.Rand, n int) bool { return rnd.IntN(n) == 0 }

// between draws a duration, to the nanosecond, so that different things seldom happen at one moment.
func between(rnd *rand.Rand, from, to time.Duration) Duration {
	return Duration(from + time.Duration(rnd.Int64N(int64(to-from))))
}

func service(rnd *rand.Rand) Service {
	v := Service{
		Latency: between(rnd, 100*time.Microsecond, 5*time.Millisecond), Pace: between(rnd, 100*time.Microsecond, 4*time.Millisecond),
		SoftLimit: one(rnd, 4), AbortFollowers: one(rnd, 3), RowsFirst: one(rnd, 3),
	}
	if one(rnd, 4) {
		v.Latency = between(rnd, 5*time.Millisecond, 300*time.Millisecond)
	}
	if one(rnd, 8) {
		v.Pace = between(rnd, 4*time.Millisecond, 100*time.Millisecond)
	}
	if one(rnd, 10) {
		v.MaxConnections = 1 + rnd.IntN(2)
	}
	if one(rnd, 4) {
		v.IdleTimeout = between(rnd, 5*time.Second, 50*time.Second)
	}
	if one(rnd, 8) {
		v.StreamTTL = between(rnd, time.Hour, 3*time.Hour)
	}
	if one(rnd, 2) {
		v.Delay, v.Jitter = between(rnd, 0, 2*time.Minute), between(rnd, 0, time.Minute)
	}
	return v
}

// weather is what goes wrong by chance: some of the kinds of faults that a writer recovers from.
func weather(rnd *rand.Rand, partitions int) (specs []string) {
	scale := []float64{0.3, 1, 3}[rnd.IntN(3)]
	p := func(of float64) string { return fmt.Sprintf("p=%.4f", of*scale*(0.5+rnd.Float64())) }
	all := []func() string{
		func() string { return "close-before:" + p(.02) },
		func() string { return "close-after:" + p(.02) },
		func() string { return "close-after:" + p(.01) + ",code=DEADLINE_EXCEEDED" },
		func() string { return "error:" + p(.02) },
		func() string { return "error:" + p(.02) + ",code=RESOURCE_EXHAUSTED" },
		func() string { return "error:" + p(.01) + ",code=UNAVAILABLE" },
		func() string { return "error-after:" + p(.02) },
		func() string { return "abort:" + p(.02) },
		func() string { return "abort:" + p(.01) + ",code=UNKNOWN" },
		func() string { return "abort:" + p(.01) + ",code=CANCELLED" },
		func() string { return "stall:" + p(.005) },
		func() string {
			return "stall:" + p(.02) + ",delay=" + time.Duration(between(rnd, 0, 2*time.Minute)).String()
		},
		func() string { return "reset-before:" + p(.01) },
		func() string { return "reset-after:" + p(.01) },
		func() string { return "reset-after:" + p(.005) + ",all=true" },
		func() string { return "goaway:" + p(.005) },
		func() string { return "goaway-after:" + p(.005) },
		func() string {
			return fmt.Sprintf("stale-end:p=0.5,lag=%d,checks=%d", 1+rnd.IntN(4)*rnd.IntN(4), 1+rnd.IntN(12)*(1+rnd.IntN(2)))
		},
		func() string { return fmt.Sprintf("intervals:every=%d", 5+rnd.IntN(20)) },
		func() string {
			return fmt.Sprintf("internal-every:table=%s,every=%d", tableOf(rnd.IntN(partitions)), 5+rnd.IntN(20))
		},
		func() string { return "drop-connect:" + p(.1) },
		func() string { return "refuse-create:" + p(.2) },
		func() string { return "create-lost:" + p(.2) },
		func() string { return "finalize-lost:" + p(.2) },
	}
	for _, f := range all {
		if one(rnd, 4) {
			specs = append(specs, f())
		}
	}
	return specs
}

// exactly is a fault with coordinates: a partition and the ordinal of the request there.
func exactly(rnd *rand.Rand, partitions int) string {
	kinds := []string{"close-before", "close-after", "error", "error-after", "abort", "stall", "reset-before", "reset-after",
		"goaway", "goaway-after", "close-after", "error-after", "drop-connect", "refuse-create", "create-lost", "finalize-lost"}
	kind := kinds[rnd.IntN(len(kinds))]
	if one(rnd, 15) {
		kind = []string{string(emulator.Finalize), string(emulator.Expire)}[rnd.IntN(2)]
	}
	count := 1 + rnd.IntN(3)
	if one(rnd, 5) {
		count = 1 + rnd.IntN(20) // an outage
	}
	after := rnd.IntN(12)
	if strings.HasSuffix(kind, "-lost") || strings.HasSuffix(kind, "create") || kind == "drop-connect" {
		after = rnd.IntN(2) // of few
	}
	return fmt.Sprintf("%s:table=%s,after=%d,count=%d", kind, tableOf(rnd.IntN(partitions)), after, count)
}

func run(rnd *rand.Rand, s Schedule, n int) Run {
	r := Run{Upto: 1 + rnd.Int64N(s.Rows), Batch: 1 + rnd.Int64N(8), Follow: one(rnd, 2), Encoder: uint32(1 + n*rnd.IntN(2)%2)}
	if !one(rnd, 4) {
		r.Pause = between(rnd, time.Microsecond, time.Millisecond)
	}
	if one(rnd, 2) {
		r.Window = 1 + rnd.IntN(8)
	}
	if one(rnd, 6) {
		r.WindowBytes = 1 + rnd.Int64N(100)
	}
	if one(rnd, 6) {
		r.MaxConnections = 1
	}
	if one(rnd, 3) {
		r.IdleTimeout = between(rnd, 5*time.Second, 20*time.Minute)
	}
	if one(rnd, 4) {
		r.AnswerTimeout = between(rnd, 3*time.Second, 5*time.Minute)
	}
	if s.Service.StreamTTL > 0 { // as far ahead of it as 60 hours are of 3 days
		r.StreamAge = s.Service.StreamTTL / 6 * 5
	}
	if one(rnd, 6) {
		r.CreateRate, r.CreateBurst = 0.1+rnd.Float64(), 1
	}
	for range rnd.IntN(3) {
		r.Faults = append(r.Faults, exactly(rnd, len(s.Partitions)))
	}
	for range rnd.IntN(3) {
		rest := Rest{Partition: rnd.IntN(len(s.Partitions)), Row: rnd.Int64N(s.Rows), For: silence(rnd), Alter: one(rnd, 5)}
		if one(rnd, 5) {
			rest.Reopen, rest.Grace = true, between(rnd, time.Nanosecond, 20*time.Millisecond)
		}
		if one(rnd, 3) {
			rest.For = 0
		}
		rest.Foreign = one(rnd, 40)
		r.Rests = append(r.Rests, rest)
	}
	r.End = end(rnd, len(s.Partitions))
	for range rnd.IntN(3) {
		switch rnd.IntN(10) {
		case 0, 1:
			r.Then = append(r.Then, Then{What: Move})
		case 2, 3:
			r.Then = append(r.Then, Then{What: Alter})
		case 4:
			r.Then = append(r.Then, Then{What: Resolve})
		case 5:
			r.Then = append(r.Then, Then{What: Skip})
		default:
			r.Then = append(r.Then, Then{What: Silence, For: silence(rnd)})
		}
	}
	return r
}

// silence is short, or longer than some of what ends with it: connections, streams near the end of their time to live,
// streams.
func silence(rnd *rand.Rand) Duration {
	ends := []time.Duration{time.Second, time.Second, 70 * time.Second, 70 * time.Second, 11 * time.Minute, 11 * time.Minute,
		time.Hour, time.Hour, 61 * time.Hour, 61 * time.Hour, 73 * time.Hour}
	return Duration(ends[rnd.IntN(len(ends))]) + between(rnd, 0, time.Minute)
}

func end(rnd *rand.Rand, partitions int) End {
	e := End{Kill: one(rnd, 2)}
	switch rnd.IntN(4) {
	case 0:
		return End{} // when all has landed
	case 1:
		e.After, e.Grace = between(rnd, time.Millisecond, 2*time.Second), between(rnd, 0, 20*time.Millisecond)
	case 2:
		e.After = between(rnd, time.Millisecond, time.Minute)
	case 3:
		e.Kill = true
		e.Partition = rnd.IntN(partitions)
		step := committed.Steps[rnd.IntN(len(committed.Steps))]
		nth := 1
		if step[0] == 'B' {
			nth += rnd.IntN(12)
		}
		e.At = workload.Point{Step: step, Done: one(rnd, 2), Nth: nth}
		if one(rnd, 4) {
			e.At = workload.Point{Nth: 1 + rnd.IntN(100)}
		}
	}
	if e.Kill && one(rnd, 3) {
		if e.At.Nth > 0 && one(rnd, 2) {
			e.At.Step, e.At.Done = committed.B3, true
		}
		e.Zombie = between(rnd, time.Millisecond, 30*time.Second)
	}
	return e
}

// restore lets a copy of the ledger be taken after one run and be put back after a later one.
func restore(rnd *rand.Rand, s *Schedule) {
	if len(s.Runs) < 2 {
		return
	}
	from := rnd.IntN(len(s.Runs) - 1)
	s.Runs[from].End = End{}
	s.Runs[from].Then = append(s.Runs[from].Then, Then{What: Keep})
	to := from + 1 + rnd.IntN(len(s.Runs)-1-from)
	s.Runs[to].Then = append(s.Runs[to].Then, Then{What: Restore, Whole: one(rnd, 2)})
}
