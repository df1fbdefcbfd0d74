package chaos

import (
	"cmp"
	"maps"
	"slices"
)

type place struct {
	stream string
	offset int64
}

// bindings checks that offsets are bound once, that what came to the service was
// bound before, and that the table holds at each offset a row of the batch that it was
// bound to.
func (j *judgement) bindings() {
	at := map[place]int{} // the first one of each place, by where it is in Bound
	byStream := map[string][]int{}
	for n, b := range j.Bound {
		if b.Rows == 0 {
			continue
		}
		where := place{b.Stream, b.Start}
		first, again := at[where]
		switch {
		case !again:
			at[where] = n
			byStream[b.Stream] = append(byStream[b.Stream], n)
		case j.Bound[first] != b:
			j.find(Rebound, b.Partition, "offset %d of %s was bound to rows [%d, %d), digest %s, and then to [%d, %d), digest %s, %d and %d of them",
				b.Start, b.Stream, j.Bound[first].From, j.Bound[first].To, j.Bound[first].Digest, b.From, b.To, b.Digest, j.Bound[first].Rows, b.Rows)
		}
	}
	for _, r := range j.Requests {
		n, bound := at[place{r.Stream, r.Offset}]
		if !bound || n >= r.Durable || j.Bound[n].Rows != r.Rows {
			j.find(Unbound, "", "%d rows were sent to offset %d of %s before that was durable", r.Rows, r.Offset, r.Stream)
		}
	}
	for _, stream := range slices.Sorted(maps.Keys(byStream)) {
		bound := byStream[stream]
		slices.SortFunc(bound, func(a, b int) int { return cmp.Compare(j.Bound[a].Start, j.Bound[b].Start) })
		for i, n := range bound[1:] {
			if before := j.Bound[bound[i]]; before.Start+before.Rows > j.Bound[n].Start {
				j.find(Rebound, before.Partition, "the batches bound at %d and %d of %s overlap", before.Start, j.Bound[n].Start, before.Stream)
			}
		}
	}
	if len(j.Requests) > 0 {
		j.fits(byStream)
	}
}

// fits checks the rows of the table against what was bound, by stream and start.
func (j *judgement) fits(byStream map[string][]int) {
	for _, stream := range slices.Sorted(maps.Keys(j.streams)) {
		bound, n := byStream[stream], 0
		for _, i := range j.streams[stream] {
			r := j.Table[i]
			for n < len(bound) && j.Bound[bound[n]].Start+j.Bound[bound[n]].Rows <= r.Offset {
				n++
			}
			if n < len(bound) {
				b := j.Bound[bound[n]]
				if b.Start <= r.Offset && b.Partition == r.Partition && b.From <= r.Index && r.Index < b.To {
					continue
				}
			}
			j.find(Unbound, r.Partition, "offset %d of %s holds row %d, which was never bound to it", r.Offset, stream, r.Index)
		}
	}
}

// claims holds the ledgers against the service, and takes down what they know to be
// wrong themselves.
func (j *judgement) claims() {
	for _, c := range j.Claims {
		done := j.Final && !j.Stopped[c.Partition]
		if c.Acked > c.End || c.End > c.Next || done && c.Acked != c.Next {
			j.find(Apart, c.Partition, "the ledger has %d rows acknowledged and %d bound, the service has %d in %s", c.Acked, c.Next, c.End, c.Stream)
		}
	}
	for _, u := range j.Unsound {
		j.find(Unsound, "", "%s", u)
	}
}
