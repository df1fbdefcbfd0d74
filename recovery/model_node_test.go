package recovery

import (
	"fmt"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
)

// node is an owner: a process that writes one partition, with a ledger of its own. A
// process that has died and one that was started and gets nothing done are the same to
// everybody else, so a crash includes the next start.
type node struct {
	*state
	name   string
	nonce  uint64 // of its ledger's identity
	exists bool
	book   book

	m       *Machine // nil: it has told why it stopped
	stopped Verdict

	writes  []write // asked of the ledger, not durable
	call    *Action // Create, Finalize or Examine, not executed
	conn    connState
	wire    []request
	replies []reply
	timers  int8 // asked for and not over; 2 stands for more

	probed    bool   // in this incarnation a probe of the ledger's stream fitted
	late      bool   // it decided to finalize its stream without asking it, after somebody else had
	reverted  bool   // its ledger was rolled back unnoticed, and no probe has fitted since
	unsettled []rows // the batches that were offered and not told to have landed, oldest first
}

// reply is an answer on its way to its node.
type reply struct {
	class    retry.Class
	broken   bool
	probe    bool
	expected int8
	refused  rows // bits of indices
}

func (n *node) code(c *codec) {
	codeBook(c, &n.book)
	num(c, &n.nonce)
	num(c, &n.stopped)
	running := n.m != nil
	truth(c, &running)
	if c.reading && running && n.m == nil {
		n.m = n.machine()
	}
	if running {
		n.m.snapshot(c)
	} else {
		n.m = nil
	}
	own(c, &n.writes, codeWrite)
	pointer(c, &n.call, codeCall)
	num(c, &n.conn)
	own(c, &n.wire, codeRequest)
	own(c, &n.replies, codeReply)
	num(c, &n.timers)
	truth(c, &n.probed)
	truth(c, &n.late)
	truth(c, &n.reverted)
	own(c, &n.unsettled, num[rows])
}

func codeCall(c *codec, a *Action) {
	num(c, &a.Kind)
	num(c, &a.Epoch)
	c.stream(&a.Stream)
	if a.Kind == Examine {
		codeIntent(c, &a.Intent)
		list(c, &a.Refused, codeRefusal)
	}
}

func codeReply(c *codec, r *reply) {
	num(c, &r.class)
	truth(c, &r.broken)
	truth(c, &r.probe)
	num(c, &r.expected)
	num(c, &r.refused)
}

// machine makes a machine as all of them are.
func (n *node) machine() *Machine {
	return New(Options{Mode: ledger.Replayable, LagTries: 1, MaxDead: maxRows})
}

// start opens the ledger and begins an incarnation.
func (n *node) start() {
	n.m = n.machine()
	n.stopped, n.writes, n.call, n.timers = 0, nil, nil, 0
	n.conn, n.wire, n.replies = connDown, nil, nil
	n.probed, n.late, n.unsettled = false, n.book.late, nil
	e := Event{Kind: Start}
	if n.book.part.Epoch > 0 {
		b := n.book.clone()
		e.Partition, e.Intents = &b.part, b.open
		e.Suspicious = b.part.Owner.Nonce != n.nonce
		for i := range b.open {
			if i == 0 || b.open[i].From == 0 { // the parts of a split batch are one batch
				n.unsettled = append(n.unsettled, b.open[i].Digest[0])
			}
		}
	}
	n.step(e)
}

// step feeds the machine an event and carries out what it decides.
func (n *node) step(e Event) {
	decided := n.decided()
	for _, a := range n.m.Step(e) {
		n.perform(&a)
	}
	if n.m == nil {
		return
	}
	for a, due := n.m.Next(); due; a, due = n.m.Next() {
		n.pull(&a)
	}
	if !decided && n.decided() && (e.Kind != Start || n.book.part.Seal == nil) {
		// An answer was given before the stream was finalized, or it says so.
		before := e.Kind == Answered && e.Answer.Class != retry.Finalized
		n.late = !before && n.stream(n.book.part.Stream).finalized
	}
}

// decided says that the machine has made up its mind to finalize its stream.
func (n *node) decided() bool {
	m := n.m
	return m.rotation != nil && (m.rotation.fresh && m.phase == phaseDraining || m.phase > phaseDraining && m.phase < phaseStopped)
}

func (n *node) perform(a *Action) {
	n.expect(n.m != nil, "%s: acts after its stop", n.name)
	switch a.Kind {
	case OpenEpoch, Bind, Acknowledge, Seal, Settle, Halt:
		n.expect(a.Kind != Bind || n.probed, "%s: binds %s before a probe fitted (invariant 2)", n.name, intentText(&a.Intent))
		n.writes = append(n.writes, writeOf(*a))
	case Landed:
		n.landed(a)
	case Wait:
		n.timers = min(n.timers+1, 2)
	case Disconnect:
		n.hangUp()
	case Stop:
		n.stop(a.Cause)
	case Stored, Ready:
	default:
		panic(fmt.Sprint("not an action of the model: ", a.Kind))
	}
}

// landed checks what the caller is told.
func (n *node) landed(a *Action) {
	if len(n.unsettled) == 0 {
		n.expect(false, "%s: a batch is told to have landed that is not open", n.name)
		return
	}
	batch := n.unsettled[0]
	n.unsettled = n.unsettled[1:]
	if lost := batch &^ n.table &^ n.book.dead; lost != 0 {
		n.violate("%s: rows %s are told to have landed, and are neither in the table nor dead letters", n.name, setOf(lost))
	}
	n.expect(batch&^n.book.landed&^n.book.dead == 0, "%s: rows %s are told to have landed before that is in the ledger (invariant 5)", n.name, setOf(batch))
}

func (n *node) stop(c *Cause) {
	n.expect(len(n.writes) == 0, "%s: stops before the ledger has answered", n.name)
	_, marked := marks[c.Verdict]
	n.expect(marked == (n.book.part.Halt != nil), "%s: tells of a stop (%v) with %s", n.name, c.Verdict, &n.book)
	if !n.touched {
		n.violate("%s: stops (%v) though nobody meddled: %s", n.name, c.Verdict, c.Detail)
	}
	n.said("%s: stops: %v, %s", n.name, c.Verdict, c.Detail)
	n.m, n.stopped, n.call, n.timers, n.unsettled = nil, c.Verdict, nil, 0, nil
}

// hangUp gives the connection up: its requests may still arrive.
func (n *node) hangUp() {
	n.keep(n.wire)
	n.conn, n.wire, n.replies = connDown, nil, nil
}

// pull makes a call that Next returned.
func (n *node) pull(a *Action) {
	switch a.Kind {
	case Create, Finalize, Examine:
		n.expect(n.call == nil, "%s: two calls at once", n.name)
		n.call = a
	case Connect:
		n.hangUp() // in place of the one before
		n.conn = connOpening
	case Probe:
		n.expect(n.conn == connUp, "%s: probes without a connection", n.name)
		n.wire = append(n.wire, request{stream: a.Stream})
	case Send:
		r := request{a.Stream, int8(a.Intent.Start), rowsOf(&a.Intent)}
		n.expect(n.conn == connUp, "%s: sends without a connection", n.name)
		n.expect(n.probed, "%s: sends an %s before a probe fitted", n.name, r)
		n.expect(n.book.holds(a), "%s: sends an %s that is not bound there: %s (invariant 1)", n.name, r, &n.book)
		n.expect(a.Intent.Skip == "" && n.book.part.Resolution == nil, "%s: sends an %s while a person's order stands: %s", n.name, r, &n.book)
		n.expectOnlyOne(r)
		n.wire = append(n.wire, r)
	}
}

// expectOnlyOne holds an append against all others that may still arrive: on one stream,
// offsets have one content.
func (s *state) expectOnlyOne(r request) {
	other := func(o request) bool {
		return o.stream == r.stream && o.rows != 0 && o != r && o.start < r.start+count(r.rows) && r.start < o.start+count(o.rows) && s.mayLand(o)
	}
	for _, o := range s.delayed {
		s.expect(!other(o), "an %s is sent while an %s may still arrive (invariant 1)", r, o)
	}
	for i := range s.nodes {
		for _, o := range s.nodes[i].wire {
			s.expect(!other(o), "an %s is sent while an %s is on its way (invariant 1)", r, o)
		}
	}
}

func (n *node) String() string {
	s := n.name + ": "
	if n.m == nil {
		s += "stopped, " + n.stopped.String()
	} else {
		s += n.m.phase.String()
		if n.m.holding != 0 {
			s += ", waits"
		}
	}
	s += "; " + n.book.String()
	for i := range n.writes {
		s += "; asked the ledger: " + n.writes[i].String()
	}
	if n.call != nil {
		s += "; calls " + callNames[n.call.Kind] + n.call.Stream
	}
	for _, r := range n.wire {
		s += fmt.Sprintf("; sent: %s", r)
	}
	for _, r := range n.replies {
		s += fmt.Sprintf("; answer: %v", r.class)
		if r.expected >= 0 {
			s += fmt.Sprintf(", end %d", r.expected)
		}
	}
	return s
}

var callNames = map[ActionKind]string{Create: "create", Finalize: "finalize ", Examine: "examine"}
