package recovery

import (
	"fmt"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
)

// move is one way in which a state may go on.
type move struct {
	kind moveKind
	node uint8
	arg  uint8
}

type moveKind uint8

const (
	// What goes well. From each state these alone must bring everything to its end.
	durable   moveKind = iota // the oldest write to the ledger; arg 1: and a backup of it is made
	called                    // the call is executed, and its answer arrives
	timer                     // a wait is over
	connected                 // the connection is open
	served                    // the oldest request arrives
	delivered                 // the oldest answer arrives
	offered                   // the source hands over a batch of arg rows

	// What goes wrong.
	lagged    // the oldest request is handled by an old view of the stream's end
	refused   // the oldest request is answered by an error, nothing is written
	lied      // the oldest request is answered by an error, the rows are written
	callFails // the call is not executed
	callLost  // Finalize is executed, its answer is lost
	broke     // the connection ends; arg: see choices
	crashed   // the process dies and starts again; arg: see choices
	arrived   // delayed request number arg arrives
	aged      // the stream is near the end of its time to live

	// What others do.
	finalized // somebody who is no owner finalizes the node's stream
	expired   // the node's stream is gone
	restored  // the backup is put in the place of the node's ledger, which is noticed, and the process starts again
	reverted  // the same, and it is not noticed
	copied    // the backup is brought up elsewhere
	moveKinds
)

var moveNames = [moveKinds]string{"durable", "called", "timer", "connected", "served", "delivered", "offered", "lagged", "refused", "lied",
	"call-fails", "call-lost", "broke", "crashed", "arrived", "aged", "finalized", "expired", "restored", "reverted", "copied"}

// String is how a history is written down; parseMove reads it.
func (m move) String() string {
	return fmt.Sprintf("%s.%d.%d", moveNames[m.kind], m.node, m.arg)
}

func parseMove(text string) (move, error) {
	for kind, name := range moveNames {
		var m move
		if _, err := fmt.Sscanf(text, name+".%d.%d", &m.node, &m.arg); err == nil {
			m.kind = moveKind(kind)
			return m, nil
		}
	}
	return move{}, fmt.Errorf("not a move: %s", text)
}

// moves appends the ways in which the state may go on.
func (s *state) moves(all []move) []move {
	for i := range s.nodes {
		n := &s.nodes[i]
		if !n.exists {
			if s.left.copies != 0 && s.backup != nil {
				all = append(all, move{copied, uint8(i), 0})
			}
			continue
		}
		add := func(kind moveKind, arg uint8) { all = append(all, move{kind, uint8(i), arg}) }
		if n.m != nil {
			n.goesWell(add)
			n.goesWrong(add)
		}
		n.meddled(add)
	}
	for i := range s.delayed {
		all = append(all, move{arrived, 0, uint8(i)})
	}
	return all
}

func (n *node) goesWell(add func(moveKind, uint8)) {
	if len(n.writes) > 0 {
		add(durable, 0)
		if n.backup == nil && (n.left.restores != 0 || n.left.reverts != 0 || n.left.copies != 0) {
			// Any other moment is as good as the one when the ledger has just changed.
			add(durable, 1)
		}
	}
	if n.call != nil && !n.overlaps() {
		add(called, 0)
	}
	if n.timers > 0 {
		add(timer, 0)
	}
	if n.conn == connOpening {
		add(connected, 0)
	}
	if len(n.wire) > 0 {
		add(served, 0)
	}
	if len(n.replies) > 0 {
		add(delivered, 0)
	}
	if len(n.unsettled) < n.window {
		for k := uint8(1); k <= n.batch && n.from()+k <= n.rows; k++ {
			add(offered, k)
		}
	}
}

// from is the row that the source hands over next.
func (n *node) from() uint8 {
	if n.push {
		return n.next
	}
	return reachedBy(n.m.Position())
}

func (n *node) goesWrong(add func(moveKind, uint8)) {
	if len(n.wire) > 0 {
		r := n.wire[0]
		st := n.stream(r.stream)
		if n.left.lags != 0 && st.before < st.end && !st.gone && !st.finalized {
			add(lagged, 0)
		}
		if n.left.errors != 0 {
			add(refused, 0)
			if r.rows != 0 {
				add(lied, 0)
			}
		}
	}
	if n.call != nil && n.call.Kind != Examine && n.left.errors != 0 {
		add(callFails, 0)
		if n.call.Kind == Finalize && !n.overlaps() {
			add(callLost, 0)
		}
	}
	if n.conn != connDown && n.left.breaks != 0 {
		for _, c := range n.choices(n.wire) {
			add(broke, c)
		}
	}
	if n.left.ages != 0 && !n.m.aged && n.book.part.Epoch > 0 {
		add(aged, 0)
	}
}

func (n *node) meddled(add func(moveKind, uint8)) {
	if n.left.crashes != 0 && n.book.part.Halt == nil { // a halted partition stops at once
		for _, c := range n.choices(n.wire) {
			add(crashed, c)
		}
	}
	if n.backup != nil && n.left.restores != 0 {
		for _, c := range n.choices(n.wire) {
			add(restored, c)
		}
	}
	if n.backup != nil && n.left.reverts != 0 && !n.expiredSince(n.backup) {
		add(reverted, 0)
	}
	if n.book.part.Epoch == 0 {
		return
	}
	st := n.stream(n.book.part.Stream)
	if n.left.finalize != 0 && !st.finalized && !st.gone {
		add(finalized, 0)
	}
	if n.left.expiries != 0 && !st.gone && n.mayExpire(st) {
		add(expired, 0)
	}
}

// What the design does not exclude is kept apart by the next three rules and by what
// reverted does; ARCHITECTURE.md and README.md say so to users.

// overlaps: two take-overs of one stream overlap, as Finalize is no compare-and-set. n
// may not finalize a stream that another owner has finalized for another successor after
// n had decided. (An owner that decides afterwards, without asking, may: that would be a
// bug.)
func (n *node) overlaps() bool {
	if n.call == nil || n.call.Kind != Finalize {
		return false
	}
	st, seal := n.stream(n.call.Stream), n.book.part.Seal
	return st.won != "" && seal != nil && st.won != seal.Successor && !n.late
}

// expiredSince: a ledger is rolled back unnoticed to a time before a stream of its expired.
func (s *state) expiredSince(b *book) bool {
	return s.stream(b.part.Stream).gone || b.part.Seal != nil && s.stream(b.part.Seal.Successor).gone
}

// mayExpire: the same, as long as a rolled back ledger's owner has not asked the stream;
// and a stream that one owner has taken over, before another one knows.
func (s *state) mayExpire(st *stream) bool {
	for i := range s.nodes {
		n := &s.nodes[i]
		if !n.exists || n.m == nil || n.book.part.Epoch == 0 {
			continue
		}
		present, seal := s.stream(n.book.part.Stream) == st, n.book.part.Seal
		if !present && (seal == nil || s.stream(seal.Successor) != st) {
			continue
		}
		takenOver := st.won != "" && !(present && seal != nil && seal.Successor == st.won)
		if n.reverted || takenOver {
			return false
		}
	}
	return true
}

// take makes a move.
func (s *state) take(m move) {
	n := &s.nodes[m.node]
	switch m.kind {
	case durable:
		n.durable(m.arg == 1)
	case called:
		n.executed()
	case timer:
		n.timers--
		n.step(Event{Kind: Timer})
	case connected:
		n.conn = connUp
		n.step(Event{Kind: Connected, Conn: n.m.connID})
	case served, lagged, refused, lied:
		n.serve(m.kind)
	case delivered:
		n.deliver()
	case offered:
		n.offer(m.arg)
	case callFails, callLost:
		spend(&s.left.errors)
		if m.kind == callLost {
			s.finalizeStream(s.stream(n.call.Stream), n)
		}
		n.call = nil
		n.step(Event{Kind: CallFailed, Answer: brokenBy(retry.Transient)})
	case broke:
		spend(&s.left.breaks)
		s.lose(n, m.arg)
		n.hangUp()
		n.step(Event{Kind: Broken, Conn: n.m.connID, Answer: brokenBy(retry.Transient)})
	case arrived:
		r := s.delayed[m.arg]
		s.delayed = append(s.delayed[:m.arg:m.arg], s.delayed[m.arg+1:]...)
		s.apply(r, false)
	case aged:
		spend(&s.left.ages)
		n.step(Event{Kind: Age})
	default:
		s.meddle(n, m)
	}
	s.prune()
	s.check()
}

// meddle makes the moves that somebody else makes.
func (s *state) meddle(n *node, m move) {
	switch m.kind {
	case crashed:
		spend(&s.left.crashes)
		s.lose(n, m.arg)
		n.hangUp()
		n.start()
		return
	case finalized:
		spend(&s.left.finalize)
		s.finalizeStream(s.stream(n.book.part.Stream), nil)
	case expired:
		spend(&s.left.expiries)
		s.stream(n.book.part.Stream).gone = true
	case restored:
		spend(&s.left.restores)
		s.lose(n, m.arg)
		n.hangUp()
		n.nonce += uint64(len(s.nodes))
		n.book = s.backup.clone()
		s.touched = true
		n.start()
	case reverted:
		// Not excluded: a whole volume is rolled back while an old append is on its way. So
		// there is none, and what has been lost before is as good as lost now.
		spend(&s.left.reverts)
		s.delayed, n.wire = nil, nil
		n.hangUp()
		n.book = s.backup.clone()
		s.touched = true
		n.start()
		n.reverted = true
	case copied:
		spend(&s.left.copies)
		n.exists = true
		n.book = s.backup.clone()
		s.touched = true
		n.start()
	default:
		panic(fmt.Sprint("not a move: ", m))
	}
	s.touched = true
}

// spend counts down what may go wrong only so often.
func spend(left *int8) {
	if *left > 0 {
		*left--
	}
}

func brokenBy(c retry.Class) *retry.Answer {
	return &retry.Answer{Class: c, Offset: -1, Expected: -1, Broken: true}
}

// durable lets the oldest write to the ledger become durable, and tells the machine.
// So a crash with some of the writes durable is one after these moves: what the machine
// does about them is gone with the crash.
func (n *node) durable(backup bool) {
	w := n.writes[0]
	n.writes = n.writes[1:]
	e := n.book.apply(n, &w)
	if e.Kind == Opened || e.Kind == Settled {
		n.probed, n.late = false, false
	}
	if backup {
		b := n.book.clone()
		n.state.backup = &b
	}
	n.step(e)
}

// executed carries out the call.
func (n *node) executed() {
	a := n.call
	n.call = nil
	switch a.Kind {
	case Create:
		n.step(Event{Kind: Created, Name: n.create()})
	case Finalize:
		st := n.stream(a.Stream)
		if st.gone {
			n.step(Event{Kind: CallFailed, Answer: brokenBy(retry.Gone)})
			return
		}
		n.finalizeStream(st, n)
		n.step(Event{Kind: Finalized, Count: int64(st.end)})
	case Examine:
		whole := a.Intent
		whole.From, whole.Without = 0, nil
		whole.Rows = int64(count(whole.Digest[0]))
		e := Event{Kind: Examined, Intent: a.Intent}
		for _, r := range a.Refused {
			e.Contents = append(e.Contents, contentOf(sequence(&whole)[r.Row]))
		}
		n.step(e)
	}
}

// serve lets the oldest request arrive.
func (n *node) serve(how moveKind) {
	r := n.wire[0]
	n.wire = n.wire[1:]
	var a reply
	switch how {
	case refused:
		spend(&n.left.errors)
		a = reply{class: retry.Transient, expected: -1, probe: r.rows == 0}
	case lagged:
		spend(&n.left.lags)
		a = n.apply(r, true)
	default:
		a = n.apply(r, false)
		if how == lied {
			spend(&n.left.errors)
			if a.class == retry.OK {
				a.class = retry.Transient
			}
		}
	}
	n.replies = append(n.replies, a)
}

// deliver brings the oldest answer back.
func (n *node) deliver() {
	r := n.replies[0]
	n.replies = n.replies[1:]
	a := &retry.Answer{Class: r.class, Offset: -1, Expected: int64(r.expected), Broken: r.broken}
	for i := range int64(maxRows) {
		if r.refused&(1<<i) != 0 {
			a.Rows = append(a.Rows, retry.RowError{Index: i})
		}
	}
	if r.probe && r.class == retry.OutOfRange && n.book.boundary(a.Expected) {
		n.probed, n.reverted = true, false
	}
	kind := Answered
	if r.broken {
		kind = Broken
		n.hangUp()
	}
	n.step(Event{Kind: kind, Conn: n.m.connID, Answer: a})
}

// offer hands the machine a batch of the source's next rows.
func (n *node) offer(k uint8) {
	from := n.from()
	set := below(from+k) &^ below(from)
	in := ledger.Intent{Rows: int64(k), Of: int64(k), After: positions[from+k], Digest: ledger.Digest{set}}
	if before := reachedBy(n.m.Position()); before > 0 {
		in.Before = positions[before]
	}
	if n.push {
		n.next = from + k
	}
	n.unsettled = append(n.unsettled, set)
	n.step(Event{Kind: Offered, Intent: in})
}
