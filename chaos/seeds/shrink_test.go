package seeds

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/eowriter/eowriter/chaos/emulator"
)

// shrink looks for a smaller schedule that still fails, as fails says. It tries the same changes in the same order
// each time: it leaves out faults, runs, partitions, rests and what happens between runs, larger pieces first, then
// turns options to their plainest and halves the rows, until none of it fails any more or it has tried tries times.
func shrink(s Schedule, tries int, fails func(Schedule) bool) Schedule {
	for smaller := true; smaller; {
		smaller = false
		for _, change := range changes(s) {
			if tries == 0 {
				return s
			}
			next := clone(s)
			change(&next)
			if next.check() != nil || sameAs(s, next) {
				continue
			}
			tries--
			if fails(next) {
				s, smaller = next, true
				break // the changes were made for the schedule before
			}
		}
	}
	return s
}

// clone is a copy that shares nothing.
func clone(s Schedule) (c Schedule) {
	if err := json.Unmarshal([]byte(text(s)), &c); err != nil {
		panic(err)
	}
	return c
}

func sameAs(a, b Schedule) bool { return text(a) == text(b) }

// text is the schedule as JSON, in a line.
func text(s Schedule) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // plain data
	}
	return string(b)
}

type change func(*Schedule)

// changes are what makes a schedule smaller.
func changes(s Schedule) (all []change) {
	all = append(all, without(len(s.Runs), func(s *Schedule, from, to int) { s.Runs = slices.Delete(s.Runs, from, to) })...)
	all = append(all, without(len(s.Faults), func(s *Schedule, from, to int) { s.Faults = slices.Delete(s.Faults, from, to) })...)
	all = append(all, without(len(s.Retire), func(s *Schedule, from, to int) { s.Retire = slices.Delete(s.Retire, from, to) })...)
	for i := len(s.Partitions) - 1; i >= 0 && len(s.Partitions) > 1; i-- {
		all = append(all, func(s *Schedule) { leaveOut(s, i) })
	}
	for n, r := range s.Runs {
		of := func(f func(*Run, int, int)) func(*Schedule, int, int) {
			return func(s *Schedule, from, to int) { f(&s.Runs[n], from, to) }
		}
		all = append(all, without(len(r.Faults), of(func(r *Run, from, to int) { r.Faults = slices.Delete(r.Faults, from, to) }))...)
		all = append(all, without(len(r.Rests), of(func(r *Run, from, to int) { r.Rests = slices.Delete(r.Rests, from, to) }))...)
		all = append(all, without(len(r.Then), of(func(r *Run, from, to int) { r.Then = slices.Delete(r.Then, from, to) }))...)
		all = append(all,
			func(s *Schedule) { s.Runs[n].End = End{} },
			func(s *Schedule) { s.Runs[n].End.Zombie = 0 },
			func(s *Schedule) { s.Runs[n] = plain(s.Runs[n]) },
			func(s *Schedule) { s.Runs[n].Window, s.Runs[n].WindowBytes = 0, 0 },
			func(s *Schedule) { s.Runs[n].Pause = 0 },
			func(s *Schedule) { s.Runs[n].MaxConnections = 0 },
			func(s *Schedule) { s.Runs[n].IdleTimeout, s.Runs[n].AnswerTimeout = 0, 0 },
			func(s *Schedule) { s.Runs[n].StreamAge = 0 },
			func(s *Schedule) { s.Runs[n].CreateRate, s.Runs[n].CreateBurst = 0, 0 },
			func(s *Schedule) { s.Runs[n].Encoder = 0 },
			func(s *Schedule) { s.Runs[n].Follow = false },
		)
	}
	for i := range s.Partitions {
		all = append(all,
			func(s *Schedule) { s.Partitions[i].Dirty = false },
			func(s *Schedule) { s.Partitions[i].Frozen = false },
		)
	}
	return append(all,
		func(s *Schedule) { s.Service = Service{Latency: s.Service.Latency, Pace: s.Service.Pace} },
		func(s *Schedule) { s.Service.SoftLimit = false },
		func(s *Schedule) { s.Service.AbortFollowers = false },
		func(s *Schedule) { s.Service.RowsFirst = false },
		func(s *Schedule) { s.Service.MaxConnections = 0 },
		func(s *Schedule) { s.Service.IdleTimeout, s.Service.StreamTTL = 0, 0 },
		func(s *Schedule) { s.Service.Delay, s.Service.Jitter = 0, 0 },
		func(s *Schedule) { s.Rows = (s.Rows + 1) / 2 },
		func(s *Schedule) { s.Rows-- },
	)
}

// plain is a run with the options' defaults.
func plain(r Run) Run {
	return Run{Upto: r.Upto, Batch: r.Batch, Pause: r.Pause, Faults: r.Faults, Rests: r.Rests, End: r.End, Then: r.Then}
}

// without leaves out pieces of a list of n: all, halves, quarters, one by one.
func without(n int, remove func(s *Schedule, from, to int)) (all []change) {
	for size := n; size > 0; size /= 2 {
		for from := 0; from < n; from += size {
			all = append(all, func(s *Schedule) { remove(s, from, min(from+size, n)) })
		}
	}
	return all
}

// leaveOut leaves out a partition, with all that concerns it alone; those behind it move up.
func leaveOut(s *Schedule, i int) {
	s.Partitions = slices.Delete(s.Partitions, i, i+1)
	s.Faults = moveUp(s.Faults, i)
	for n := range s.Retire {
		if s.Retire[n].Partition > i {
			s.Retire[n].Partition--
		}
	}
	for n := range s.Runs {
		r := &s.Runs[n]
		r.Faults = moveUp(r.Faults, i)
		r.Rests = slices.DeleteFunc(r.Rests, func(r Rest) bool { return r.Partition == i })
		for j := range r.Rests {
			if r.Rests[j].Partition > i {
				r.Rests[j].Partition--
			}
		}
		if r.End.Partition > i {
			r.End.Partition--
		}
	}
}

// moveUp leaves out the faults of partition i's table and gives those of tables behind it the new names.
func moveUp(specs []string, i int) (kept []string) {
	for _, spec := range specs {
		f, err := emulator.ParseFault(spec)
		if err != nil {
			panic(err) // check has looked at it
		}
		table := 0
		if _, err := fmt.Sscanf(f.Table, tablePrefix+"%d", &table); err == nil && table == i {
			continue
		} else if err == nil && table > i {
			spec = strings.Replace(spec, "table="+f.Table, "table="+tableOf(table-1), 1)
		}
		kept = append(kept, spec)
	}
	return kept
}
