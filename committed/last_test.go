package committed_test

import (
	"testing"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

// If it fails, a partition that is opened loses what its last append was, and a repeated request is written twice.
func TestLastAppendOutlivesAnOpening(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	p := b.partition("a", true)
	first := batch(0, 10)
	first.Parts = []ledger.Part{{Rows: 4, After: position(4)}, {Rows: 6, Before: position(4), After: position(10)}}
	r, err := p.Append(b.ctx(), first)
	require.NoError(t, err)
	b.requireLanded([]*committed.Result{r})
	for range 2 {
		part, _, err := b.led.Partition(p.Key())
		require.NoError(t, err)
		require.Len(t, part.Last.Parts, 2)
		b.reopen()
		b.partition("a", true)
	}
}
