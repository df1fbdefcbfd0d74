package recovery

import (
	"fmt"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
)

type connState uint8

const (
	connDown connState = iota
	connOpening
	connUp
)

// Due says that Next has a call to make.
func (m *Machine) Due() bool {
	if m.calling || m.holding != 0 {
		return false
	}
	switch m.phase {
	case phaseCreating, phaseSucceeding, phaseFinalizing, phaseExamining:
		return true
	case phaseProbing:
		return m.flight.len() == 0 && m.conn != connOpening
	case phaseLive:
		n, due := m.window.sendable()
		if !due || m.yielding && m.served || m.conn == connOpening {
			return false
		}
		// Another writer schema needs another connection, once this one is quiet.
		return m.conn == connDown || m.schema == m.window.at(n).Schema || m.flight.len() == 0
	}
	return false
}

// Next returns the next call to make, if one is due. The caller makes it at once:
// what Next returned counts as handed to the client (invariant 6).
func (m *Machine) Next() (Action, bool) {
	if !m.Due() {
		return Action{}, false
	}
	switch m.phase {
	case phaseCreating: // O1
		m.calling = true
		return Action{Kind: Create}, true
	case phaseSucceeding: // R1
		m.calling = true
		return Action{Kind: Create, Epoch: m.part.Epoch}, true
	case phaseFinalizing: // R3, F2
		m.calling = true
		return Action{Kind: Finalize, Stream: m.part.Stream, Seal: &m.rotation.seal}, true
	case phaseExamining:
		m.calling = true
		return m.examine(), true
	case phaseProbing: // O3, R5
		if m.conn == connDown || m.schema != m.opt.Schema {
			return m.connect(m.opt.Schema), true
		}
		m.flight.push(probeOrdinal)
		return Action{Kind: Probe, Conn: m.connID, Stream: m.part.Stream, Schema: m.schema}, true
	}
	n, _ := m.window.sendable()
	it := m.window.at(n)
	if m.conn == connDown || m.schema != it.Schema {
		return m.connect(it.Schema), true
	}
	again := it.maySent || it.sent
	it.flying, it.sent = true, true
	m.window.cursor++
	m.flight.push(n)
	return Action{Kind: Send, Conn: m.connID, Stream: m.part.Stream, Schema: m.schema, Batch: it.batch, Intent: it.Intent, Again: again}, true // B3
}

// connect asks for a connection in place of the one before. A stream's writer
// schema is fixed at a connection's first request (case 65).
func (m *Machine) connect(schema ledger.Fingerprint) Action {
	m.conns++
	m.conn, m.connID, m.schema, m.served = connOpening, m.conns, schema, false
	return Action{Kind: Connect, Conn: m.connID, Epoch: m.part.Epoch, Stream: m.part.Stream, Schema: schema}
}

// disconnect gives up the connection, if there is one.
func (m *Machine) disconnect() {
	if m.conn != connDown {
		m.do(Action{Kind: Disconnect, Conn: m.connID})
		m.hangUp()
	}
}

// hangUp notes that the connection is no more: what was in flight may have been
// applied, or may be yet.
func (m *Machine) hangUp() {
	for m.flight.len() > 0 {
		if n := m.flight.pop(); n != probeOrdinal {
			it := m.window.at(n)
			it.flying, it.maySent = false, true
		}
	}
	m.conn, m.connID, m.yielding, m.served = connDown, 0, false, false
	m.window.cursor = m.window.landed
}

// connection handles the events of the present connection.
func (m *Machine) connection(e Event) {
	switch {
	case e.Kind == Connected:
		m.conn = connUp
	case e.Kind == Answered && m.flight.len() > 0:
		m.served = true
		if n := m.flight.pop(); n == probeOrdinal {
			m.probeJudged(e.Answer, m.situation(n))
		} else {
			m.appendAnswered(n, e.Answer)
		}
	case e.Kind == Broken:
		m.broken(e.Answer)
	}
}

// broken judges the end of a connection: its status is about the oldest request
// in flight, the rest has no answer.
func (m *Machine) broken(a *retry.Answer) {
	quiet := m.conn == connUp && m.flight.len() == 0
	// The idle close (case 88) is normal life: what was sent into it goes out again at once.
	idle := a.Class == retry.Idle && m.served
	oldest := probeOrdinal
	if m.flight.len() > 0 {
		oldest = *m.flight.at(0)
	}
	if oldest != probeOrdinal {
		m.window.at(oldest).flying = false
		m.flight.pop()
	}
	s := m.situation(oldest)
	m.hangUp()
	switch {
	case oldest != probeOrdinal:
		m.judged(oldest, a, s)
	case m.phase == phaseProbing && !quiet:
		m.probeJudged(a, s)
	case quiet && (a.Class == retry.Idle || a.Class == retry.Transient):
		// Nobody waits for anything: connect again when there is something to send.
	default:
		m.act(judgeStream(a, s), m.part.Acked, a)
	}
	if idle && m.holding == Backoff && !m.waiting {
		m.holding = 0
	}
}

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
