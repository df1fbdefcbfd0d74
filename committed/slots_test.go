package committed

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// If it fails, partitions that wait behind others for a connection wait until one is
// idle, which a busy one never is: every waiter needs a holder who was asked.
func TestSlotsAskOneHolderForEachWaiter(t *testing.T) {
	s := newSlots(1)
	asked := make(chan int, 10)
	take := func(n int) *slot {
		mine, err := s.take(context.Background(), func() { asked <- n })
		require.NoError(t, err)
		return mine
	}
	type got struct {
		n    int
		slot *slot
	}
	taken := make(chan got)
	held := got{0, take(0)}
	for n := 1; n <= 5; n++ {
		go func() { taken <- got{n, take(n)} }()
	}
	for range 5 {
		require.Equal(t, held.n, <-asked, "the present holder is asked, and only it")
		s.release(held.slot)
		held = <-taken
	}
	s.release(held.slot)
	require.Equal(t, 1, s.free)
	require.Empty(t, s.held)
	require.Empty(t, asked)
}

// If it fails, a partition that gives up waiting takes a slot with it.
func TestSlotsWaiterLeaves(t *testing.T) {
	s := newSlots(1)
	first, err := s.take(context.Background(), func() {})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = s.take(ctx, func() {})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, s.waiting)
	s.release(first)
	_, err = s.take(ctx, func() {})
	require.NoError(t, err, "a free slot needs no waiting")
}
