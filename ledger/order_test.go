package ledger

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// inDoubt makes a partition with two open batches that is halted in doubt.
func inDoubt(t *testing.T, l *Ledger, name string) Partition {
	p := mustOpenEpoch(t, l, name, Replayable)
	require.NoError(t, bind(l, p.ID, 1, batch(0, 0, 10)))
	require.NoError(t, acknowledge(l, p.ID, 1, 10))
	require.NoError(t, bind(l, p.ID, 1, batch(10, 10, 10)))
	require.NoError(t, bind(l, p.ID, 1, batch(20, 20, 10)))
	require.NoError(t, halt(l, p.ID, 1, Halt{Cause: InDoubt, Offset: 10}))
	return p
}

func resolutionOf(t *testing.T, l *Ledger, k Key) *Resolution {
	got, _, err := l.Partition(k)
	require.NoError(t, err)
	return got.Resolution
}

// If it fails, a person's word is lost by a crash, or it is taken where the stream itself can
// still be asked, or for an offset at which no batch ends.
func TestResolvedWithAWord(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, nil)
	p := inDoubt(t, l, "a")
	for _, landed := range []int64{-1, 0, 9, 15, 31} {
		refused(t, resolve(l, p.ID, 1, &Resolution{Landed: landed}), "neither 10, up to which rows are acknowledged, nor the end of an open batch")
	}
	require.NoError(t, resolve(l, p.ID, 1, &Resolution{Landed: 10}))
	require.NoError(t, resolve(l, p.ID, 1, &Resolution{Landed: 20}), "a word may be corrected")
	require.NoError(t, l.Close())

	l = mustOpen(t, path, nil)
	requireSound(t, l)
	got, open, err := l.Partition(p.Key)
	require.NoError(t, err)
	require.Nil(t, got.Halt)
	require.Equal(t, int64(20), got.Resolution.Landed)
	require.WithinDuration(t, time.Now(), got.Resolution.At, time.Minute)
	require.Len(t, open, 2)
	require.NoError(t, resolve(l, p.ID, 1, nil), "and taken back")
	require.Nil(t, resolutionOf(t, l, p.Key))
	refused(t, resolve(l, p.ID, 1, &Resolution{Landed: 20}), "not halted")
	for _, cause := range []HaltCause{Conflict, Fenced} {
		require.NoError(t, halt(l, p.ID, 1, Halt{Cause: cause}))
		refused(t, resolve(l, p.ID, 1, &Resolution{Landed: 20}), "can still be asked")
		require.NoError(t, resolve(l, p.ID, 1, nil))
	}
	refused(t, seal(l, p.ID, 1, Seal{Successor: "s2", Reason: Resolved}), "nobody has said")
}

// If it fails, a word outlives what it was about: it would be believed of batches that were sent
// since, and cost or double them.
func TestWordIsVoid(t *testing.T) {
	for name, write := range map[string]func(*Ledger, ID) error{
		"bind":        func(l *Ledger, id ID) error { return bind(l, id, 1, batch(30, 30, 10)) },
		"acknowledge": func(l *Ledger, id ID) error { return acknowledge(l, id, 1, 20) },
		"halt":        func(l *Ledger, id ID) error { return halt(l, id, 1, Halt{Cause: Conflict}) },
		"seal":        func(l *Ledger, id ID) error { return seal(l, id, 1, Seal{Successor: "s2", Reason: Found}) },
	} {
		t.Run(name, func(t *testing.T) {
			l := mustOpen(t, newPath(t), nil)
			p := inDoubt(t, l, "a")
			require.NoError(t, resolve(l, p.ID, 1, &Resolution{Landed: 30}))
			require.NoError(t, write(l, p.ID))
			require.Nil(t, resolutionOf(t, l, p.Key))
			requireSound(t, l)
		})
	}
	l := mustOpen(t, newPath(t), nil)
	p := inDoubt(t, l, "a")
	require.NoError(t, resolve(l, p.ID, 1, &Resolution{Landed: 20}))
	require.NoError(t, seal(l, p.ID, 1, Seal{Successor: "s2", Reason: Resolved}))
	require.NotNil(t, resolutionOf(t, l, p.Key), "the seal that carries it out keeps it")
	rest := batch(0, 20, 10)
	rest.Number = 31
	_, err := settle(l, p.ID, 1, Settlement{Rows: 20, Rest: []Intent{rest}})
	require.NoError(t, err)
	require.Nil(t, resolutionOf(t, l, p.Key))
	requireSound(t, l)

	empty := mustOpenEpoch(t, l, "empty", Replayable)
	require.NoError(t, halt(l, empty.ID, 1, Halt{Cause: InDoubt}))
	require.NoError(t, resolve(l, empty.ID, 1, &Resolution{}))
	next := opening("empty", Replayable)
	next.Epoch, next.Stream = 2, "streams/empty/2"
	_, err = openEpoch(l, next)
	require.NoError(t, err)
	require.Nil(t, resolutionOf(t, l, empty.Key))
}

// If it fails, a ledger that was copied after a person's word obeys it in both places, and the rows
// that have not landed land twice: there is no stream any more that could tell the copies apart.
func TestWordIsVoidElsewhere(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, nil)
	require.False(t, l.Moved())
	p := inDoubt(t, l, "a")
	require.NoError(t, resolve(l, p.ID, 1, &Resolution{Landed: 10}))
	require.NoError(t, l.Close())
	copied := copyLedger(t, path)
	r, err := OpenReadOnly(copied)
	require.NoError(t, err)
	require.True(t, r.Moved())
	require.NotNil(t, resolutionOf(t, r, p.Key), "looking changes nothing")
	require.False(t, r.Owns(p.Owner))
	require.NoError(t, r.Close())

	l = mustOpen(t, copied, nil)
	require.True(t, l.Moved())
	require.Nil(t, resolutionOf(t, l, p.Key))
	require.NoError(t, bind(l, p.ID, 1, batch(30, 30, 10)), "what the committer knows is what is on disk")
	require.NoError(t, l.Close())
	l = mustOpen(t, path, nil)
	require.False(t, l.Moved())
	require.NotNil(t, resolutionOf(t, l, p.Key), "in its place it counts")
	require.NoError(t, l.Close())

	require.NoError(t, os.Remove(companionPath(path)))
	l = mustOpen(t, path, nil)
	require.Nil(t, resolutionOf(t, l, p.Key))
}

// If it fails, a person's order to skip is lost, is carried out in place, on rows that have
// landed, or not at all.
func TestSkip(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, nil)
	p := mustOpenEpoch(t, l, "a", Replayable)
	for i := range int64(3) {
		require.NoError(t, bind(l, p.ID, 1, batch(2*i, 2*i, 2)))
	}
	require.NoError(t, skip(l, p.ID, 1, 4, "poisoned"))
	require.NoError(t, skip(l, p.ID, 1, 4, "again"), "changes nothing")
	for number, why := range map[uint64]string{3: "x", 4: "", 6: strings.Repeat("x", MaxSkip+1)} {
		refused(t, skip(l, p.ID, 1, number, why), "")
	}
	refused(t, skip(l, p.ID, 2, 4, "x"), "epoch 1")
	marked := batch(6, 6, 2)
	marked.Skip = "x"
	refused(t, bind(l, p.ID, 1, marked), "only whole batches")
	require.NoError(t, l.Close())
	l = mustOpen(t, path, nil)
	requireSound(t, l)
	_, open, err := l.Partition(p.Key)
	require.NoError(t, err)
	require.Equal(t, []string{"", "poisoned", ""}, []string{open[0].Skip, open[1].Skip, open[2].Skip})

	require.NoError(t, seal(l, p.ID, 1, Seal{Successor: "s2", Reason: Aging}))
	refused(t, skip(l, p.ID, 1, 2, "too late for this seal"), "let a run of the writer end that first")
	again := func(in Intent, number uint64, start int64) Intent {
		in.Number, in.Start = number, start
		return in
	}
	rest := []Intent{again(batch(0, 2, 2), 7, 0), again(batch(0, 4, 2), 8, 2)}
	_, err = settle(l, p.ID, 1, Settlement{Rows: 2, Rest: rest})
	refused(t, err, "to be skipped has rows")
	rest[0].Skip = "poisoned"
	_, err = settle(l, p.ID, 1, Settlement{Rows: 2, Rest: rest})
	refused(t, err, "to be skipped has rows")
	rest[0] = withoutNewest(again(batch(0, 2, 2), 7, 0), 2)
	rest[0].Rows, rest[0].From = 0, 0
	rest[1].Start = 0
	_, err = settle(l, p.ID, 1, Settlement{Rows: 2, Rest: rest})
	require.NoError(t, err)
	requireSound(t, l)
	require.NoError(t, wait(func(done func(error)) { l.Acknowledge(p.ID, 2, 7, 0, done) }))
	letters, err := l.Letters(p.ID, 0, 1<<20)
	require.NoError(t, err)
	require.Len(t, letters, 2)

	require.NoError(t, halt(l, p.ID, 2, Halt{Cause: Conflict}))
	refused(t, skip(l, p.ID, 2, 8, "x"), "halted")
}

// If it fails, a batch that has landed is skipped all the same.
func TestSkippedAndLanded(t *testing.T) {
	l := mustOpen(t, newPath(t), nil)
	p := mustOpenEpoch(t, l, "a", Replayable)
	require.NoError(t, bind(l, p.ID, 1, batch(0, 0, 2)))
	require.NoError(t, skip(l, p.ID, 1, 2, "poisoned"))
	require.NoError(t, acknowledge(l, p.ID, 1, 2))
	got, open, err := l.Partition(p.Key)
	require.NoError(t, err)
	require.Empty(t, open)
	require.Zero(t, got.Dead)
	requireSound(t, l)
}

// If it fails, Check doesn't see a word or an order that can't be meant.
func TestDamagedOrders(t *testing.T) {
	p := &partition{record: Partition{ID: 1, Key: key("a"), Mode: Replayable, Epoch: 1, Stream: "s", Acked: 3, Next: 3, Rows: 3,
		Halt: &Halt{Cause: InDoubt}, Resolution: &Resolution{Landed: 2}}}
	require.Len(t, p.verify(), 2)
	in := batch(0, 0, 2)
	in.Skip = strings.Repeat("x", MaxSkip+1)
	require.Contains(t, badIntent(&in), "reason to skip")
	in = Intent{Dead: []Dead{{}}, Skip: "x"}
	require.Contains(t, badIntent(&in), "reason to skip")
}
