package recovery

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The model: one table's COMMITTED streams, requests that are late, and one or two
// owners of a partition, each a real Machine with a ledger. It is the world of
// world_test.go cut down to what can be copied and compared: a state is some 200
// bytes, and every way in which it may go on is a move (model_moves_test.go). So it is
// not played but searched, breadth first, through all its states (model_search_test.go).

const (
	maxStreams = 8
	maxRows    = 8
	unlimited  = -1
)

// bounds say how large a model is, what may go wrong in it, and how often.
type bounds struct {
	rows   uint8 // of the source
	batch  uint8 // the largest batch
	window int   // open batches, of an owner
	limit  int   // rows of the largest append that the service takes; 0: any
	bad    rows  // the service refuses them
	push   bool  // the source hands over each row once, and does not go back to a position

	delays int // requests that outlive their connection, at a time

	// How often, over a whole history; unlimited: as often as there is occasion to.
	crashes  int8
	ages     int8
	lags     int8
	errors   int8 // in-response errors, with or without the rows written, and calls that fail
	breaks   int8
	finalize int8 // by somebody who is no owner
	expiries int8
	restores int8 // in place, and noticed
	reverts  int8 // in place, and not noticed: with its companion file
	copies   int8 // as a second owner
	skips    int8 // of a batch, ordered by a person
	words    int8 // of a person who looked at the table, for a stream that is gone

	// Trusting: the ledger takes every write, so that a search shows what comes of a
	// wrong one. Otherwise a write that the ledger would refuse is a violation by itself,
	// and so is what the contracts of the machine exclude.
	trusting bool

	admitted exclusion // what is not kept apart
}

// state is one state of the model.
type state struct {
	*bounds
	streams [maxStreams]stream
	used    int // streams there are
	table   rows
	delayed []request // that have outlived their connection; in no order
	nodes   [2]node   // the original, and perhaps the owner of a copy
	backup  *book     // of a ledger, to be restored or copied
	next    uint8     // the row that a pushing source hands over next
	left    bounds    // only the counts
	skipped rows      // of batches that a person has ordered to be skipped
	touched bool      // the ledger or the stream was meddled with: an owner may stop

	wrong string // the violation that the last move has led to
	said  func(format string, args ...any)
}

type stream struct {
	end       int8
	before    int8 // its end before the last append: a lagging view
	finalized bool
	gone      bool
	won       string // the successor in the seal of the owner who finalized it first
}

// request is an append on its way; one without rows is a probe.
type request struct {
	stream string
	start  int8
	rows   rows
}

func newState(b *bounds) *state {
	s := &state{bounds: b, left: *b, said: func(string, ...any) {}}
	s.nodes[0] = node{state: s, name: "original", nonce: 1, exists: true}
	s.nodes[1] = node{state: s, name: "copy", nonce: 2}
	s.nodes[0].start()
	return s
}

// violate notes what went wrong. The first is what counts.
func (s *state) violate(format string, args ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf(format, args...)
	}
}

// expect notes a violation of a contract that the outcome may not show.
func (s *state) expect(ok bool, format string, args ...any) {
	if !ok && !s.trusting {
		s.violate(format, args...)
	}
}

func (s *state) stream(name string) *stream { return &s.streams[indexOf(name)] }

// code reads or writes the state. What is written is the same for states that differ
// only in the names of streams, in counters that nobody compares, in streams that
// nobody knows any more, and in the order of delayed requests.
func (s *state) code(c *codec) {
	if !c.reading {
		s.normalize()
	}
	s.codeFields(c)
}

func (s *state) codeFields(c *codec) {
	for i := range s.nodes {
		truth(c, &s.nodes[i].exists)
		if s.nodes[i].exists {
			s.nodes[i].code(c)
		}
	}
	pointer(c, &s.backup, codeBook)
	s.codeDelayed(c)
	s.codeStreams(c)
	num(c, &s.table)
	num(c, &s.next)
	num(c, &s.skipped)
	truth(c, &s.touched)
	for _, v := range s.left.counts() {
		num(c, v)
	}
}

func (b *bounds) counts() []*int8 {
	return []*int8{&b.crashes, &b.ages, &b.lags, &b.errors, &b.breaks, &b.finalize, &b.expiries, &b.restores, &b.reverts, &b.copies, &b.skips, &b.words}
}

// allowed says which moves there can be within the bounds, of those that can't be in all.
func (b *bounds) allowed() map[moveKind]bool {
	return map[moveKind]bool{
		arrived: b.delays > 0 && (b.breaks != 0 || b.crashes != 0 || b.restores != 0), crashed: b.crashes != 0, aged: b.ages != 0, lagged: b.lags != 0,
		refused: b.errors != 0, lied: b.errors != 0, callFails: b.errors != 0, broke: b.breaks != 0,
		finalized: b.finalize != 0, expired: b.expiries != 0, restored: b.restores != 0, reverted: b.reverts != 0, copied: b.copies != 0,
		skipped: b.skips != 0, resolved: b.words != 0,
	}
}

func (s *state) codeDelayed(c *codec) {
	if !c.reading {
		slices.SortFunc(s.delayed, func(a, b request) int {
			return cmp.Or(c.order(a.stream)-c.order(b.stream), int(a.start)-int(b.start), int(a.rows)-int(b.rows))
		})
	}
	own(c, &s.delayed, codeRequest)
}

func codeRequest(c *codec, r *request) {
	c.stream(&r.stream)
	num(c, &r.start)
	num(c, &r.rows)
}

// codeStreams comes last: only streams that somebody knows are written, as they were met.
func (s *state) codeStreams(c *codec) {
	if c.reading {
		s.used = int(c.byte(0))
		for i := range s.used {
			s.streams[i].code(c)
		}
		return
	}
	for i := 0; i < len(c.met); i++ { // a stream's winner may be met by it; that is enough
		s.streams[c.met[i]].knows(c)
	}
	c.byte(byte(len(c.met)))
	for _, old := range c.met {
		s.streams[old].code(c)
	}
}

// knows forgets the winner's name if nobody knows it.
func (st *stream) knows(c *codec) {
	if st.won != "" && st.won != forgotten && !slices.Contains(c.met, indexOf(st.won)) {
		st.won = forgotten
	}
}

// forgotten stands for a stream that nobody knows any more.
const forgotten = "?"

func (st *stream) code(c *codec) {
	num(c, &st.end)
	num(c, &st.before)
	truth(c, &st.finalized)
	truth(c, &st.gone)
	lost := st.won == forgotten
	truth(c, &lost)
	if lost {
		st.won = forgotten
	} else {
		c.stream(&st.won)
	}
}

// prune forgets delayed requests that will never do anything: for a stream that takes
// nothing any more, for offsets that are taken, or the second of two that are the same.
func (s *state) prune() {
	s.delayed = slices.DeleteFunc(s.delayed, func(r request) bool { return !s.mayLand(r) })
	if len(s.delayed) == 2 && s.delayed[0] == s.delayed[1] {
		s.delayed = s.delayed[:1]
	}
}

// mayLand says whether a request could ever be applied.
func (s *state) mayLand(r request) bool {
	st := s.stream(r.stream)
	return !st.gone && !st.finalized && r.rows != 0 && r.start >= st.end
}

func (r request) String() string {
	if r.rows == 0 {
		return "probe of " + r.stream
	}
	return fmt.Sprintf("append of rows %s to %s at %d", setOf(r.rows), r.stream, r.start)
}

// check is what holds in every state: nobody has acknowledged a row that is not there,
// and an owner's window fits its stream as long as nobody meddles.
func (s *state) check() {
	for i := range s.nodes {
		n := &s.nodes[i]
		if !n.exists {
			continue
		}
		b := &n.book
		if lost := b.landed &^ s.table; lost != 0 {
			s.violate("%s: rows %s are acknowledged and not in the table", n.name, setOf(lost))
		}
		if both := b.dead & s.table; both != 0 {
			s.violate("%s: rows %s are dead letters and in the table", n.name, setOf(both))
		}
		position := reachedBy(b.part.Position)
		if lost := below(position) &^ b.landed &^ b.dead; lost != 0 && !s.push {
			s.violate("%s: the position is %d, and rows %s are neither in the table nor dead letters (invariant 4)", n.name, position, setOf(lost))
		}
		if s.touched || b.part.Epoch == 0 {
			continue
		}
		if end := int64(s.stream(b.part.Stream).end); b.part.Acked > end || end > b.part.Next {
			s.expect(false, "%s: acked %d, end %d, next %d (invariant 3)", n.name, b.part.Acked, end, b.part.Next)
		}
	}
}

// String describes the state for the reader of a history.
func (s *state) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s", setOf(s.table))
	for i := range s.used {
		st := &s.streams[i]
		fmt.Fprintf(&b, "; %s ends at %d", streamNames[i], st.end)
		if st.finalized {
			b.WriteString(", finalized")
		}
		if st.gone {
			b.WriteString(", gone")
		}
	}
	for _, r := range s.delayed {
		fmt.Fprintf(&b, "; delayed: %s", r)
	}
	for i := range s.nodes {
		if n := &s.nodes[i]; n.exists {
			fmt.Fprintf(&b, "\n      %s", n)
		}
	}
	if s.backup != nil {
		fmt.Fprintf(&b, "\n      backup: %s", s.backup)
	}
	return b.String()
}
