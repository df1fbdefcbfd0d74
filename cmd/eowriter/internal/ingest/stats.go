package ingest

import (
	"errors"
	"slices"
	"strings"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
)

// Stats are sums over all partitions at one moment, for those who watch. There are none of a single partition: there may
// be thousands.
type Stats struct {
	Tables  []TableStats // those that exist, as far as is known, ordered by name
	States  map[eowriterv1.State]int
	Stopped map[Cause]int // partitions that are WAITING or HALTED, or are being opened again after that
	Bytes   int64         // of Options.TotalBytes, taken
	Appends int           // of Options.TotalAppends, taken
	Closing bool          // Close was called
}

// TableStats are sums over the partitions of a table.
type TableStats struct {
	Table    string    // projects/P/datasets/D/tables/T
	Queued   int       // appends that were accepted and are not handed to the writer
	Open     int       // appends that were, and have not landed
	Intents  int       // batches that they are in
	Oldest   time.Time // when the oldest of Queued and Open was accepted; zero: there is none
	InFlight int       // requests that await an answer
	Moved    time.Time // when rows landed last, or a file's partition was written
	Letters  int64     // dead letters that wait in the ledger
}

// Cause is why a partition has stopped, in a word.
type Cause string

// Causes are all of them.
var Causes = []Cause{Conflict, Fenced, InDoubt, Blocked, Refused, NoTable, Unreached, Other}

const (
	Conflict  Cause = "conflict"  // HALTED: somebody else wrote to its stream, or the service lost rows
	Fenced    Cause = "fenced"    // HALTED: another owner took it over
	InDoubt   Cause = "in_doubt"  // HALTED: its stream is gone with open batches
	Blocked   Cause = "blocked"   // WAITING: the service refuses until a person mends something
	Refused   Cause = "refused"   // WAITING: the service refuses rows
	NoTable   Cause = "no_table"  // WAITING: there is no such table
	Unreached Cause = "unreached" // WAITING: the service doesn't answer, or says to try again
	Other     Cause = "other"
)

var haltCauses = map[ledger.HaltCause]Cause{ledger.Conflict: Conflict, ledger.Fenced: Fenced, ledger.InDoubt: InDoubt}

// causeOf is what a partition has stopped with.
func causeOf(err error) Cause {
	for _, known := range []struct {
		err   error
		cause Cause
	}{
		{committed.ErrConflict, Conflict}, {committed.ErrFenced, Fenced}, {committed.ErrInDoubt, InDoubt},
		{committed.ErrBlocked, Blocked}, {committed.ErrRefused, Refused}, {committed.ErrUnknown, Other},
	} {
		if errors.Is(err, known.err) {
			return known.cause
		}
	}
	switch {
	case why(err).Reason == eowriterv1.Reason_REASON_NO_TABLE:
		return NoTable
	case retry.FromError(err, nil).Class == retry.Transient:
		return Unreached
	case retry.FromError(err, nil).Class == retry.Blocked:
		return Blocked
	}
	return Other
}

// Stats adds up. It reads the ledger's record of every partition.
func (i *Ingest) Stats() (*Stats, error) {
	recorded, err := i.led.Partitions()
	if err != nil {
		return nil, err
	}
	s := &Stats{States: map[eowriterv1.State]int{}, Stopped: map[Cause]int{}, Closing: i.isClosing()}
	tables := map[string]*TableStats{}
	for n := range recorded {
		part := &recorded[n]
		t := tables[part.Key.Table]
		if t == nil {
			t = &TableStats{Table: part.Key.Table}
			tables[part.Key.Table] = t
		}
		t.Letters += part.Dead - part.Delivered
		i.countFile(part, s, t)
	}
	for _, p := range i.all("") {
		p.count(s, tables[p.key.Table]) // a table without a stream may not exist
	}
	for _, t := range tables {
		s.Tables = append(s.Tables, *t)
	}
	slices.SortFunc(s.Tables, func(a, b TableStats) int { return strings.Compare(a.Table, b.Table) })
	i.budget.mu.Lock()
	defer i.budget.mu.Unlock()
	s.Bytes, s.Appends = i.budget.bytes, i.budget.appends
	return s, nil
}

// countFile adds a partition that is written from a file, of which Ingest itself knows no more than that.
func (i *Ingest) countFile(part *ledger.Partition, s *Stats, t *TableStats) {
	if part.Mode != ledger.Replayable {
		return
	}
	if part.Updated.After(t.Moved) {
		t.Moved = part.Updated
	}
	var now eowriterv1.Partition
	i.describe(part, &now)
	switch {
	case part.Halt != nil:
		s.Stopped[haltCauses[part.Halt.Cause]]++
	case now.RetryAt != nil:
		s.Stopped[Other]++
	}
}

// count adds the partition to s, and to t if that isn't nil.
func (p *partition) count(s *Stats, t *TableStats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.States[p.state]++
	if p.failure != nil {
		s.Stopped[p.cause]++
	}
	if t == nil {
		return
	}
	one := TableStats{Queued: p.queued, Open: len(p.entries) - p.queued, Intents: len(p.open), Moved: p.moved}
	if len(p.entries) > 0 {
		one.Oldest = p.entries[0].since
	}
	if p.cp != nil {
		one.InFlight = p.cp.InFlight()
	}
	t.Add(&one)
}

// Add makes t the sums over both.
func (t *TableStats) Add(other *TableStats) {
	t.Queued += other.Queued
	t.Open += other.Open
	t.Intents += other.Intents
	t.InFlight += other.InFlight
	t.Letters += other.Letters
	if t.Oldest.IsZero() || !other.Oldest.IsZero() && other.Oldest.Before(t.Oldest) {
		t.Oldest = other.Oldest
	}
	if other.Moved.After(t.Moved) {
		t.Moved = other.Moved
	}
}
