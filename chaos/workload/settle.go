package workload

import (
	"errors"

	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
)

// settler finds out what settles a partition's batches. It is called with the
// partition's lock held.
type settler struct {
	sent    map[int64]bool // offsets of the present stream: sent in this run, and true if not for the first time
	counted bool           // R4: what lands now was below the count
}

func (s *settler) step(e committed.StepEvent) {
	switch e.Step {
	case committed.R4:
		s.counted = true
	case committed.R5:
		*s = settler{sent: map[int64]bool{}}
	}
}

func (s *settler) landed(ack committed.Ack) Settlement {
	again, sent := s.sent[ack.Offset]
	delete(s.sent, ack.Offset)
	switch {
	case ack.Duplicate && s.counted:
		return ByCount
	case ack.Duplicate && sent:
		return ByAnswer
	case ack.Duplicate:
		return ByProbe
	case again:
		return SentAgain
	}
	return ""
}

// causes are the words for what a partition stops with.
var causes = []struct {
	err  error
	word string
}{
	{ledger.ErrFailed, "failed"}, {ledger.ErrInUse, "in use"}, {ledger.ErrDeleted, "deleted"}, {ledger.ErrCorrupt, "corrupt"},
	{committed.ErrConflict, "conflict"}, {committed.ErrFenced, "fenced"}, {committed.ErrInDoubt, "in doubt"},
	{committed.ErrBlocked, "blocked"}, {committed.ErrRefused, "refused"}, {committed.ErrChanged, "changed"},
	{committed.ErrSource, "source"}, {committed.ErrUnknown, "unknown"},
}

// causeOf is the word for an error, "other" if there is none.
func causeOf(err error) string {
	for _, c := range causes {
		if errors.Is(err, c.err) {
			return c.word
		}
	}
	return "other"
}
