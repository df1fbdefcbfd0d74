package recovery

import (
	"math/bits"

	"github.com/eowriter/eowriter/retry"
)

// create makes a stream. One that nobody gets to know is as if it had never been.
func (s *state) create() string {
	if s.used == maxStreams {
		panic("the model has too few streams")
	}
	s.streams[s.used] = stream{}
	s.used++
	return streamNames[s.used-1]
}

// apply executes a request. A lagging view has an earlier end of the stream: it can
// make an append look out of range, but what is written is checked against the truth.
func (s *state) apply(r request, lagging bool) reply {
	st := s.stream(r.stream)
	view := st.end
	if lagging {
		view = st.before
	}
	answer := func(c retry.Class, end int8) reply {
		return reply{class: c, expected: end, probe: r.rows == 0, broken: c == retry.Gone}
	}
	switch {
	case st.gone:
		return answer(retry.Gone, -1)
	case st.finalized:
		return answer(retry.Finalized, -1)
	case r.rows == 0:
		return answer(retry.OutOfRange, view)
	case s.limit > 0 && int(count(r.rows)) > s.limit:
		return answer(retry.TooLarge, -1)
	case r.start > view:
		return answer(retry.OutOfRange, view)
	case r.start < st.end:
		return answer(retry.AlreadyExists, st.end)
	}
	if bad := r.rows & s.bad; bad != 0 {
		a := answer(retry.RowErrors, -1)
		for i, row := 0, r.rows; row != 0; i, row = i+1, row&(row-1) {
			if bad&(row&-row) != 0 {
				a.refused |= 1 << i
			}
		}
		return a
	}
	s.write(st, r)
	return answer(retry.OK, -1)
}

// write puts rows into the table: each once, in the order of the source, and without a
// gap unless the row is one that doesn't land or may have been lost before it was bound.
func (s *state) write(st *stream, r request) {
	if twice := s.table & r.rows; twice != 0 {
		s.violate("rows %s are in the table twice", setOf(twice))
	}
	if first := r.rows & -r.rows; s.table&^(first-1)&^r.rows != 0 {
		s.violate("rows %s come out of order: the table has %s", setOf(r.rows), setOf(s.table))
	}
	s.table |= r.rows
	if gap := below(uint8(bits.Len8(r.rows))) &^ s.table &^ s.bad &^ s.skipped; gap != 0 && !s.push {
		s.violate("rows %s come before rows %s", setOf(r.rows), setOf(gap))
	}
	st.before = st.end
	st.end += count(r.rows)
}

// finalizeStream is called by n, or (nil) by somebody who is no owner.
func (s *state) finalizeStream(st *stream, n *node) {
	if !st.finalized && n != nil && n.book.part.Seal != nil {
		st.won = n.book.part.Seal.Successor
	}
	st.finalized = true
}

// keep lets the requests of a connection that has ended arrive late, as far as there is
// room: lose has made some before, where it matters which are lost.
func (s *state) keep(wire []request) {
	for _, r := range wire {
		if len(s.delayed) < s.delays && s.mayLand(r) {
			s.delayed = append(s.delayed, r)
		}
	}
}

// choices are the ways in which delayed requests, and those of a connection that now
// ends, may get lost: each the set of those that are not. If there is room for all, none
// is lost: one that never arrives is as good as lost.
func (s *state) choices(wire []request) []uint8 {
	if !s.crowded(wire) {
		return []uint8{^uint8(0)}
	}
	var all []uint8
	for set := range uint8(1 << (len(s.delayed) + len(wire))) {
		if bits.OnesCount8(set) == s.delays {
			all = append(all, set)
		}
	}
	return all
}

func (s *state) crowded(wire []request) bool {
	n := len(s.delayed)
	for _, r := range wire {
		if s.mayLand(r) {
			n++
		}
	}
	return n > s.delays
}

// lose makes room by a choice.
func (s *state) lose(n *node, chosen uint8) {
	if chosen == ^uint8(0) {
		return
	}
	all := append(append([]request(nil), s.delayed...), n.wire...)
	s.delayed, n.wire = nil, nil
	for i, r := range all {
		if chosen&(1<<i) != 0 {
			s.delayed = append(s.delayed, r)
		}
	}
}
