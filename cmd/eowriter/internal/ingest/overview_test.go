package ingest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/eowriter/eowriter/chaos/emulator"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

// known makes n partitions that the ledger knows, and returns the last one.
func (g *rig) known(names ...string) (last ledger.Partition) {
	descriptor := []byte("a descriptor")
	var all sync.WaitGroup
	for _, name := range names {
		all.Add(1)
		o := ledger.Opening{Key: testKey(name), Mode: ledger.Frozen, Stream: testTable + "/streams/" + name, Schema: ledger.FingerprintOf(descriptor), Descriptor: descriptor}
		g.led.OpenEpoch(o, func(p ledger.Partition, err error) {
			require.NoError(g.t, err)
			last = p
			all.Done()
		})
	}
	all.Wait()
	return last
}

func (g *rig) write(write func(done func(error))) {
	done := make(chan error, 1)
	write(func(err error) { done <- err })
	require.NoError(g.t, <-done)
}

// If it fails, each watcher costs as much as all of them, or is told what has long been otherwise.
func TestOverviewIsShared(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	first, err := g.in.Overview()
	require.NoError(t, err)
	first.At = time.Now().Add(time.Hour) // as good as now, however slow this machine is
	same, err := g.in.Overview()
	require.NoError(t, err)
	require.Same(t, first, same)
	first.At = time.Now().Add(-overviewAge)
	g.known("a")
	next, err := g.in.Overview()
	require.NoError(t, err)
	require.Len(t, next.Partitions, 1)
}

// If it fails, a partition that only a person can help isn't shown as one, or without what that person has to know.
func TestDescribeHalted(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	g.known("idle")
	part := g.known("gone")
	g.write(func(done func(error)) {
		g.led.Seal(part.ID, 1, ledger.Seal{Successor: "s2", Reason: ledger.Aging, Detail: "60 h"}, done)
	})
	d, err := g.in.Describe(part.Key)
	require.NoError(t, err)
	require.Equal(t, []string{"s2", "aging", "it was near the end of its time to live", "60 h"}, []string{d.Seal.Successor, d.Seal.Reason, d.Seal.Meaning, d.Seal.Detail})
	g.write(func(done func(error)) {
		g.led.Settle(part.ID, 1, ledger.Settlement{}, func(_ ledger.Partition, err error) { done(err) })
	})
	g.write(func(done func(error)) {
		g.led.Halt(part.ID, 2, ledger.Halt{Cause: ledger.InDoubt, Offset: 7, Detail: "NOT_FOUND"}, done)
	})
	d, err = g.in.Describe(part.Key)
	require.NoError(t, err)
	require.Nil(t, d.Seal)
	require.Equal(t, eowriterv1.Attention_ATTENTION_IN_DOUBT, d.Status.Attention)
	require.Equal(t, "in doubt", d.Halt.Cause)
	require.Equal(t, "NOT_FOUND", d.Halt.Detail)
	require.Contains(t, d.Halt.Advice, "--landed or --not-landed")
	require.Equal(t, "eowriter ledger resolve --partition gone "+g.path, d.Halt.Command)
	require.Len(t, d.Streams, 1)
	require.Equal(t, []any{int64(1), int64(0), "aging"}, []any{d.Streams[0].Epoch, d.Streams[0].Rows, d.Streams[0].Reason})
	require.Equal(t, int64(1), d.AllStreams)

	o, err := g.in.Overview()
	require.NoError(t, err)
	require.Len(t, o.Totals.Attention, 1)
	require.Equal(t, int32(1), o.Totals.Attention[0].Partitions)
	require.Equal(t, eowriterv1.Attention_ATTENTION_IN_DOUBT, o.Totals.Attention[0].Attention)
	_, err = g.in.Describe(testKey("none"))
	require.ErrorIs(t, err, ledger.ErrNoPartition)
}

// What it costs to look at 5,000 partitions, as is done at most twice a second.
func BenchmarkOverview(b *testing.B) {
	g := startRig(b, b.TempDir(), testOptions(), emulator.Options{})
	defer g.end()
	names := make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf("orders-%04d", i)
	}
	g.known(names...)
	for b.Loop() {
		g.in.shared.one = nil
		o, err := g.in.Overview()
		require.NoError(b, err)
		require.Len(b, o.Partitions, 5000)
	}
}
