package recovery

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/xxh3"
)

// search visits every state of a model, nearest first, so that the history it finds to
// a violation is a shortest one.
//
// A state is known by 64 bits of its hash: among n states a pair has the same one, and
// the second is not visited, with a probability of about n²/2^65, which is 1 in 3,700
// for 100 million.
type search struct {
	bounds   *bounds
	sample   uint64 // one state in so many is let go on well until it comes to rest; 0: none
	most     int    // states; 0: all
	progress func() // called at every distance, unless it is nil

	seen   hashes
	parent []uint32 // of each state, in the order in which they were found
	via    []uint8  // the number of the move that led there

	expanded uint32         // the number of the state that is being expanded
	moves    []move         // its
	here     *state         // it, or where a move has led
	ahead    *state         // one that is let go on
	code     codec          // what was last written
	taken    int            // moves
	kinds    [moveKinds]int // the same, by kind
	depth    int            // of the last state found
	well     int            // states that were let go on
	widest   int            // bytes of the states of two distances, at most
}

// violation is a history that must not be.
type violation struct {
	history []move
	what    string
}

// level is a queue of states of the same distance: lengths and bytes, in blocks.
type level struct {
	blocks [][]byte
	states int
}

const blockSize = 1 << 20

func (l *level) push(b []byte) {
	n := len(l.blocks)
	if n == 0 || len(l.blocks[n-1])+len(b)+2 > blockSize {
		l.blocks = append(l.blocks, make([]byte, 0, blockSize))
		n++
	}
	block := binary.LittleEndian.AppendUint16(l.blocks[n-1], uint16(len(b)))
	l.blocks[n-1] = append(block, b...)
	l.states++
}

// each calls visit with every state until it says that something was found, and lets go
// of what was visited.
func (l *level) each(visit func([]byte) *violation) *violation {
	for i, block := range l.blocks {
		for len(block) > 0 {
			n := binary.LittleEndian.Uint16(block)
			if found := visit(block[2 : 2+n]); found != nil {
				return found
			}
			block = block[2+n:]
		}
		l.blocks[i] = nil
	}
	return nil
}

// read makes s the state that was written.
func (s *state) read(b []byte) {
	s.wrong = ""
	s.code(&codec{b: b, reading: true})
}

// run searches and returns the first violation, or nil.
func (r *search) run() *violation {
	r.here, r.ahead = newState(r.bounds), newState(r.bounds)
	next := &level{}
	r.find(0, next)
	for next.states > 0 && !r.enough() {
		now := next
		next = &level{}
		found := now.each(func(b []byte) *violation {
			if r.enough() {
				return nil
			}
			v := r.expand(b, next)
			r.expanded++
			return v
		})
		if found != nil {
			return found
		}
		r.widest = max(r.widest, (len(now.blocks)+len(next.blocks))*blockSize)
		if next.states > 0 {
			r.depth++
		}
		if r.progress != nil {
			r.progress()
		}
	}
	return nil
}

func (r *search) enough() bool { return r.most > 0 && len(r.parent) >= r.most }

// expand makes every move that a state has.
func (r *search) expand(b []byte, next *level) *violation {
	s := r.here
	s.read(b)
	if what := s.stuck(); what != "" {
		return &violation{r.history(r.expanded), what}
	}
	r.moves = s.moves(r.moves[:0])
	for i, m := range r.moves {
		if i > 0 {
			s.read(b)
		}
		s.take(m)
		r.taken++
		r.kinds[m.kind]++
		if s.wrong != "" {
			return &violation{append(r.history(r.expanded), m), s.wrong}
		}
		if hash, fresh := r.find(uint8(i), next); fresh && r.sample > 0 && hash%r.sample == 0 {
			if rest, what := r.restless(r.code.b); what != "" {
				return &violation{append(append(r.history(r.expanded), m), rest...), what}
			}
		}
	}
	return nil
}

// find notes the state that a move has led to, unless it was found before.
func (r *search) find(via uint8, next *level) (hash uint64, fresh bool) {
	r.code = codec{b: r.code.b[:0], met: r.code.met[:0]}
	r.here.code(&r.code)
	hash = xxh3.Hash(r.code.b)
	if !r.seen.add(hash) {
		return hash, false
	}
	r.parent = append(r.parent, r.expanded)
	r.via = append(r.via, via)
	next.push(r.code.b)
	return hash, true
}

// history is the way from the first state to the one with this number.
func (r *search) history(id uint32) []move {
	var numbers []uint8
	for ; id > 0; id = r.parent[id] {
		numbers = append(numbers, r.via[id])
	}
	s := newState(r.bounds)
	var history []move
	for i := len(numbers) - 1; i >= 0; i-- {
		c := &codec{}
		s.code(c)
		s.read(c.b)
		m := s.moves(nil)[numbers[i]]
		history = append(history, m)
		s.take(m)
	}
	return history
}

// stuck says why a state in which nothing is under way is no end: something is open.
func (s *state) stuck() string {
	for i := range s.nodes {
		n := &s.nodes[i]
		if !n.exists || n.m == nil || n.overlaps() {
			continue
		}
		if _, due := n.wellMove(); !due && (n.m.phase != phaseLive || len(n.unsettled) > 0 || len(n.book.open) > 0) {
			return fmt.Sprintf("%s: nothing is under way, and it has not come to an end", n.name)
		}
	}
	return ""
}

// wellMove is the next move of n's that goes well, if there is one.
func (n *node) wellMove() (first move, due bool) {
	if n.m == nil {
		return first, false
	}
	n.goesWell(func(kind moveKind, arg uint8) {
		if !due && kind != offered {
			first, due = move{kind: kind, arg: arg}, true
		}
	})
	if n == &n.nodes[1] {
		first.node = 1
	}
	return first, due
}

// restless lets all go well from a state on: each owner has to come to an end, and as
// long as nobody meddled, with everything landed. It returns the way and what is wrong.
func (r *search) restless(b []byte) (way []move, what string) {
	r.well++
	s := r.ahead
	s.read(b)
	for range 200 {
		m, due := s.nodes[0].wellMove()
		if !due && s.nodes[1].exists {
			m, due = s.nodes[1].wellMove()
		}
		if !due {
			return way, s.stuck()
		}
		way = append(way, m)
		s.take(m)
		if s.wrong != "" {
			return way, s.wrong
		}
	}
	return way, "it never comes to rest, though all goes well"
}

// hashes is a set of 64-bit hashes: open addressing, at most three quarters full.
type hashes struct {
	slots []uint64 // 0: free
	n     int
}

func (h *hashes) add(v uint64) bool {
	if v == 0 {
		v = 1
	}
	if 4*(h.n+1) > 3*len(h.slots) {
		old := h.slots
		h.slots, h.n = make([]uint64, max(1<<12, 2*len(old))), 0
		for _, v := range old {
			if v != 0 {
				h.add(v)
			}
		}
	}
	mask := uint64(len(h.slots) - 1)
	for i := v & mask; ; i = (i + 1) & mask {
		switch h.slots[i] {
		case v:
			return false
		case 0:
			h.slots[i] = v
			h.n++
			return true
		}
	}
}
