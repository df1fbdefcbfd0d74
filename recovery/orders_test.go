package recovery_test

import (
	"slices"
	"testing"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
)

// Random schedules in which a person decides what only a person can: see property_test.go.

// onOrders adds what a person may order for a node that is down.
func (s *schedule) onOrders(n *node, add func(int, string, func())) {
	// The ledger refuses an order to skip that comes after the seal.
	if s.may.skips && n.book.part.Halt == nil && (n.book.part.Seal == nil || n.book.part.Seal.Reason == ledger.Encoding) {
		for i := range n.book.open {
			if in := &n.book.open[i]; in.Skip == "" && in.Rows > 0 {
				add(1, "skip", func() { n.skip(i) })
			}
		}
	}
	if h := n.book.part.Halt; !s.may.words || h == nil || h.Cause != ledger.InDoubt {
		return
	}
	if landed, known := s.landed(n); known {
		add(3, "say what landed", func() { n.resolveTo(landed) })
	}
	if st := s.service.streams[n.book.part.Stream]; s.may.flaps && !s.touched {
		// A person may be wrong, as long as the stream comes back and says so.
		add(1, "say what did not land", func() {
			st.gone, s.lasting[st] = false, true
			ends := []int64{n.book.part.Acked}
			for _, in := range n.book.open {
				ends = append(ends, in.End())
			}
			n.resolveTo(ends[s.pick(len(ends), "word")])
		})
	}
}

// landed is what a person finds out who looks at the table: how far the open intents of a
// ledger have landed. It is not known if the table has more than this ledger knows of.
func (s *schedule) landed(n *node) (landed int64, known bool) {
	for _, row := range s.service.table {
		if row >= position(n.book.reached()) {
			return 0, false
		}
	}
	landed = n.book.part.Acked
	for _, in := range n.book.open {
		for _, row := range rowsOf(in) {
			if !slices.Contains(s.service.table, row) {
				return landed, true
			}
		}
		landed = in.End()
	}
	return landed, true
}

// If it fails, a person's word on what has landed costs rows, or doubles them: where the stream
// is there after all, expires again, or the process dies at any moment.
func TestPropertyResolved(t *testing.T) {
	check(t, mischief{crashes: true, lag: true, sizes: true, aging: true, expiry: true, flaps: true, words: true}, (*schedule).landResolved)
}

// If it fails, so does the word on a ledger that was restored, as far as a person can know.
func TestPropertyResolvedElsewhere(t *testing.T) {
	check(t, mischief{crashes: true, sizes: true, expiry: true, words: true, restore: true, dirt: true}, (*schedule).landOrStop)
}

// If it fails, a batch that a person has skipped takes other rows with it, becomes dead letters
// although it has landed, or lands all the same.
func TestPropertySkipped(t *testing.T) {
	check(t, mischief{crashes: true, lag: true, sizes: true, aging: true, dirt: true, skips: true}, (*schedule).land)
}

// If it fails, so do both orders together, for streams that are gone.
func TestPropertySkippedAndResolved(t *testing.T) {
	check(t, mischief{crashes: true, sizes: true, dirt: true, expiry: true, flaps: true, words: true, skips: true}, (*schedule).landResolved)
}

// If it fails, so does a batch that is skipped by a ledger that was copied or restored.
func TestPropertySkippedElsewhere(t *testing.T) {
	check(t, mischief{crashes: true, sizes: true, aging: true, restore: true, copies: true, skips: true}, (*schedule).landOrStop)
}

// landResolved has a person who looks say what has landed, as often as nobody else can.
func (s *schedule) landResolved() {
	n := s.nodes[0]
	if n.m != nil {
		n.crash(0) // what it doesn't know of its stream, its next start finds out
	}
	for range 10 {
		n.start()
		s.settle()
		if n.stopped() != recovery.InDoubt {
			break
		}
		n.crash(0)
		landed, known := s.landed(n)
		s.require(known, "%s: the table has rows that the ledger doesn't know: %s", n.name, n.book)
		n.resolveTo(landed)
	}
	s.land()
}
