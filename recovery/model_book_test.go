package recovery

import (
	"fmt"
	"slices"

	"github.com/eowriter/eowriter/ledger"
)

// book is one partition in a model of the ledger: what is durable. It takes what the
// ledger takes; what the ledger would refuse is a violation, since the machine must not
// ask for it, unless the model is trusting.
type book struct {
	part ledger.Partition // Epoch 0: unknown
	open []ledger.Intent

	landed, dead rows // by its acknowledgements
	late         bool // the seal was decided on after somebody else had finalized the stream
}

func codeBook(c *codec, b *book) {
	codePartition(c, &b.part)
	own(c, &b.open, codeIntent)
	num(c, &b.landed)
	num(c, &b.dead)
	truth(c, &b.late)
}

// clone copies the ledger's file.
func (b *book) clone() book {
	c := *b
	c.open = slices.Clone(b.open)
	if b.part.Seal != nil {
		seal := *b.part.Seal
		c.part.Seal = &seal
	}
	return c
}

// write is an action that the ledger was asked for, as it was when it was asked.
type write struct {
	kind       ActionKind
	epoch      uint64
	number     uint64
	end        int64
	stream     string // of OpenEpoch
	intent     ledger.Intent
	seal       ledger.Seal
	settlement ledger.Settlement
	halt       ledger.HaltCause
}

func writeOf(a Action) write {
	w := write{kind: a.Kind, epoch: a.Epoch, number: a.Number, end: a.End, intent: a.Intent}
	switch a.Kind {
	case OpenEpoch:
		w.stream = a.Opening.Stream
	case Seal:
		w.seal = *a.Seal
		w.seal.Rejected = slices.Clone(a.Seal.Rejected)
	case Settle:
		w.settlement.Rows, w.settlement.Rest = a.Settlement.Rows, slices.Clone(a.Settlement.Rest)
	case Halt:
		w.halt = a.Halt.Cause
	}
	return w
}

func codeWrite(c *codec, w *write) {
	num(c, &w.kind)
	num(c, &w.epoch)
	switch w.kind {
	case OpenEpoch:
		c.stream(&w.stream)
	case Bind:
		codeIntent(c, &w.intent)
	case Acknowledge:
		num(c, &w.number)
		num(c, &w.end)
	case Seal:
		codeSeal(c, &w.seal)
	case Settle:
		num(c, &w.settlement.Rows)
		list(c, &w.settlement.Rest, codeIntent)
	case Halt:
		num(c, &w.halt)
	}
}

func (w *write) String() string {
	switch w.kind {
	case OpenEpoch:
		return "open an epoch with " + w.stream
	case Bind:
		return "bind " + intentText(&w.intent)
	case Acknowledge:
		return fmt.Sprintf("acknowledge up to %d", w.end)
	case Seal:
		return fmt.Sprintf("seal for %s, reason %v", w.seal.Successor, w.seal.Reason)
	case Settle:
		s := fmt.Sprintf("settle with %d rows", w.settlement.Rows)
		for i := range w.settlement.Rest {
			s += ", " + intentText(&w.settlement.Rest[i])
		}
		return s
	case Halt:
		return "halt: " + w.halt.String()
	}
	return fmt.Sprint("action ", w.kind)
}

func intentText(in *ledger.Intent) string {
	s := fmt.Sprintf("%s at [%d,%d)", setOf(rowsOf(in)), in.Start, in.End())
	if in.Skip != "" {
		s += " to be skipped"
	}
	return s
}

// boundary says whether a stream may end there: at acked or with an open intent.
func (b *book) boundary(end int64) bool {
	return end == b.part.Acked || slices.ContainsFunc(b.open, func(in ledger.Intent) bool { return in.End() == end })
}

// holds says whether the rows of a Send are durably bound where they go.
func (b *book) holds(a *Action) bool {
	return b.part.Stream == a.Stream && b.part.Seal == nil && slices.ContainsFunc(b.open, func(in ledger.Intent) bool {
		return in.Start == a.Intent.Start && rowsOf(&in) == rowsOf(&a.Intent)
	})
}

// reached is the position after the last open intent.
func (b *book) reached() []byte {
	if len(b.open) == 0 {
		return b.part.Position
	}
	return b.open[len(b.open)-1].After
}

// apply makes a write of n's durable and returns what the machine is told.
func (b *book) apply(n *node, w *write) Event {
	s, p := n.state, &b.part
	if w.kind != OpenEpoch {
		s.expect(p.Epoch == w.epoch, "%s: asks for epoch %d in epoch %d: %s", n.name, w.epoch, p.Epoch, w)
	}
	s.expect(p.Halt == nil, "%s: writes to a halted partition: %s", n.name, w)
	word := p.Resolution
	p.Resolution = nil // void, but for what carries it out
	var e Event
	switch w.kind {
	case OpenEpoch:
		s.expect(len(b.open) == 0 && p.Seal == nil && (p.Epoch == 0 || w.epoch == p.Epoch), "%s: opens an epoch over %s", n.name, b)
		*p = ledger.Partition{Epoch: p.Epoch + 1, Stream: w.stream, Owner: ledger.Identity{Nonce: n.nonce}, Position: p.Position, Dead: p.Dead}
		e.Kind = Opened
	case Bind:
		in := w.intent
		s.expect(p.Seal == nil && in.Start == p.Next && reachedBy(in.Before) == reachedBy(b.reached()), "%s: binds %s over %s", n.name, intentText(&in), b)
		b.open = append(b.open, in)
		p.Next = in.End()
		e.Kind = Bound
	case Acknowledge:
		s.expect(p.Seal == nil && slices.ContainsFunc(b.open, func(in ledger.Intent) bool { return in.Number == w.number && in.End() == w.end }),
			"%s: acknowledges up to %d over %s", n.name, w.end, b)
		b.acknowledge(func(in *ledger.Intent) bool { return in.Number <= w.number })
		e.Kind = Acknowledged
	case Seal:
		s.expect(p.Seal == nil, "%s: seals twice", n.name)
		if p.Seal != nil {
			n.late = s.stream(p.Stream).finalized // another successor is another decision
		}
		if w.seal.Reason == ledger.Resolved {
			s.expect(word != nil, "%s: resolves what nobody has resolved", n.name)
			p.Resolution = word
		}
		seal := w.seal
		seal.Owner.Nonce = n.nonce
		p.Seal, b.late = &seal, n.late
		e.Kind = Sealed
	case Settle:
		b.settle(n, &w.settlement)
		e.Kind = Settled
	case Halt:
		p.Halt = &ledger.Halt{Cause: w.halt}
		e.Kind = Halted
	default:
		panic(fmt.Sprint("not a write of the model: ", w.kind))
	}
	part := b.clone().part
	e.Partition, e.Suspicious = &part, part.Owner.Nonce != n.nonce
	return e
}

func (b *book) acknowledge(landed func(*ledger.Intent) bool) {
	for len(b.open) > 0 && landed(&b.open[0]) {
		in := b.open[0]
		b.open = b.open[1:]
		b.part.Acked = in.End()
		b.landed |= rowsOf(&in)
		if in.Ends() {
			b.part.Position = in.After
		}
		for _, d := range in.Dead {
			b.part.Dead++
			b.dead |= 1 << rowIn(d.Content)
		}
	}
}

// settle acknowledges what the count covers and takes the rest over to the successor,
// whose owner is who sealed (history 6).
func (b *book) settle(n *node, settled *ledger.Settlement) {
	s, p := n.state, &b.part
	s.expect(p.Seal != nil && b.boundary(settled.Rows), "%s: settles %d rows over %s", n.name, settled.Rows, b)
	b.acknowledge(func(in *ledger.Intent) bool { return in.End() <= settled.Rows })
	var left, rest []rows // row by row, in order
	for i := range b.open {
		left = append(left, inOrder(&b.open[i])...)
	}
	next, number := int64(0), uint64(0)
	for i := range settled.Rest {
		in := &settled.Rest[i]
		s.expect(in.Skip == "", "%s: binds anew what is to be skipped: %s", n.name, intentText(in))
		s.expect(in.Start == next && (i == 0 || in.Number > number), "%s: binds anew with a gap, or a number again: %s", n.name, intentText(in))
		next, number = in.End(), in.Number
		rest = append(rest, inOrder(in)...)
	}
	slices.Sort(left) // a row that was refused has gone to its batch's end
	slices.Sort(rest)
	s.expect(slices.Equal(left, rest), "%s: what is bound anew is not what was left over %s", n.name, b)
	acked := int64(0)
	if p.Seal.Successor == p.Stream { // only a trusting ledger binds anew in place
		acked, next = settled.Rows, max(next, settled.Rows)
	}
	*p = ledger.Partition{Epoch: p.Epoch + 1, Stream: p.Seal.Successor, Owner: p.Seal.Owner, Acked: acked, Next: next, Position: p.Position, Dead: p.Dead}
	b.open, b.late = slices.Clone(settled.Rest), false
}

func (b *book) String() string {
	p := &b.part
	if p.Epoch == 0 {
		return "the ledger knows nothing"
	}
	s := fmt.Sprintf("ledger: stream %s, acked %d, position %d, open", p.Stream, p.Acked, reachedBy(p.Position))
	if len(b.open) == 0 {
		s += " nothing"
	}
	for i := range b.open {
		s += " " + intentText(&b.open[i])
	}
	if b.dead != 0 {
		s += ", dead letters " + setOf(b.dead)
	}
	if p.Seal != nil {
		s += fmt.Sprintf(", sealed for %s (%v)", p.Seal.Successor, p.Seal.Reason)
	}
	if p.Resolution != nil {
		s += fmt.Sprintf(", resolved: %d rows have landed", p.Resolution.Landed)
	}
	if p.Halt != nil {
		s += ", halted: " + p.Halt.Cause.String()
	}
	return s
}
