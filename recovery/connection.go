package recovery

import (
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
