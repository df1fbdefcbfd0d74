package committed

import (
	"context"
	"sync"
)

// slots bounds the connections of a writer. Whoever waits longest gets the next
// one, and as long as somebody waits, the holder of longest standing is asked to
// let go.
type slots struct {
	mu      sync.Mutex // guards what follows
	free    int
	held    []*slot         // in the order they were taken
	waiting []chan struct{} // in the order they came
}

// slot is the right to one connection.
type slot struct {
	yield func() // asks the holder to let go; must not block
	asked bool
}

func newSlots(n int) *slots { return &slots{free: n} }

// take waits for a slot. yield is called, in a goroutine of the one who waits, when
// another waits for this slot.
func (s *slots) take(ctx context.Context, yield func()) (*slot, error) {
	mine := &slot{yield: yield}
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.held = append(s.held, mine)
		s.mu.Unlock()
		return mine, nil
	}
	turn := make(chan struct{})
	s.waiting = append(s.waiting, turn)
	ask := s.ask()
	s.mu.Unlock()
	ask()
	select {
	case <-turn:
	case <-ctx.Done():
		if s.leave(turn) {
			return nil, ctx.Err()
		}
		// The slot was passed on at the same moment: it is ours after all.
	}
	s.mu.Lock()
	s.held = append(s.held, mine)
	ask = s.ask() // perhaps this one at once, if there are more who wait than who hold
	s.mu.Unlock()
	ask()
	return mine, nil
}

// ask returns the yield of the holder of longest standing that was not asked yet, to
// be called without the lock, if fewer were asked than wait.
func (s *slots) ask() func() {
	asked := 0
	var oldest *slot
	for _, h := range s.held {
		switch {
		case h.asked:
			asked++
		case oldest == nil:
			oldest = h
		}
	}
	if oldest == nil || asked >= len(s.waiting) {
		return func() {}
	}
	oldest.asked = true
	return oldest.yield
}

// leave takes a turn out of the queue, unless it has come.
func (s *slots) leave(turn chan struct{}) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range s.waiting {
		if w == turn {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// release gives a slot back, to the one who waits longest.
func (s *slots) release(mine *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range s.held {
		if h == mine {
			s.held = append(s.held[:i], s.held[i+1:]...)
			break
		}
	}
	if len(s.waiting) == 0 {
		s.free++
		return
	}
	close(s.waiting[0])
	s.waiting = s.waiting[1:]
}
