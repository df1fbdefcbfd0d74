package ledger

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// If it fails, whoever watches commits is told of an intent after it may have been sent, or of
// one that is not on disk: no test could prove then that nothing is sent before it is bound.
func TestCommitted(t *testing.T) {
	var seen []Commit // by the committer, read after a call back
	var fail error
	l := mustOpen(t, newPath(t), &Options{
		Committed: func(c Commit) {
			c.Bound = slices.Clone(c.Bound)
			seen = append(seen, c)
		},
		hooks: hooks{commit: func(step func() error) error {
			if fail != nil {
				return fail
			}
			return step()
		}},
	})
	take := func() []Commit {
		taken := seen
		seen = nil
		for _, c := range taken {
			require.Positive(t, c.Took)
		}
		return taken
	}
	p := mustOpenEpoch(t, l, "a", Replayable)
	got := take()
	require.Len(t, got, 1)
	require.Equal(t, 1, got[0].Writes)
	require.Empty(t, got[0].Bound)

	one, two := batch(0, 0, 10), batch(10, 10, 10)
	told := -1
	require.NoError(t, wait(func(done func(error)) {
		l.Bind(p.ID, 1, one, func(err error) { told = len(seen); done(err) })
	}))
	require.Equal(t, 1, told, "before the call back")
	require.Equal(t, []Bound{{p.Key, 1, "streams/a/1", one}}, take()[0].Bound)

	require.Error(t, bind(l, p.ID, 1, one), "refused: nothing is committed")
	require.Empty(t, take())
	require.NoError(t, bind(l, p.ID, 1, two))
	require.NoError(t, acknowledge(l, p.ID, 1, 10))
	require.NoError(t, seal(l, p.ID, 1, Seal{Successor: "streams/a/2", Reason: Aging}))
	take()

	two.Start, two.Number = 0, 30
	_, err := settle(l, p.ID, 1, Settlement{Rows: 10, Rest: []Intent{two}})
	require.NoError(t, err)
	require.Equal(t, []Bound{{p.Key, 2, "streams/a/2", two}}, take()[0].Bound, "bound anew")

	fail = syscall.EIO // read by the committer after the next submission
	three := batch(10, 20, 10)
	three.Number = 40
	require.ErrorIs(t, bind(l, p.ID, 2, three), ErrFailed)
	require.Empty(t, take(), "it may or may not be on disk")
}

// If it fails, a panic of whoever watches commits passes for damage: the ledger refuses all further work, and says
// that it is damaged, which it is not.
func TestCommittedPanics(t *testing.T) {
	l := mustOpen(t, newPath(t), &Options{Committed: func(Commit) { panic("theirs") }})
	var whole *contents
	require.NoError(t, l.view(func(tx *bbolt.Tx) (err error) {
		whole, err = readContents(tx)
		return err
	}))
	c := &committer{ledger: l, mirror: whole.mirror()}
	w := &schemaWrite{descriptor: []byte("d"), fingerprint: FingerprintOf([]byte("d"))}
	require.PanicsWithValue(t, "theirs", func() { c.commit([]pending{{write: w}}) })
	require.NoError(t, l.Err())
}

// If it fails, nobody can tell a disk that hangs from one that has nothing to do.
func TestCommitting(t *testing.T) {
	held, begun := make(chan struct{}), make(chan struct{})
	l := mustOpen(t, newPath(t), &Options{hooks: hooks{commit: func(step func() error) error {
		close(begun)
		<-held
		return step()
	}}})
	require.Zero(t, l.Committing())
	before, done := time.Now(), make(chan error, 1)
	go func() { _, err := openEpoch(l, opening("a", Replayable)); done <- err }()
	<-begun
	require.WithinRange(t, l.Committing(), before, time.Now())
	close(held)
	require.NoError(t, <-done)
	require.Eventually(t, func() bool { return l.Committing().IsZero() }, time.Minute, time.Millisecond)
}
