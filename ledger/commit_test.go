package ledger

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Without merging, every intent would cost two syncs, and the ledger would be a
// hundred times slower than the service.
func TestGroupCommit(t *testing.T) {
	var commits atomic.Int64
	hold := make(chan struct{})
	held := make(chan struct{}, 1)
	var holding atomic.Bool
	l := mustOpen(t, newPath(t), &Options{hooks: hooks{commit: func(step func() error) error {
		commits.Add(1)
		if holding.CompareAndSwap(true, false) {
			held <- struct{}{}
			<-hold
		}
		return step()
	}}})
	const partitions, batches = 8, 25
	var parts []Partition
	for i := range partitions {
		parts = append(parts, mustOpenEpoch(t, l, fmt.Sprint(i), Replayable))
	}
	// While one commit is held, all that is submitted waits, and then goes together.
	holding.Store(true)
	first := make(chan error, 1)
	l.PutSchema([]byte("x"), func(_ Fingerprint, err error) { first <- err })
	<-held
	commits.Store(0)
	var order []string // written by the notifier alone, read after done
	var done sync.WaitGroup
	for n := range int64(batches) {
		for i, p := range parts {
			done.Add(1)
			l.Bind(p.ID, 1, batch(n, n, 1), func(err error) {
				if err != nil {
					order = append(order, err.Error())
				}
				order = append(order, fmt.Sprint(n, i))
				done.Done()
			})
		}
	}
	close(hold)
	require.NoError(t, <-first)
	done.Wait()
	require.Equal(t, int64(1), commits.Load())
	var want []string
	for n := range batches {
		for i := range partitions {
			want = append(want, fmt.Sprint(n, i))
		}
	}
	require.Equal(t, want, order, "calls back are in the order of submission")
}

// One caller's mistake must not fail the others of its group.
func TestRefusalIsAlone(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	var once sync.Once
	l := mustOpen(t, newPath(t), nil)
	p := mustOpenEpoch(t, l, "a", Replayable)
	l.hooks.commit = func(step func() error) error {
		once.Do(func() { held <- struct{}{}; <-hold })
		return step()
	}
	go l.PutSchema([]byte("x"), func(Fingerprint, error) {})
	<-held
	results := make(chan error, 5)
	tell := func(err error) { results <- err }
	l.Bind(p.ID, 1, batch(0, 0, 5), tell)
	l.Bind(p.ID, 1, batch(0, 0, 5), tell) // bound already
	l.Bind(p.ID, 1, batch(5, 5, 5), tell)
	l.Acknowledge(p.ID, 1, 5, 5, tell) // bound in the same group: still right
	l.Acknowledge(p.ID, 2, 10, 10, tell)
	close(hold)
	require.NoError(t, <-results)
	refused(t, <-results, "not the next")
	require.NoError(t, <-results)
	require.NoError(t, <-results)
	refused(t, <-results, "epoch 1")
	got, open, err := l.Partition(p.Key)
	require.NoError(t, err)
	require.Equal(t, int64(5), got.Acked)
	require.Equal(t, []Intent{batch(5, 5, 5)}, open)
	requireSound(t, l)
}

// Invariant 7: a failed commit may or may not be on disk. If the ledger went on, it
// would bind offsets that the disk has bound to other rows.
func TestFailureIsSticky(t *testing.T) {
	for _, reached := range []bool{false, true} {
		t.Run(fmt.Sprintf("on disk %v", reached), func(t *testing.T) {
			path := newPath(t)
			failing := false
			l := mustOpen(t, path, &Options{hooks: hooks{commit: func(step func() error) error {
				if !failing {
					return step()
				}
				if reached {
					step()
				}
				return syscall.EIO
			}}})
			p := mustOpenEpoch(t, l, "a", Replayable)
			require.NoError(t, bind(l, p.ID, 1, batch(0, 0, 5)))
			select {
			case <-l.Failed():
				t.Fatal("failed too early")
			default:
			}
			failing = true // read by the committer after the next submission
			err := bind(l, p.ID, 1, batch(5, 5, 5))
			require.ErrorIs(t, err, ErrFailed)
			require.ErrorIs(t, err, syscall.EIO)
			require.ErrorContains(t, err, path)
			<-l.Failed()
			require.ErrorIs(t, l.Err(), ErrFailed)
			failing = false
			require.ErrorIs(t, acknowledge(l, p.ID, 1, 5), ErrFailed, "also when the disk is well again")
			_, err = freeze(l, [][]byte{{1}})
			require.ErrorIs(t, err, ErrFailed)
			require.ErrorIs(t, l.Close(), ErrFailed)

			l = mustOpen(t, path, nil)
			got, _, err := l.Partition(p.Key)
			require.NoError(t, err)
			require.Equal(t, map[bool]int64{false: 5, true: 10}[reached], got.Next, "what the disk holds counts")
			requireSound(t, l)
		})
	}
}

// A Bind may not be durable before the rows it refers to.
func TestFailedSegmentSync(t *testing.T) {
	path := newPath(t)
	o := *small
	commits := 0
	o.hooks = hooks{
		sync:   func(func() error) error { return syscall.EIO },
		commit: func(step func() error) error { commits++; return step() },
	}
	l := mustOpen(t, path, &o)
	p := mustOpenEpoch(t, l, "a", Frozen)
	payload, err := freeze(l, [][]byte{{1}})
	require.NoError(t, err)
	before := commits
	err = bind(l, p.ID, 1, Intent{Rows: 1, Of: 1, Schema: schema, Payload: payload})
	require.ErrorIs(t, err, ErrFailed)
	require.Equal(t, before, commits, "the sync comes before the commit")
	require.ErrorIs(t, l.Close(), ErrFailed)
	l = mustOpen(t, path, small)
	_, open, err := l.Partition(p.Key)
	require.NoError(t, err)
	require.Empty(t, open)
}

// What was submitted before Close is on disk after it; what comes later is refused,
// and its caller is told, not in its own stack.
func TestClose(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, nil)
	p := mustOpenEpoch(t, l, "a", Replayable)
	var told atomic.Int64
	for n := range int64(100) {
		l.Bind(p.ID, 1, batch(n, n, 1), func(err error) {
			if err == nil {
				told.Add(1)
			}
		})
	}
	require.NoError(t, l.Close())
	require.NoError(t, l.Close(), "again")
	require.Equal(t, int64(100), told.Load())
	var locked sync.Mutex
	locked.Lock()
	late := make(chan error, 1)
	l.Acknowledge(p.ID, 1, 1, 1, func(err error) { locked.Lock(); late <- err })
	locked.Unlock()
	err := <-late
	require.ErrorIs(t, err, ErrClosed)
	require.ErrorContains(t, err, path)
	_, _, err = l.Partition(p.Key)
	require.ErrorIs(t, err, ErrClosed)
	_, err = freeze(l, [][]byte{{1}})
	require.ErrorIs(t, err, ErrClosed)
	_, err = thaw(l, Payload{Segment: 1})
	require.ErrorIs(t, err, ErrClosed)

	l = mustOpen(t, path, nil)
	_, open, err := l.Partition(p.Key)
	require.NoError(t, err)
	require.Len(t, open, 100)
	require.False(t, errors.Is(l.Err(), ErrClosed))
}
