package recovery

import (
	"fmt"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
)

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
		n.book.part.Resolution = nil // the ledger has noticed
		s.touched = true
		n.start()
	case reverted:
		spend(&s.left.reverts)
		if s.apart(rolledOnTheWay) { // what was lost before is as good as lost now
			s.delayed, n.wire = nil, nil
		}
		for i := range s.streams {
			if s.apart(rolledFast) {
				s.streams[i].before = s.streams[i].end
			}
		}
		n.hangUp()
		n.book = s.backup.clone()
		s.touched = true
		n.start()
		n.reverted = true
	case copied:
		spend(&s.left.copies)
		n.exists = true
		n.book = s.backup.clone()
		n.book.part.Resolution = nil
		s.touched = true
		n.start()
	case skipped:
		spend(&s.left.skips)
		n.hangUp()
		n.skip(int(m.arg))
		n.start()
		return
	case resolved:
		spend(&s.left.words)
		if s.apart(toldOnTheWay) {
			s.delayed = nil
		}
		landed, _ := n.inTable()
		n.book.part.Halt, n.book.part.Resolution = nil, &ledger.Resolution{Landed: landed}
		n.start()
	default:
		panic(fmt.Sprint("not a move: ", m))
	}
	s.touched = true
}

// skip has the batch of the i-th open intent skipped, with all its parts.
func (n *node) skip(i int) {
	open := n.book.open
	for i > 0 && open[i].From > 0 {
		i--
	}
	for ; ; i++ {
		open[i].Skip = skipReason
		n.skipped |= rowsOf(&open[i])
		if open[i].Ends() {
			return
		}
	}
}

// inTable is what a person finds out who looks at the table: how far the open intents have
// landed. It is not known if the table has others of the rows that come after.
func (n *node) inTable() (landed int64, known bool) {
	landed = n.book.part.Acked
	rest := n.book.open
	for len(rest) > 0 && rowsOf(&rest[0])&^n.table == 0 {
		landed = rest[0].End()
		rest = rest[1:]
	}
	var others rows
	for i := range rest {
		others |= rowsOf(&rest[i])
	}
	others |= ^below(reachedBy(n.book.reached()))
	return landed, n.table&others == 0
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
