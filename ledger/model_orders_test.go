package ledger

import (
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// resolve takes a halt back, with a person's word or without.
func (m *modelMachine) resolve(t *rapid.T) {
	p := m.pick(t, func(*modelPartition) bool { return true })
	var word *Resolution
	if rapid.Bool().Draw(t, "with a word") {
		word = &Resolution{Landed: p.Acked, At: time.Unix(1, 0).UTC()}
		if n := rapid.IntRange(0, len(p.open)).Draw(t, "landed"); n > 0 {
			word.Landed = p.open[n-1].End()
		}
		if p.Halt == nil && p.Resolution == nil || p.Halt != nil && p.Halt.Cause != InDoubt {
			refused(t, resolve(m.l, p.ID, p.Epoch, word), "halted")
			return
		}
	}
	require.NoError(t, resolve(m.l, p.ID, p.Epoch, word))
	p.Halt, p.Resolution = nil, word
}

// skip marks a batch, all of its open parts.
func (m *modelMachine) skip(t *rapid.T) {
	p := m.pick(t, func(p *modelPartition) bool { return p.Halt == nil && len(p.open) > 0 })
	in := p.open[rapid.IntRange(0, len(p.open)-1).Draw(t, "intent")]
	if p.Seal != nil && p.Seal.Reason != Encoding {
		refused(t, skip(m.l, p.ID, p.Epoch, in.Number, "x"), "let a run of the writer end that first")
		return
	}
	if in.Rows == 0 {
		refused(t, skip(m.l, p.ID, p.Epoch, in.Number, "x"), "no open intent with rows")
		return
	}
	why := rapid.SampledFrom([]string{"one", "another"}).Draw(t, "why")
	require.NoError(t, skip(m.l, p.ID, p.Epoch, in.Number, why))
	for i := range p.open {
		if q := &p.open[i]; q.Digest == in.Digest && string(q.Before) == string(in.Before) && q.Rows > 0 && q.Skip == "" {
			q.Skip = why
		}
	}
}

// unskipped binds anew what is open as if nothing were to be skipped.
func (m *modelMachine) unskipped(p *modelPartition) []Intent {
	rest := slices.Clone(p.open)
	for i := range rest {
		m.number++
		rest[i].Number, rest[i].Skip = m.number, ""
		rest[i].Start -= p.Acked
	}
	return rest
}
