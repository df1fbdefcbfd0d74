package chaos

import (
	"fmt"
	"maps"
	"slices"
)

// Row is one row of a table: where it is, and which row of the source it is.
type Row struct {
	Stream    string
	Offset    int64
	Partition string
	Index     int64 // in the partition's source, from 0
}

// Told is one batch that a caller was told has landed.
type Told struct {
	Partition string
	From, To  int64  // its rows in the partition's source; equal: only the place was told
	Stream    string // "": none of its rows is in the table
	Offset    int64  // where one of its rows is
}

// Dead is one row that became a dead letter, or that the ledger holds as one until its
// batch is acknowledged.
type Dead struct {
	Partition string
	Index     int64
}

// History is what happened to a table, as far as anybody can see it from outside.
type History struct {
	Input     map[string]int64  // rows that the source of each partition has
	Table     []Row             // in the order of their arrival
	Dead      []Dead            // rows that do not land
	Told      []Told            // landed, say the results
	Positions map[string]int64  // rows that each partition's durable position claims
	Epochs    map[string]uint64 // of streams; those that are absent are not compared
	Final     bool              // all that the source has must have landed
}

// Kind says what is wrong.
type Kind string

// The ways in which a history breaks the promise of exactly once.
const (
	Lost       Kind = "lost"       // a row that must be in the table is not
	Duplicated Kind = "duplicated" // a row is there more than once
	Reordered  Kind = "reordered"  // a row is there before, or in an earlier stream than, one that it comes after
	Phantom    Kind = "phantom"    // a row is there that no source has
	Misplaced  Kind = "misplaced"  // a caller was told of a place that holds something else
	Early      Kind = "early"      // a position claims rows that are not in the table
)

// Finding is one thing that is wrong.
type Finding struct {
	Kind      Kind
	Partition string
	Detail    string
}

// String says it in a line.
func (f Finding) String() string {
	return fmt.Sprintf("%s: partition %s: %s", f.Kind, f.Partition, f.Detail)
}

// Judge returns everything that is wrong with the history, in no meaningful order
// but always the same; none means that it keeps the promise. It takes time in
// proportion to the rows.
func (h History) Judge() []Finding {
	j := judgement{History: h, seen: map[string]map[int64]Row{}, dead: map[Dead]bool{}, places: map[place]Row{}}
	for p := range h.Input {
		j.seen[p] = map[int64]Row{}
	}
	j.arrivals()
	j.deaths()
	for _, p := range slices.Sorted(maps.Keys(h.Input)) {
		j.order(p)
		j.claims(p)
	}
	for _, t := range h.Told {
		j.told(t)
	}
	return j.findings
}

type place struct {
	stream string
	offset int64
}

type judgement struct {
	History
	seen     map[string]map[int64]Row // the first arrival of each row
	dead     map[Dead]bool
	places   map[place]Row
	findings []Finding
}

func (j *judgement) find(k Kind, partition, format string, args ...any) {
	j.findings = append(j.findings, Finding{k, partition, fmt.Sprintf(format, args...)})
}

// arrivals looks at the rows one by one.
func (j *judgement) arrivals() {
	newest := map[string]int64{}
	for _, r := range j.Table {
		j.places[place{r.Stream, r.Offset}] = r
		if r.Index < 0 || r.Index >= j.Input[r.Partition] {
			j.find(Phantom, r.Partition, "row %d is in no source", r.Index)
			continue
		}
		if first, again := j.seen[r.Partition][r.Index]; again {
			j.find(Duplicated, r.Partition, "row %d is at %d of %s and at %d of %s",
				r.Index, first.Offset, first.Stream, r.Offset, r.Stream)
			continue
		}
		if last, any := newest[r.Partition]; any && r.Index < last {
			j.find(Reordered, r.Partition, "row %d arrived after row %d", r.Index, last)
		}
		newest[r.Partition] = max(r.Index, newest[r.Partition])
		j.seen[r.Partition][r.Index] = r
	}
}

// deaths looks at the dead rows one by one: each is dead once, and not in the table.
func (j *judgement) deaths() {
	for _, d := range j.Dead {
		r, there := j.seen[d.Partition][d.Index]
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

// there says that a row is in the table, or dead.
func (j *judgement) there(partition string, i int64) bool {
	_, there := j.seen[partition][i]
	return there || j.dead[Dead{partition, i}]
}

// order looks at the rows as a reader of successive streams sees them, and for gaps.
func (j *judgement) order(p string) {
	var before *Row
	for i, left := int64(0), len(j.seen[p]); i < j.Input[p] && (left > 0 || j.Final); i++ {
		r, there := j.seen[p][i]
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

// claims holds the partition's position against the table.
func (j *judgement) claims(p string) {
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
	r, there := j.places[place{t.Stream, t.Offset}]
	if !there || r.Partition != t.Partition || t.From < t.To && (r.Index < t.From || r.Index >= t.To) {
		j.find(Misplaced, t.Partition, "rows [%d, %d) were reported at %d of %s, which holds something else or nothing",
			t.From, t.To, t.Offset, t.Stream)
	}
}
