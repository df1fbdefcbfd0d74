package recovery

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/zeebo/xxh3"
)

// search visits every state of a model, nearest first, so that the history it finds to
// a violation is a shortest one.
//
// A state is known by 64 bits of its hash: among n states a pair has the same one, and
// the second is not visited, with a probability of about n²/2^65, which is 1 in 3,700
// for 100 million.
type search struct {
	bounds *bounds
	sample uint64 // one state in so many is let go on well until it comes to rest; 0: none
	most   int    // states; 0: all

	seen   hashes
	parent []uint32 // of each state, in the order in which they were found
	via    []uint8  // the number of the move that led there

	taken          int // moves
	depth          int // of the last state found
	well           int // states that were sampled
	widest         int // bytes of the states of two distances, at most
	scratch, other *state
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

// each calls visit with every state, and lets go of what was visited.
func (l *level) each(visit func([]byte) bool) bool {
	for i, block := range l.blocks {
		for len(block) > 0 {
			n := binary.LittleEndian.Uint16(block)
			if !visit(block[2 : 2+n]) {
				return false
			}
			block = block[2+n:]
		}
		l.blocks[i] = nil
	}
	return true
}

// read makes s the state that was written.
func (s *state) read(b []byte) {
	s.wrong = ""
	s.code(&codec{b: b, reading: true})
}

// run searches and returns the first violation, or nil.
func (r *search) run() (found *violation) {
	r.scratch, r.other = newState(r.bounds), newState(r.bounds)
	c := &codec{}
	r.scratch.code(c)
	next := &level{}
	r.add(c.b, 0, 0, next)
	var moves []move
	id := uint32(0)
	for next.states > 0 && found == nil {
		now := next
		next = &level{}
		now.each(func(b []byte) bool {
			s := r.scratch
			s.read(b)
			moves = s.moves(moves[:0])
			if what := s.stuck(); what != "" {
				found = &violation{r.history(id), what}
				return false
			}
			for i, m := range moves {
				if i > 0 {
					s.read(b)
				}
				s.take(m)
				r.taken++
				if s.wrong != "" {
					found = &violation{append(r.history(id), m), s.wrong}
					return false
				}
				c.b, c.met = c.b[:0], c.met[:0]
				s.code(c)
				if h, fresh := r.add(c.b, id, uint8(i), next); fresh && r.sample > 0 && h%r.sample == 0 {
					if rest, what := r.restless(c.b); what != "" {
						found = &violation{append(append(r.history(id), m), rest...), what}
						return false
					}
				}
			}
			id++
			return r.most == 0 || len(r.parent) < r.most
		})
		if r.most > 0 && len(r.parent) >= r.most {
			break
		}
		r.widest = max(r.widest, (len(now.blocks)+len(next.blocks))*blockSize)
		if next.states > 0 {
			r.depth++
		}
	}
	return found
}

// add notes a state that is found, unless it was before.
func (r *search) add(b []byte, parent uint32, via uint8, next *level) (hash uint64, fresh bool) {
	hash = xxh3.Hash(b)
	if !r.seen.add(hash) {
		return hash, false
	}
	r.parent = append(r.parent, parent)
	r.via = append(r.via, via)
	next.push(b)
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
	s := r.other
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

// tell writes a history in words.
func (r *search) tell(v *violation) string {
	var b strings.Builder
	s := newState(r.bounds)
	fmt.Fprintf(&b, "%s, after %d moves:\n", v.what, len(v.history))
	labels, streams := []string{}, 0
	say := func(format string, args ...any) {
		for ; len(labels) < s.used; streams++ { // the newest
			labels = append(labels, fmt.Sprint("s", streams+1))
		}
		var pairs []string
		for i, label := range labels {
			pairs = append(pairs, streamNames[i], label)
		}
		b.WriteString(strings.NewReplacer(pairs...).Replace(fmt.Sprintf(format+"\n", args...)))
	}
	s.said = func(format string, args ...any) { say("      "+format, args...) }
	say("   0. %s", s)
	for i, m := range v.history {
		say("  %2d. %s", i+1, s.words(m))
		s.take(m)
		say("      %s", s)
		c := &codec{}
		s.code(c)
		s.read(c.b)
		renamed := make([]string, len(c.met))
		for i, old := range c.met {
			renamed[i] = labels[old]
		}
		labels = renamed
	}
	b.WriteString("Play it again with -model.play='")
	for i, m := range v.history {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(m.String())
	}
	b.WriteString("'\n")
	return b.String()
}

// words tells what a move is in a state, for people.
func (s *state) words(m move) string {
	n := &s.nodes[m.node]
	switch m.kind {
	case durable:
		text := fmt.Sprintf("%s: durable: %s", n.name, &n.writes[0])
		if m.arg == 1 {
			text += "; the ledger is backed up"
		}
		return text
	case called:
		return fmt.Sprintf("%s: %s%s", n.name, callNames[n.call.Kind], n.call.Stream)
	case callFails:
		return fmt.Sprintf("%s: %s%s fails", n.name, callNames[n.call.Kind], n.call.Stream)
	case callLost:
		return fmt.Sprintf("%s: finalize %s is executed, its answer is lost", n.name, n.call.Stream)
	case timer:
		return n.name + ": a wait is over"
	case connected:
		return n.name + ": the connection is open"
	case served:
		return fmt.Sprintf("%s: arrives: %s", n.name, n.wire[0])
	case lagged:
		return fmt.Sprintf("%s: arrives where the view lags: %s", n.name, n.wire[0])
	case refused:
		return fmt.Sprintf("%s: answered by an error, nothing written: %s", n.name, n.wire[0])
	case lied:
		return fmt.Sprintf("%s: answered by an error, but executed: %s", n.name, n.wire[0])
	case delivered:
		return n.name + ": gets an answer"
	case offered:
		return fmt.Sprintf("%s: is offered a batch of %d from row %d", n.name, m.arg, n.from())
	case broke:
		return n.name + ": the connection breaks"
	case crashed:
		return n.name + ": crashes and starts again"
	case arrived:
		return fmt.Sprintf("arrives late: %s", s.delayed[m.arg])
	case aged:
		return n.name + ": the stream is near the end of its time to live"
	case finalized:
		return fmt.Sprintf("somebody finalizes %s", n.book.part.Stream)
	case expired:
		return n.book.part.Stream + " expires"
	case restored:
		return n.name + ": crashes; the backup is put in place of its ledger, which is noticed; starts again"
	case reverted:
		return n.name + ": crashes; the backup is put in place of its ledger, unnoticed; starts again"
	case copied:
		return "the backup is brought up elsewhere"
	}
	return m.String()
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
