package recovery

import (
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
)

// bind gives the offered batches their offsets and asks for their intents (B2).
func (m *Machine) bind() {
	for m.offered.len() > 0 {
		it := m.offered.pop()
		it.Start, it.Number = m.part.Next, m.intents
		m.part.Next = it.End()
		m.intents++
		m.window.push(it)
		m.write(Action{Kind: Bind, Batch: it.batch, Intent: it.Intent})
	}
}

// written handles the ledger's answers to writes.
func (m *Machine) written(e Event) {
	switch e.Kind {
	case Opened:
		m.adopt(e)
	case Bound:
		m.do(Action{Kind: Stored, Batch: m.window.at(m.window.bound).batch})
		m.window.bind()
	case Acknowledged:
		m.resolve(m.acking)
		m.acking = 0
	case Sealed:
		m.part.Seal = &m.rotation.seal
		m.phase = phaseFinalizing
	case Settled:
		m.settled(e)
	case Forgotten:
		m.stop(Done, m.part.Acked, "retired", nil)
	case Halted: // the Stop that waits for it comes now
	case Failed:
		m.stop(Unknown, m.part.Acked, "the ledger did not take a write", &retry.Answer{Err: e.Err})
	}
}

// adopt takes the stream that the ledger just recorded as this partition's (O2, R4).
func (m *Machine) adopt(e Event) {
	if m.phase == phaseStopped {
		return
	}
	m.part, m.suspicious = *e.Partition, e.Suspicious
	m.rotation, m.ownSeal, m.probed, m.aged = nil, false, false, false
	m.phase = phaseProbing
}

// resolve lets the items below an ordinal leave the window: their acknowledgement
// is durable (B7).
func (m *Machine) resolve(to uint64) {
	for m.window.first < to {
		it := m.window.pop()
		m.part.Acked = it.End()
		if !it.Ends() {
			continue // a part: its batch has landed with the last one
		}
		m.part.Position = reached(m.part.Position, it.Intent)
		m.part.Dead += int64(len(it.Dead))
		m.do(Action{Kind: Landed, Batch: it.batch, Ack: Ack{
			Stream: m.part.Stream, Epoch: m.part.Epoch, Offset: it.Start, Rows: it.Of, Dead: len(it.Dead), Duplicate: it.duplicate,
			Unskipped: it.Skip != "",
		}})
	}
}

// reached returns the source position after a batch. One without a position of its
// own moves nothing: the ledger has it so too.
func reached(before []byte, in ledger.Intent) []byte {
	if in.After == nil {
		return before
	}
	return in.After
}

// acknowledge asks for B6 of what has landed, one write at a time: what lands
// meanwhile goes together in the next.
func (m *Machine) acknowledge() {
	if m.acking != 0 || m.window.landed == m.window.first {
		return
	}
	m.acking = m.window.landed
	last := m.window.at(m.acking - 1)
	m.write(Action{Kind: Acknowledge, Number: last.Number, End: last.End()})
}

// write asks the ledger for something, in the present epoch.
func (m *Machine) write(a Action) {
	a.Epoch = m.part.Epoch
	m.writes++
	m.do(a)
}

func (m *Machine) do(a Action) { m.out = append(m.out, a) }
