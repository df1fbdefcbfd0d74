package recovery

import "github.com/eowriter/eowriter/retry"

// Verdict is what an answer means for an intent, a probe or a partition.
type Verdict uint8

const (
	Acked          Verdict = 1 + iota // the intent's rows are in the stream, once
	Again                             // nothing is certain: send it again after a while
	Rewind                            // an earlier append failed: replay from the first that has not landed
	AskAgain                          // the service's view of the end lags: again within a bound, then let Finalize's count decide
	Propagate                         // the backend doesn't know the table's new schema yet: again within a bound
	Split                             // too large: rotate and split
	Uncounted                         // the probe's answer had no number: let Finalize's count decide
	FinishRotation                    // finalized under our own seal
	NewEpoch                          // the stream is gone and nothing can have been lost with it
	Refused                           // the service refuses rows of the batch: stop, nothing lost
	Conflict                          // somebody else wrote, or the service lost rows: stop, marked
	Fenced                            // finalized without our seal, another owner took over: stop, marked
	InDoubt                           // the stream is gone with open intents: stop, marked
	Blocked                           // only a person can help: stop
	Unknown                           // a ledger write's outcome is unknown: stop
	Changed                           // the source's rows are not those that were bound: stop
	Done                              // retired
)

var verdictNames = [...]string{"", "acknowledged", "again", "rewind", "ask again", "propagate", "split", "uncounted",
	"finish rotation", "new epoch", "refused", "conflict", "fenced", "in doubt", "blocked", "unknown", "changed", "done"}

// String returns the verdict in words, as ARCHITECTURE.md has them.
func (v Verdict) String() string {
	if int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return "invalid"
}

// Situation is what the partition knows when an answer comes in.
type Situation struct {
	Start, End int64 // of the intent
	First      int64 // start of the first intent not known to have landed: where the stream's end must be at least
	// MaySent: an append of the intent before the one that is answered may have
	// reached the stream. True of intents read from disk, and of those that were
	// handed to the client and not plainly refused.
	MaySent    bool
	Sealed     bool                 // our seal of this stream is durable
	Open       bool                 // intents are open
	Probed     bool                 // a probe of this incarnation fitted
	Suspicious bool                 // the ledger may be a copy
	Renewed    bool                 // the table's schema has changed since the start
	Known      func(end int64) bool // end is a boundary of the window
}

// Judge says what an answer to an append means.
func Judge(a *retry.Answer, s Situation) Verdict {
	switch a.Class {
	case retry.OK:
		// Rows at another offset than asked for are rows out of place.
		if a.Offset >= 0 && a.Offset != s.Start {
			return Conflict
		}
		return Acked
	case retry.AlreadyExists:
		// True only of our own rows: the service doesn't compare contents (case 23).
		if !s.MaySent {
			return Conflict
		}
		if a.Expected >= 0 && (a.Expected < s.End || !s.Known(a.Expected)) {
			return Conflict
		}
		return Acked
	case retry.OutOfRange:
		if s.Start > s.First {
			return Rewind
		}
		return AskAgain
	default:
		return judgeStream(a, s)
	}
}

// JudgeProbe says what the answer to a probe means, given the partition's acked.
// Acked means that it fits: the stream ends at a.Expected, which is acked or the
// end of an intent that may have been sent.
func JudgeProbe(a *retry.Answer, acked int64, s Situation) Verdict {
	switch a.Class {
	case retry.OutOfRange:
		switch e := a.Expected; {
		case e < 0:
			return Uncounted
		case e < acked:
			return AskAgain
		case e == acked || s.Known(e):
			return Acked
		}
		return Conflict
	case retry.OK, retry.AlreadyExists:
		return Conflict // nothing can be at 2^62
	default:
		return judgeStream(a, s)
	}
}

// judgeStream judges the answers that mean the same for every request.
func judgeStream(a *retry.Answer, s Situation) Verdict {
	switch a.Class {
	case retry.Finalized:
		if s.Sealed {
			return FinishRotation
		}
		return Fenced
	case retry.Gone:
		// With an intent open nobody can say whether its rows had landed; from a
		// suspicious ledger nobody can say what else had.
		if !s.Open && (s.Probed || !s.Suspicious) {
			return NewEpoch
		}
		return InDoubt
	case retry.RowErrors:
		return Refused
	case retry.TooLarge:
		return Split
	case retry.ExtraFields:
		return Propagate
	case retry.Mismatch:
		// A column whose type was widened is news to the backends too. Without a change
		// the writer schema is wrong, and waiting doesn't mend it.
		if s.Renewed {
			return Propagate
		}
		return Blocked
	case retry.Transient, retry.Idle:
		return Again
	default:
		return Blocked
	}
}

// JudgeCount says whether Finalize's row count fits the window: it must be acked
// or the end of an open intent.
func JudgeCount(count, acked int64, known func(int64) bool) Verdict {
	if count == acked || count > acked && known(count) {
		return Acked
	}
	return Conflict
}
