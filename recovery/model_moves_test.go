package recovery

import (
	"fmt"

	"github.com/eowriter/eowriter/ledger"
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
	skipped   // the process dies, a person has the batch of open intent arg skipped, and it starts again
	resolved  // the stream is gone: a person looks what is in the table, and the process starts again
	moveKinds
)

var moveNames = [moveKinds]string{"durable", "called", "timer", "connected", "served", "delivered", "offered", "lagged", "refused", "lied",
	"call-fails", "call-lost", "broke", "crashed", "arrived", "aged", "finalized", "expired", "restored", "reverted", "copied", "skipped", "resolved"}

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
	if n.backup != nil && n.left.reverts != 0 && n.mayRevert() {
		add(reverted, 0)
	}
	if n.book.part.Epoch == 0 {
		return
	}
	n.ordered(add)
	st := n.stream(n.book.part.Stream)
	if n.left.finalize != 0 && !st.finalized && !st.gone {
		add(finalized, 0)
	}
	if n.left.expiries != 0 && !st.gone && n.mayExpire(st) {
		add(expired, 0)
	}
}

// ordered adds what a person may order.
func (n *node) ordered(add func(moveKind, uint8)) {
	halt := n.book.part.Halt
	if n.left.skips != 0 && halt == nil && n.book.part.Seal == nil && !n.crowded(n.wire) { // the ledger refuses it for a sealed stream
		for i := range n.book.open {
			if in := &n.book.open[i]; in.Skip == "" && in.Rows > 0 {
				add(skipped, uint8(i))
			}
		}
	}
	if n.left.words != 0 && halt != nil && halt.Cause == ledger.InDoubt && n.m == nil && !n.push {
		if _, known := n.inTable(); known {
			add(resolved, 0)
		}
	}
}

// exclusion is something that the design does not exclude, so that the model keeps it apart,
// as narrowly as it can; README.md and ARCHITECTURE.md tell users. TestModelExclusions shows
// that each is needed.
type exclusion uint8

const (
	overlapping    exclusion = 1 << iota // take-overs of one stream that overlap, as Finalize is no compare-and-set
	rolledPast                           // a ledger rolled back unnoticed to a time before its stream expired
	expiredUnseen                        // a stream that one owner has taken over, and that expires before another owner has learnt of it
	rolledOnTheWay                       // a ledger rolled back unnoticed while an old append is on its way
	toldOnTheWay                         // a person's word on what of a restored ledger has landed, while an old append is on its way
	rolledFast                           // a ledger rolled back unnoticed while the service's view lags behind what was written since
)

func (b *bounds) apart(e exclusion) bool { return b.admitted&e == 0 }

// overlaps says that n may not finalize its stream: another owner has done it, for another
// successor, after n had decided. (An owner that decides afterwards, without asking, may:
// that would be a bug.)
func (n *node) overlaps() bool {
	if n.call == nil || n.call.Kind != Finalize {
		return false
	}
	st, seal := n.stream(n.call.Stream), n.book.part.Seal
	return n.apart(overlapping) && st.won != "" && seal != nil && st.won != seal.Successor && !n.late
}

// mayRevert says that a ledger may be rolled back to the backup.
func (s *state) mayRevert() bool {
	part := &s.backup.part
	gone := s.stream(part.Stream).gone || part.Seal != nil && s.stream(part.Seal.Successor).gone
	return !gone || !s.apart(rolledPast)
}

// mayExpire says that no owner would be misled.
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
		unseen := st.won != "" && !(present && seal != nil && seal.Successor == st.won)
		if n.reverted && s.apart(rolledPast) || unseen && s.apart(expiredUnseen) {
			return false
		}
	}
	return true
}
