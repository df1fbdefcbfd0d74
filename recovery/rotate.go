package recovery

import (
	"fmt"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
)

// rotation is what is being done to replace the partition's stream (R1 to R4).
// Retiring goes the same way without a successor.
type rotation struct {
	seal  ledger.Seal
	fresh bool   // the stream was asked for its end just before
	count int64  // of the finalized stream
	rest  []item // the items above the count, as R4 binds them anew
}

// rotate begins to replace the stream. First everything in flight is answered or
// broken, and the ledger is done with what it was asked. Unless the reason is itself
// an answer about the stream's end, the stream is asked for that then: since the last
// answer somebody may have taken it over, and Finalize would not tell.
func (m *Machine) rotate(reason ledger.Reason, detail string) {
	fresh := reason != ledger.Aging && reason != ledger.TooLarge || m.phase == phaseProbing
	m.rotation = &rotation{seal: ledger.Seal{Reason: reason, Detail: detail}, fresh: fresh}
	m.holding, m.waiting = 0, false
	m.phase = phaseDraining
}

// drained goes on when nothing moves any more.
func (m *Machine) drained() {
	if !m.rotation.fresh {
		m.phase = phaseProbing
		return
	}
	m.disconnect()
	if m.rotation.seal.Reason == ledger.Finished {
		m.seal("")
		return
	}
	m.phase = phaseSucceeding
}

// refreshed goes on with a rotation that has asked for the stream's end.
func (m *Machine) refreshed() {
	m.rotation.fresh = true
	m.phase = phaseDraining
}

// seal asks for R2: from here on the stream is finalized, whatever happens.
func (m *Machine) seal(successor string) {
	m.rotation.seal.Successor = successor
	m.phase = phaseSealing
	m.write(Action{Kind: Seal, Seal: &m.rotation.seal})
}

// called handles the outcomes of calls.
func (m *Machine) called(e Event) {
	switch {
	case e.Kind == Unreadable:
		m.stop(Changed, m.part.Acked, "the source did not give the rows that are bound", &retry.Answer{Err: e.Err})
	case e.Kind == CallFailed:
		m.callFailed(e.Answer)
	case e.Kind == Created && m.phase == phaseCreating:
		m.phase = phaseOpening
		m.write(Action{Kind: OpenEpoch, Opening: &ledger.Opening{
			Key: m.opt.Key, Mode: m.opt.Mode, Epoch: m.part.Epoch + 1, Stream: e.Name,
			Schema: m.opt.Schema, Descriptor: m.opt.Descriptor, Encoder: m.opt.Encoder,
		}})
	case e.Kind == Created && m.phase == phaseSucceeding:
		m.seal(e.Name)
	case e.Kind == Finalized && m.phase == phaseFinalizing:
		m.counted(e.Count)
	}
}

// callFailed judges the failure of Create or Finalize.
func (m *Machine) callFailed(a *retry.Answer) {
	switch {
	case a.Class == retry.Transient || a.Class == retry.Idle:
		m.hold(Backoff)
	case a.Class == retry.Gone && m.phase == phaseFinalizing && m.window.items.len() == 0 && !m.suspicious:
		m.counted(m.part.Acked) // it expired, and nothing was open: what was acknowledged is all
	case a.Class == retry.Gone && m.phase == phaseFinalizing:
		m.stop(InDoubt, m.part.Acked, "the sealed stream is gone with open intents", a)
	default:
		m.stop(Blocked, m.part.Acked, m.describe(m.part.Acked, a), a)
	}
}

// counted judges Finalize's row count and asks for R4.
func (m *Machine) counted(count int64) {
	m.tries = [Propagation + 1]int{}
	if JudgeCount(count, m.part.Acked, m.window.known) != Acked {
		m.stop(Conflict, count, fmt.Sprintf("the finalized stream has %d rows, the ledger has %d acknowledged and %d bound, with no boundary there",
			count, m.part.Acked, m.part.Next), nil)
		return
	}
	if m.rotation.seal.Reason == ledger.Finished {
		m.forget(count)
		return
	}
	m.settle(count)
}

// forget ends a retired partition, of which nothing may be open.
func (m *Machine) forget(count int64) {
	m.phase = phaseForgetting
	m.write(Action{Kind: Forget, End: count})
}

// settle asks for R4: what the count covers has landed, the rest is bound anew at
// offset 0 of the successor.
func (m *Machine) settle(count int64) {
	m.rotation.count, m.rotation.rest = count, m.rest(count)
	s := &ledger.Settlement{Rows: count, Rest: make([]ledger.Intent, len(m.rotation.rest))}
	for i, it := range m.rotation.rest {
		s.Rest[i] = it.Intent
	}
	m.phase = phaseSettling
	m.write(Action{Kind: Settle, Settlement: s})
}

// rest returns the items above the count as they are bound anew. After TooLarge the
// first of them, which is the one that was refused, is split in two.
func (m *Machine) rest(count int64) []item {
	var rest []item
	next := int64(0)
	bind := func(it item, from, rows int64) {
		it.Bytes = it.Bytes * rows / it.Rows // an estimate for the halves
		it.From, it.Rows, it.Start = from, rows, next
		it.sent, it.flying, it.landed, it.duplicate, it.maySent = false, false, false, false, false
		next += rows
		rest = append(rest, it)
	}
	for n := m.window.first; n < m.window.end(); n++ {
		it := *m.window.at(n)
		switch {
		case it.End() <= count:
		case len(rest) == 0 && m.rotation.seal.Reason == ledger.TooLarge && it.Rows > 1:
			half := it.Rows / 2
			bind(it, it.From, half)
			bind(it, it.From+half, it.Rows-half)
		default:
			bind(it, it.From, it.Rows)
		}
	}
	return rest
}

// settled takes the successor over: R4 is durable.
func (m *Machine) settled(e Event) {
	to := m.window.first
	for ; to < m.window.end() && m.window.at(to).End() <= m.rotation.count; to++ {
		m.window.at(to).duplicate = true
	}
	m.resolve(to)
	rest := m.rotation.rest
	m.adopt(e)
	for i := range rest {
		// On a stream that a suspicious ledger found sealed, the sealing owner may
		// have gone on with these very intents.
		rest[i].maySent = e.Suspicious
	}
	m.window.refill(rest)
}
