package recovery

import "github.com/eowriter/eowriter/ledger"

// What a partition finds out about somebody else's hand must outlive this run. The
// next start reads every open intent as "may have been sent", so foreign rows that
// end where an intent does would pass for ours. So these verdicts are marks in the
// ledger, durable before anybody is told; the others may be tried again.
var marks = map[Verdict]ledger.HaltCause{
	Conflict: ledger.Conflict,
	Fenced:   ledger.Fenced,
	InDoubt:  ledger.InDoubt,
}

// mark asks for the halt, if the cause of the stop is one to be marked. Writes that
// are on their way come before it, and none after it.
func (m *Machine) mark() {
	if h, marked := marks[m.cause.Verdict]; marked {
		m.write(Action{Kind: Halt, Halt: &ledger.Halt{Cause: h, Offset: max(m.cause.Offset, 0), Detail: m.cause.Detail}})
	}
}

// halted stops with what an earlier run has found out; nothing is called or written.
func (m *Machine) halted(h *ledger.Halt) {
	m.phase = phaseStopped
	m.cause = &Cause{
		Epoch: m.part.Epoch, Stream: m.part.Stream, Offset: h.Offset,
		Detail: h.Detail + "; found by an earlier run",
	}
	for v, cause := range marks {
		if cause == h.Cause {
			m.cause.Verdict = v
		}
	}
}
