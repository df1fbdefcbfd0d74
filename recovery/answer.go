package recovery

import (
	"fmt"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
)

// situation tells what is known of item n, or of the stream if n is the probe's.
func (m *Machine) situation(n uint64) Situation {
	s := Situation{
		First:  m.window.start(m.window.landed, m.part.Next),
		Sealed: m.part.Seal != nil, Open: m.window.items.len() > 0,
		Probed: m.probed, Suspicious: m.suspicious,
		Renewed: m.renewed,
		Known:   m.window.known,
	}
	if n != probeOrdinal {
		it := m.window.at(n)
		s.Start, s.End, s.MaySent = it.Start, it.End(), it.maySent
	}
	return s
}

// appendAnswered judges the answer to item n's append (B5).
func (m *Machine) appendAnswered(n uint64, a *retry.Answer) {
	s := m.situation(n)
	m.window.at(n).flying = false
	m.judged(n, a, s)
}

func (m *Machine) judged(n uint64, a *retry.Answer, s Situation) {
	v := Judge(a, s)
	m.verdict = v
	if v == Acked {
		m.window.land(n, a.Class == retry.AlreadyExists)
		m.tries = [Propagation + 1]int{}
		return
	}
	it := m.window.at(n)
	switch a.Class {
	case retry.OutOfRange, retry.RowErrors, retry.TooLarge, retry.ExtraFields, retry.Mismatch:
		// Refused plainly: this append wrote nothing. A connection's end is no answer to
		// an append, whatever its class.
		it.maySent = it.maySent || a.Broken
	default:
		it.maySent = true
	}
	if v == Split && it.Rows == 1 {
		v = Blocked // one row over the limit can't be split
		m.verdict = v
	}
	m.act(v, it.Start, a)
}

// probeJudged judges the answer to the probe (O3, R5).
func (m *Machine) probeJudged(a *retry.Answer, s Situation) {
	v := JudgeProbe(a, m.part.Acked, s)
	if v == Split {
		v = Blocked // one small row
	}
	m.verdict = v
	if v != Acked {
		m.act(v, m.part.Acked, a)
		return
	}
	m.probed = true
	m.tries = [Propagation + 1]int{}
	if m.suspicious {
		m.rotate(ledger.TakeOver, "the ledger was moved, copied or restored")
		return
	}
	if m.rotation != nil {
		m.refreshed()
		return
	}
	m.fitted(a)
}

// fitted goes on with a partition whose stream ends where the ledger explains it.
func (m *Machine) fitted(a *retry.Answer) {
	for n := m.window.first; n < m.window.end() && m.window.at(n).End() <= a.Expected; n++ {
		m.window.land(n, true)
	}
	m.do(Action{Kind: Ready})
	switch {
	case m.part.Resolution != nil:
		// What a person said is void, durably before anything more is sent to a stream that
		// may be gone the next time.
		m.rotate(ledger.Found, "it is there after all: not the word of a person counts, but its end")
	case m.skips():
		m.rotate(ledger.Skipped, "a batch is to be skipped")
	case m.outdated():
		m.rotate(ledger.Encoding, "the encoder or the table's schema changed")
	case m.aged:
		m.rotate(ledger.Aging, "near the end of its time to live")
	default:
		m.phase = phaseLive
		m.bind()
	}
}

// act carries out a verdict other than Acked. While what follows a failed append
// is still being answered, only what stops the partition matters: the rest is sent
// again anyway, and a rotation's count decides about everything.
func (m *Machine) act(v Verdict, offset int64, a *retry.Answer) {
	busy := m.holding != 0 || m.phase == phaseDraining
	switch v {
	case Refused:
		m.refused(offset, a)
	case InDoubt:
		if m.part.Resolution != nil && m.phase == phaseProbing {
			m.rotate(ledger.Resolved, "it is gone, and a person has said what of it has landed")
			return
		}
		m.stop(v, offset, m.describe(offset, a), a)
	case Conflict, Fenced, Blocked:
		m.stop(v, offset, m.describe(offset, a), a)
	case NewEpoch:
		m.disconnect()
		m.rotation = nil
		m.holding, m.waiting = 0, false
		m.phase = phaseCreating
	case Again, Rewind:
		if !busy {
			m.hold(Backoff)
		}
	case AskAgain, Propagate:
		m.askAgain(v, offset, a, busy)
	case Split:
		if !busy {
			m.rotate(ledger.TooLarge, m.describe(offset, a))
		}
	case Uncounted:
		m.uncounted()
	}
}

// askAgain waits for the service's view to catch up, within a bound.
func (m *Machine) askAgain(v Verdict, offset int64, a *retry.Answer, busy bool) {
	switch {
	case busy:
	case v == Propagate && m.tries[Propagation] >= m.opt.PropagationTries:
		if it := m.itemAt(offset); m.phase == phaseLive && it != nil && m.stale(it) {
			// The table has gone on without a column of it; its source may do so too.
			m.tries[Propagation] = 0
			m.rotate(ledger.Encoding, m.describe(offset, a))
			return
		}
		m.stop(Blocked, offset, m.describe(offset, a), a)
	case v == Propagate:
		m.hold(Propagation)
	case m.tries[Lag] >= m.opt.LagTries:
		m.uncounted()
	default:
		m.hold(Lag)
	}
}

// uncounted lets Finalize's count decide where the stream ends.
func (m *Machine) uncounted() {
	reason, detail := ledger.Lagging, "its end could not be learnt in time"
	if m.suspicious {
		reason = ledger.TakeOver
	}
	switch {
	case m.phase == phaseDraining:
	case m.rotation != nil:
		m.refreshed()
	default:
		m.rotate(reason, detail)
	}
}

// hold stops sending until what is in flight has been answered and a wait is over.
func (m *Machine) hold(k WaitKind) { m.holding, m.waiting = k, false }

// describe says what was seen and what was expected, for people.
func (m *Machine) describe(offset int64, a *retry.Answer) string {
	if a.Class == retry.RowErrors && len(a.Rows) > 0 {
		return fmt.Sprintf("row %d of the batch at offset %d: %s (%d refused)", a.Rows[0].Index, offset, a.Rows[0].Message, len(a.Rows))
	}
	if a.Expected >= 0 {
		return fmt.Sprintf("the service has the stream's end at %d, the ledger has %d acknowledged and %d bound", a.Expected, m.part.Acked, m.part.Next)
	}
	return fmt.Sprintf("%s at offset %d", a.Class, offset)
}
