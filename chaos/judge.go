package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
)

// judgement is a history with what finds its rows quickly.
type judgement struct {
	History
	partitions []string           // of Input, sorted
	seen       map[string][]int32 // by row of each source: 1 + where in Table it arrived first, 0: nowhere
	streams    map[string][]int32 // where in Table the rows of each stream are, by growing offset
	dead       map[Dead]bool
	findings   []Finding
}

func newJudgement(h History) *judgement {
	j := &judgement{History: h, partitions: slices.Sorted(maps.Keys(h.Input)),
		seen: map[string][]int32{}, streams: map[string][]int32{}, dead: map[Dead]bool{}}
	for p, rows := range h.Input {
		j.seen[p] = make([]int32, rows)
	}
	for i, r := range h.Table {
		j.streams[r.Stream] = append(j.streams[r.Stream], int32(i))
	}
	for _, rows := range j.streams {
		slices.SortStableFunc(rows, func(a, b int32) int { return cmp.Compare(h.Table[a].Offset, h.Table[b].Offset) })
	}
	return j
}

func (j *judgement) find(k Kind, partition, format string, args ...any) {
	j.findings = append(j.findings, Finding{k, partition, fmt.Sprintf(format, args...)})
}

// at returns what is at a place.
func (j *judgement) at(stream string, offset int64) (Row, bool) {
	rows := j.streams[stream]
	i := sort.Search(len(rows), func(i int) bool { return j.Table[rows[i]].Offset >= offset })
	if i == len(rows) || j.Table[rows[i]].Offset != offset {
		return Row{}, false
	}
	return j.Table[rows[i]], true
}

// first returns the first arrival of a row.
func (j *judgement) first(partition string, i int64) (Row, bool) {
	seen := j.seen[partition]
	if i < 0 || i >= int64(len(seen)) || seen[i] == 0 {
		return Row{}, false
	}
	return j.Table[seen[i]-1], true
}

// there says that a row is in the table, or dead.
func (j *judgement) there(partition string, i int64) bool {
	_, there := j.first(partition, i)
	return there || j.dead[Dead{partition, i}]
}

// arrivals looks at the rows one by one.
func (j *judgement) arrivals() {
	newest := map[string]int64{}
	for n, r := range j.Table {
		if r.Index < 0 || r.Index >= j.Input[r.Partition] {
			j.find(Phantom, r.Partition, "row %d is in no source", r.Index)
			continue
		}
		if first, again := j.first(r.Partition, r.Index); again {
			j.find(Duplicated, r.Partition, "row %d is at %d of %s and at %d of %s",
				r.Index, first.Offset, first.Stream, r.Offset, r.Stream)
			continue
		}
		if last, any := newest[r.Partition]; any && r.Index < last {
			j.find(Reordered, r.Partition, "row %d arrived after row %d", r.Index, last)
		}
		newest[r.Partition] = max(r.Index, newest[r.Partition])
		j.seen[r.Partition][r.Index] = int32(n) + 1
	}
}

// deaths looks at the dead rows one by one: each is dead once, and not in the table.
func (j *judgement) deaths() {
	for _, d := range j.Dead {
		r, there := j.first(d.Partition, d.Index)
		switch {
		case d.Index < 0 || d.Index >= j.Input[d.Partition]:
			j.find(Phantom, d.Partition, "dead row %d is in no source", d.Index)
		case j.dead[d]:
			j.find(Duplicated, d.Partition, "row %d is dead twice", d.Index)
		case there:
			j.find(Duplicated, d.Partition, "row %d is dead, and at %d of %s", d.Index, r.Offset, r.Stream)
		}
		j.dead[d] = true
	}
}

// order looks at the rows as a reader of successive streams sees them, and for gaps.
func (j *judgement) order(p string) {
	left := 0
	for _, n := range j.seen[p] {
		if n > 0 {
			left++
		}
	}
	var before *Row
	all := j.Final && !j.Stopped[p]
	for i := int64(0); i < j.Input[p] && (left > 0 || all); i++ {
		r, there := j.first(p, i)
		if !there && j.dead[Dead{p, i}] {
			continue
		}
		if !there {
			j.find(Lost, p, "row %d is not in the table", i)
			continue
		}
		left--
		if before != nil && j.earlier(r, *before) {
			j.find(Reordered, p, "row %d, at %d of %s, reads before row %d, at %d of %s",
				i, r.Offset, r.Stream, before.Index, before.Offset, before.Stream)
		}
		before = &r
	}
}

// earlier says that a is read before b, as far as that is known.
func (j *judgement) earlier(a, b Row) bool {
	if a.Stream == b.Stream {
		return a.Offset < b.Offset
	}
	x, y := j.Epochs[a.Stream], j.Epochs[b.Stream]
	return x != 0 && y != 0 && x <= y
}

// position holds the partition's position against the table.
func (j *judgement) position(p string) {
	if j.Positions[p] > j.Input[p] {
		j.find(Early, p, "the position claims %d rows, the source has %d", j.Positions[p], j.Input[p])
	}
	for i := range min(j.Positions[p], j.Input[p]) {
		if !j.there(p, i) {
			j.find(Early, p, "the position claims %d rows, but row %d is not in the table", j.Positions[p], i)
			return
		}
	}
}

// told holds what a caller was told against the table.
func (j *judgement) told(t Told) {
	for i := t.From; i < t.To; i++ {
		if !j.there(t.Partition, i) {
			j.find(Lost, t.Partition, "row %d was reported landed and is not in the table", i)
		}
	}
	if t.Stream == "" {
		return
	}
	r, there := j.at(t.Stream, t.Offset)
	if !there || r.Partition != t.Partition || t.From < t.To && (r.Index < t.From || r.Index >= t.To) {
		j.find(Misplaced, t.Partition, "rows [%d, %d) were reported at %d of %s, which holds something else or nothing",
			t.From, t.To, t.Offset, t.Stream)
	}
}

// refused looks for rows of a batch that was not taken.
func (j *judgement) refused(r Refused) {
	for i := r.From; i < r.To; i++ {
		if j.there(r.Partition, i) {
			j.find(Unwanted, r.Partition, "row %d is there, though it was refused and not offered again", i)
		}
	}
}

// resumed holds where runs began against what had been reported durable.
func (j *judgement) resumed() {
	for _, r := range j.Resumed {
		if r.At < r.Stored {
			j.find(Forgotten, r.Partition, "a run resumed at row %d, though rows up to %d had been reported durable", r.At, r.Stored)
		}
	}
}
