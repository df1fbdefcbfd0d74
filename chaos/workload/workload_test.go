package workload

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

var shape = Shape{Partitions: 2, Rows: 1000, BatchRows: 5}

// If it fails, a table's rows can't be told apart, or a row of nobody passes for one.
func TestTable(t *testing.T) {
	var rows []emulator.Row
	var want []chaos.Row
	for i := range shape.Rows {
		for p, name := range shape.Names() {
			for encoder := uint32(1); encoder <= 2; encoder++ {
				row := Source{Shape: shape, Partition: p, Encoder: encoder}.Row(i)
				rows = append(rows, emulator.Row{Stream: "s", Offset: i, Data: row}, emulator.Row{Data: ForeignRow()})
				want = append(want, chaos.Row{Stream: "s", Offset: i, Partition: name, Index: i})
			}
		}
	}
	got, err := shape.Table(rows)
	require.NoError(t, err)
	require.Equal(t, want, got)
	for _, bad := range [][]byte{nil, {8}, {8, 1, 0}, Source{Shape: shape, Partition: 2, Encoder: 1}.Row(0), Source{Shape: shape, Encoder: 3}.Row(0)} {
		_, err := shape.Table([]emulator.Row{{Data: bad}})
		require.Error(t, err, "%x", bad)
	}
}

// If it fails, the oracle is told that an intent was durable when it was not, or misses
// one: those of a process that was killed in a line, too.
func TestWitness(t *testing.T) {
	record := filepath.Join(t.TempDir(), "record")
	w, err := NewWitness(record)
	require.NoError(t, err)
	defer w.Close()
	intent := func(start int64) ledger.Commit {
		return ledger.Commit{Bound: []ledger.Bound{{Key: ledger.Key{Name: "p0"}, Stream: "s", Intent: ledger.Intent{
			Start: start, Rows: 5, Before: Position(start), After: Position(start + 5)}}}}
	}
	request := func(offset int64) { w.Append(emulator.Request{Stream: "s", Offset: offset, Rows: 5}) }

	request(0) // ahead of its intent
	first, err := newRecorder(record)
	require.NoError(t, err)
	first.committed(intent(0))
	request(0)
	request(ProbeOffset)
	_, err = first.file.WriteString(`{"Partition":"p0","Str`) // killed in it
	require.NoError(t, err)
	require.NoError(t, first.file.Close())
	request(5)
	second, err := newRecorder(record)
	require.NoError(t, err)
	second.committed(intent(5))
	require.NoError(t, second.file.Close())
	request(5)

	var h chaos.History
	require.NoError(t, w.AddTo(&h))
	var bound, durable []int
	for _, b := range h.Bound {
		bound = append(bound, int(b.Start))
		require.Equal(t, b.Start+5, b.To)
	}
	for _, r := range h.Requests {
		durable = append(durable, r.Durable)
	}
	require.Equal(t, []int{0, 5}, bound)
	require.Equal(t, []int{0, 1, 1, 2}, durable)
}

// If it fails, rows that were refused and then taken look unwanted, or the other way round.
func TestLogOfRefusals(t *testing.T) {
	l := NewLog()
	for _, n := range []Note{
		{Kind: Offered, Partition: "p0", From: 5, To: 10}, {Kind: Refused, Partition: "p0", From: 5, To: 10},
		{Kind: Offered, Partition: "p1", From: 5, To: 10}, {Kind: Refused, Partition: "p1", From: 5, To: 10},
		{Kind: Offered, Partition: "p0", From: 0, To: 5}, {Kind: Offered, Partition: "p0", From: 5, To: 8},
	} {
		l.Add(n)
	}
	var h chaos.History
	l.AddTo(&h)
	require.Equal(t, []chaos.Refused{{Partition: "p1", From: 5, To: 10}}, h.Refused)
}

// If it fails, a restored ledger is not what was copied, or isn't restored in its place.
func TestCopyLedger(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	led, err := ledger.Open(from, nil)
	require.NoError(t, err)
	require.NoError(t, led.Close())
	require.NoError(t, os.WriteFile(to, make([]byte, 1<<20), 0o600))
	before, err := os.Stat(to)
	require.NoError(t, err)
	require.NoError(t, CopyLedger(from, to, true))
	after, err := os.Stat(to)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after))
	for _, suffix := range []string{"", companion} {
		want, err := os.ReadFile(from + suffix)
		require.NoError(t, err)
		got, err := os.ReadFile(to + suffix)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.NoError(t, RemoveLedger(to))
	require.NoFileExists(t, to+companion)
	require.NoError(t, CopyLedger(from, to, false))
	require.NoFileExists(t, to+companion)
}
