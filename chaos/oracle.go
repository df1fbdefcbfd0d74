package chaos

import "fmt"

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

// Refused is one batch that a caller was told is not bound, and that was not offered again.
type Refused struct {
	Partition string
	From, To  int64 // its rows in the partition's source
}

// Resumed is the beginning of a run of a partition's writer.
type Resumed struct {
	Partition string
	At        int64 // rows before the position at which the source is to go on
	Stored    int64 // rows that results of earlier runs had said are durable
}

// Dead is one row that became a dead letter, or that the ledger holds as one until its
// batch is acknowledged.
type Dead struct {
	Partition string
	Index     int64
}

// Bound is an intent that became durable: rows of a stream belong to a batch.
type Bound struct {
	Partition string
	Stream    string
	Start     int64
	Rows      int64 // [Start, Start+Rows) of the stream; 0: the batch has none that land
	From, To  int64 // the batch's rows in the partition's source
	Digest    string
}

// Request is an append that reached the service; probes are none.
type Request struct {
	Stream  string
	Offset  int64
	Rows    int64
	Durable int // how many of History.Bound were durable when it came
}

// Claim is what a closed ledger says of the stream of a partition, and the service.
type Claim struct {
	Partition string
	Stream    string
	Acked     int64 // of the ledger: rows acknowledged
	Next      int64 // of the ledger: rows acknowledged or bound
	End       int64 // of the service
}

// History is what happened to a table, as far as anybody can see it from outside: the
// input, the table, and what was said. What is left empty is not compared.
type History struct {
	Input map[string]int64 // rows that the source of each partition has
	Table []Row            // in the order of their arrival
	Dead  []Dead           // rows that do not land

	Told      []Told            // landed, say the results
	Refused   []Refused         // not bound, say the calls
	Resumed   []Resumed         // in their order
	Positions map[string]int64  // rows that each partition's durable position claims
	Epochs    map[string]uint64 // of streams; those that are absent are not compared

	Bound    []Bound   // in the order in which they became durable; again when a ledger is opened
	Requests []Request // in the order of their arrival
	Claims   []Claim
	Unsound  []string // what the ledgers' own checks found

	Final   bool            // all that the source has must have landed
	Stopped map[string]bool // but not of these partitions, which wait for a person
}

// Kind says what is wrong.
type Kind string

// The ways in which a history breaks the promise of exactly once, or comes near to it.
const (
	Lost       Kind = "lost"       // a row that must be in the table is not
	Duplicated Kind = "duplicated" // a row is there more than once
	Reordered  Kind = "reordered"  // a row is there before, or in an earlier stream than, one that it comes after
	Phantom    Kind = "phantom"    // a row is there that no source has
	Misplaced  Kind = "misplaced"  // a caller was told of a place that holds something else
	Early      Kind = "early"      // a position claims rows that are not in the table
	Unwanted   Kind = "unwanted"   // a row is there that was refused and not offered again
	Forgotten  Kind = "forgotten"  // a run resumed before rows that were reported durable
	Unbound    Kind = "unbound"    // a request came, or a row is there, whose intent was not durable
	Rebound    Kind = "rebound"    // offsets of a stream were bound to two batches
	Apart      Kind = "apart"      // a ledger and the service differ about a stream
	Unsound    Kind = "unsound"    // a ledger breaks its own rules
)

// Kinds are all kinds.
var Kinds = []Kind{Lost, Duplicated, Reordered, Phantom, Misplaced, Early, Unwanted, Forgotten, Unbound, Rebound, Apart, Unsound}

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
// but always the same; none means that it keeps the promise. It takes time and memory
// in proportion to the rows.
func (h History) Judge() []Finding {
	j := newJudgement(h)
	j.arrivals()
	j.deaths()
	for _, p := range j.partitions {
		j.order(p)
		j.position(p)
	}
	for _, t := range h.Told {
		j.told(t)
	}
	for _, r := range h.Refused {
		j.refused(r)
	}
	j.resumed()
	j.bindings()
	j.claims()
	return j.findings
}
