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
	fresh bool         // the stream was asked for its end just before
	count int64        // of the finalized stream
	left  []*remainder // the batches above the count
	next  int          // of left, to be examined
	rest  []item       // the items above the count, as R4 binds them anew
}

// rotate begins to replace the stream. First everything in flight is answered or
// broken, and the ledger is done with what it was asked. Unless the reason is itself
// an answer about the stream's end, the stream is asked for that then: since the last
// answer somebody may have taken it over, and Finalize would not tell.
func (m *Machine) rotate(reason ledger.Reason, detail string) {
	fresh := m.phase == phaseProbing || reason == ledger.TakeOver || reason == ledger.Lagging || reason == ledger.Finished
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
	if m.rotation.seal.Reason != ledger.Resolved {
		m.part.Resolution = nil // the ledger does so too: the stream's count decides
	}
	m.rotation.seal.Successor, m.ownSeal = successor, true
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
	case e.Kind == Examined && m.phase == phaseExamining:
		m.examined(e)
	}
}

// callFailed judges the failure of Create or Finalize.
func (m *Machine) callFailed(a *retry.Answer) {
	switch {
	case a.Class == retry.Transient || a.Class == retry.Idle:
		m.hold(Backoff)
	case a.Class == retry.Gone && m.phase == phaseFinalizing && m.part.Resolution != nil && (!m.suspicious || m.ownSeal):
		// Nobody but a person can say. Of a copy of a ledger in which the stream was sealed not even a person: what is
		// in the table may have landed on the successor, where other batches would take these offsets.
		m.counted(m.part.Resolution.Landed)
	case a.Class == retry.Gone && m.phase == phaseFinalizing && m.window.items.len() == 0 && !m.suspicious:
		m.counted(m.part.Acked) // it expired, and nothing was open: what was acknowledged is all
	case a.Class == retry.Gone && m.phase == phaseFinalizing:
		detail := "the sealed stream is gone with open intents"
		if m.window.items.len() == 0 {
			detail = "the sealed stream is gone, and with it what another owner may have written"
		}
		m.stop(InDoubt, m.part.Acked, detail, a)
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
	m.rotation.count, m.rotation.left, m.rotation.next = count, m.remainders(count), 0
	m.phase = phaseExamining
	m.examineNext()
}

// forget ends a retired partition, of which nothing may be open.
func (m *Machine) forget(count int64) {
	m.phase = phaseForgetting
	m.write(Action{Kind: Forget, End: count})
}

// settle asks for R4: what the count covers has landed, the rest is bound anew at
// offset 0 of the successor.
func (m *Machine) settle() {
	r := m.rotation
	for i, left := range r.left {
		r.rest = append(r.rest, left.parts(i == 0 && r.seal.Reason == ledger.TooLarge)...)
	}
	s := &ledger.Settlement{Rows: r.count, Rest: make([]ledger.Intent, len(r.rest))}
	next := int64(0)
	for i := range r.rest {
		it := &r.rest[i]
		it.Number, it.Start = m.intents, next
		m.intents++
		next = it.End()
		s.Rest[i] = it.Intent
	}
	m.phase = phaseSettling
	m.write(Action{Kind: Settle, Settlement: s})
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
