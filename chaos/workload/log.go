package workload

import (
	"slices"

	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/ledger"
)

// Log is what the callers of all runs were told.
type Log struct {
	told    []chaos.Told
	refused []chaos.Refused
	resumed []chaos.Resumed
	stored  map[string]int64 // rows that results said are durable

	Reasons map[string][]ledger.Reason // why streams were sealed, by partition
	Settled map[Settlement]int64       // batches whose fate had not been known, by what settled it
}

// NewLog returns an empty log.
func NewLog() *Log {
	return &Log{stored: map[string]int64{}, Reasons: map[string][]ledger.Reason{}, Settled: map[Settlement]int64{}}
}

// Add adds a note. The notes of a run come in their order, and runs one after another.
func (l *Log) Add(n Note) {
	switch n.Kind {
	case Resumed:
		l.resumed = append(l.resumed, chaos.Resumed{Partition: n.Partition, At: n.From, Stored: l.stored[n.Partition]})
	case Offered:
		l.refused = slices.DeleteFunc(l.refused, func(r chaos.Refused) bool {
			return r.Partition == n.Partition && r.From < n.To && n.From < r.To
		})
	case Refused:
		l.refused = append(l.refused, chaos.Refused{Partition: n.Partition, From: n.From, To: n.To})
	case Stored:
		l.stored[n.Partition] = n.To
	case Landed, Found:
		l.told = append(l.told, chaos.Told{Partition: n.Partition, From: n.From, To: n.To, Stream: n.Stream, Offset: n.Offset})
		if n.Settled != "" {
			l.Settled[n.Settled]++
		}
	case Sealed:
		l.Reasons[n.Partition] = append(l.Reasons[n.Partition], ledger.Reason(n.Reason))
	}
}

// Restored forgets what results said is durable: the ledger is another one now, or of an
// earlier time.
func (l *Log) Restored() { clear(l.stored) }

// AddTo adds what was told to a history.
func (l *Log) AddTo(h *chaos.History) {
	h.Told = append(h.Told, l.told...)
	h.Refused = append(h.Refused, l.refused...)
	h.Resumed = append(h.Resumed, l.resumed...)
}
