package ledger

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// If it fails, a halt is forgotten by a restart, or a halted partition still changes:
// the next start would take foreign rows for ours and lose ours without a word.
func TestHaltOutlivesTheRun(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, nil)
	p := mustOpenEpoch(t, l, "a", Replayable)
	require.NoError(t, bind(l, p.ID, 1, batch(0, 0, 10)))
	require.NoError(t, bind(l, p.ID, 1, batch(10, 10, 10)))
	require.NoError(t, acknowledge(l, p.ID, 1, 10))
	sealed := mustOpenEpoch(t, l, "sealed", Replayable)
	require.NoError(t, seal(l, sealed.ID, 1, Seal{Successor: "s2", Reason: Aging}))
	finished := mustOpenEpoch(t, l, "finished", Replayable)
	require.NoError(t, seal(l, finished.ID, 1, Seal{Reason: Finished}))
	empty := mustOpenEpoch(t, l, "empty", Replayable)

	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := Halt{Cause: Conflict, Offset: 10, Detail: "what was seen", At: at}
	require.NoError(t, halt(l, p.ID, 1, h))
	require.NoError(t, halt(l, p.ID, 1, Halt{Cause: Fenced}), "a second one changes nothing")
	for _, other := range []ID{sealed.ID, finished.ID, empty.ID} {
		require.NoError(t, halt(l, other, 1, Halt{Cause: InDoubt}))
	}
	require.NoError(t, l.Close())
	l = mustOpen(t, path, nil)
	requireSound(t, l)
	got, open, err := l.Partition(p.Key)
	require.NoError(t, err)
	require.Equal(t, &h, got.Halt)
	require.Equal(t, []Intent{batch(10, 10, 10)}, open, "everything is kept")

	const halted = "halted (conflict at offset 10): Resolve comes first"
	refused(t, bind(l, p.ID, 1, batch(20, 20, 10)), halted)
	refused(t, acknowledge(l, p.ID, 1, 20), halted)
	refused(t, seal(l, p.ID, 1, Seal{Successor: "s3", Reason: Aging}), halted)
	_, err = settle(l, sealed.ID, 1, Settlement{})
	refused(t, err, "halted (in doubt at offset 0)")
	refused(t, forget(l, finished.ID, 1, 0), "halted")
	next := opening("empty", Replayable)
	next.Epoch, next.Stream = 2, "streams/empty/2"
	_, err = openEpoch(l, next)
	refused(t, err, "halted")

	for _, id := range []ID{p.ID, p.ID, sealed.ID, finished.ID, empty.ID} { // p twice: it may be repeated
		require.NoError(t, resolve(l, id, 1, nil))
	}
	got, _, err = l.Partition(p.Key)
	require.NoError(t, err)
	require.Nil(t, got.Halt)
	require.NoError(t, bind(l, p.ID, 1, batch(20, 20, 10)))
	require.NoError(t, acknowledge(l, p.ID, 1, 30))
	_, err = settle(l, sealed.ID, 1, Settlement{})
	require.NoError(t, err)
	require.NoError(t, forget(l, finished.ID, 1, 0))
	_, err = openEpoch(l, next)
	require.NoError(t, err)
	requireSound(t, l)
}

// If it fails, a halt is recorded that nobody can read, or one is refused for its
// length, and the partition is not marked at all.
func TestHaltIsBounded(t *testing.T) {
	l := mustOpen(t, newPath(t), nil)
	p := mustOpenEpoch(t, l, "a", Frozen)
	for _, cause := range []HaltCause{0, 4} {
		refused(t, halt(l, p.ID, 1, Halt{Cause: cause}), "is none for a halt")
	}
	refused(t, halt(l, p.ID, 1, Halt{Cause: Fenced, Offset: -1}), "offset -1")
	refused(t, halt(l, p.ID, 2, Halt{Cause: Fenced}), "epoch 1")
	refused(t, halt(l, 99, 1, Halt{Cause: Fenced}), "no partition")
	refused(t, resolve(l, p.ID, 2, nil), "epoch 1")
	refused(t, resolve(l, 99, 1, nil), "no partition")
	got, _, err := l.Partition(p.Key)
	require.NoError(t, err)
	require.Nil(t, got.Halt)

	long := "x" + strings.Repeat("é", maxDetail) // the limit falls into the middle of one
	require.NoError(t, halt(l, p.ID, 1, Halt{Cause: Fenced, Detail: long}))
	got, _, err = l.Partition(p.Key)
	require.NoError(t, err)
	require.Equal(t, long[:maxDetail-1], got.Halt.Detail)
	require.WithinDuration(t, time.Now(), got.Halt.At, time.Minute)
	requireSound(t, l)
}

// If it fails, a damaged halt goes unnoticed: opening and Check must say so.
func TestDamagedHalt(t *testing.T) {
	for _, h := range []Halt{{Cause: 9}, {Cause: Fenced, Detail: strings.Repeat("x", maxDetail+1)}} {
		p := &partition{record: Partition{ID: 1, Key: key("a"), Mode: Frozen, Epoch: 1, Stream: "s", Halt: &h}}
		require.Len(t, p.verify(), 1)
		require.Contains(t, p.verify()[0], "halt: ")
	}
}

// If it fails, people read a number where the cause should stand.
func TestHaltCauseInWords(t *testing.T) {
	require.Equal(t, []string{"cause 0", "conflict", "fenced", "in doubt", "cause 4"},
		[]string{HaltCause(0).String(), Conflict.String(), Fenced.String(), InDoubt.String(), HaltCause(4).String()})
}
