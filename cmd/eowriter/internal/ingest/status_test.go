package ingest

import (
	"context"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/stretchr/testify/require"
)

// If it fails, whoever asks while a partition that has stopped is read from the ledger again is told a position before
// what is open there, and a drain leaves that behind.
func TestAskedWhileSettling(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	pending, err := g.in.Accept(ctx(), Append{Key: testKey("a"), Position: "1", Rows: [][]byte{object("a", 0)}})
	require.NoError(t, err)
	_, err = pending.Wait(ctx(), landed)
	require.NoError(t, err)
	p, err := g.in.find(testKey("a"), false)
	require.NoError(t, err)
	settling := func(is bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.settling = is
		p.set(p.state)
	}
	settling(true)
	impatient, cancel := context.WithTimeout(ctx(), 10*time.Millisecond)
	defer cancel()
	_, err = g.in.Ask(impatient, testKey("a"))
	require.Error(t, err)
	left, err := g.in.Drain(impatient, "", "")
	require.NoError(t, err)
	require.Len(t, left, 1)
	settling(false)
	s, err := g.in.Ask(ctx(), testKey("a"))
	require.NoError(t, err)
	require.Equal(t, "1", s.Position)
	left, err = g.in.Drain(ctx(), "", "")
	require.NoError(t, err)
	require.Empty(t, left)
}
