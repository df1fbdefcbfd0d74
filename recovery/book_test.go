package recovery_test

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
)

// book is one partition in a model of the ledger: what is durable. It refuses what
// the ledger refuses, by failing the test: the machine must not ask for it.
type book struct {
	part ledger.Partition // Epoch 0: unknown
	open []ledger.Intent

	letters []int // rows that are dead
}

func (b book) String() string {
	s := fmt.Sprintf("epoch %d on %q, acked %d, position %d, open", b.part.Epoch, b.part.Stream, b.part.Acked, position(b.part.Position))
	for _, in := range b.open {
		s += fmt.Sprintf(" [%d,%d)=%v", in.Start, in.End(), rowsOf(in))
		if in.Skip != "" {
			s += " to be skipped"
		}
	}
	if b.part.Seal != nil {
		s += ", sealed for " + b.part.Seal.Successor
	}
	if b.part.Halt != nil {
		s += ", halted: " + b.part.Halt.Cause.String()
	}
	if b.part.Resolution != nil {
		s += fmt.Sprint(", resolved: ", b.part.Resolution.Landed)
	}
	return s
}

// clone copies the ledger's file.
func (b book) clone() book {
	b.open, b.letters = slices.Clone(b.open), slices.Clip(b.letters)
	if b.part.Seal != nil {
		seal := *b.part.Seal
		b.part.Seal = &seal
	}
	return b
}

// boundary says whether a stream may end there: at acked or with an open intent.
func (b *book) boundary(end int64) bool {
	return end == b.part.Acked || slices.ContainsFunc(b.open, func(in ledger.Intent) bool { return in.End() == end })
}

// holds says whether the rows of a Send are durably bound where they go.
func (b *book) holds(a recovery.Action) bool {
	return b.part.Stream == a.Stream && b.part.Seal == nil && slices.ContainsFunc(b.open, func(in ledger.Intent) bool {
		return in.Start == a.Intent.Start && slices.Equal(rowsOf(in), rowsOf(a.Intent))
	})
}

// reached is the position after the last open intent.
func (b *book) reached() []byte {
	if len(b.open) == 0 {
		return b.part.Position
	}
	return b.open[len(b.open)-1].After
}

// apply makes a write durable and returns what the machine is told.
func (b *book) apply(n *node, a recovery.Action) recovery.Event {
	w := n.w
	p := &b.part
	if a.Kind != recovery.OpenEpoch {
		w.require(p.Epoch == a.Epoch, "%s: action %d for epoch %d in epoch %d", n.name, a.Kind, a.Epoch, p.Epoch)
	}
	w.require(p.Halt == nil, "%s: action %d for a halted partition", n.name, a.Kind)
	word := p.Resolution
	p.Resolution = nil // void, but for what carries it out
	var e recovery.Event
	switch a.Kind {
	case recovery.OpenEpoch:
		w.require(a.Opening.Epoch == p.Epoch+1 && len(b.open) == 0 && p.Seal == nil, "%s: opens epoch %d over %s", n.name, a.Opening.Epoch, b)
		*p = ledger.Partition{ID: 1, Key: key, Epoch: a.Opening.Epoch, Stream: a.Opening.Stream, Owner: n.identity, Position: p.Position, Dead: p.Dead}
		e.Kind = recovery.Opened
	case recovery.Bind:
		w.require(p.Seal == nil && a.Intent.Start == p.Next && position(a.Intent.Before) == position(b.reached()),
			"%s: binds rows %v at %d over %s", n.name, rowsOf(a.Intent), a.Intent.Start, b)
		b.open = append(b.open, a.Intent)
		p.Next = a.Intent.End()
		e.Kind = recovery.Bound
	case recovery.Acknowledge:
		w.require(p.Seal == nil && b.numbered(a.Number, a.End), "%s: acknowledges up to %d over %s", n.name, a.End, b)
		b.acknowledge(func(in ledger.Intent) bool { return in.Number <= a.Number })
		e.Kind = recovery.Acknowledged
	case recovery.Seal:
		w.require(p.Seal == nil, "%s: seals twice", n.name)
		if a.Seal.Reason == ledger.Resolved {
			w.require(word != nil, "%s: resolves what nobody has resolved", n.name)
			p.Resolution = word
		}
		seal := *a.Seal
		seal.Owner = n.identity
		p.Seal = &seal
		if w.claims[p.Stream] == "" {
			w.claims[p.Stream] = seal.Successor
		}
		e.Kind = recovery.Sealed
	case recovery.Settle:
		b.settle(n, a.Settlement)
		e.Kind = recovery.Settled
	case recovery.Halt:
		p.Halt = a.Halt
		e.Kind = recovery.Halted
	default:
		w.require(false, "%s: action %d is no write of this world", n.name, a.Kind)
	}
	w.note("%s: ledger: %s", n.name, b)
	part := b.clone().part
	e.Partition, e.Suspicious = &part, part.Owner != n.identity
	return e
}

func (b *book) acknowledge(landed func(ledger.Intent) bool) {
	for len(b.open) > 0 && landed(b.open[0]) {
		in := b.open[0]
		b.open = b.open[1:]
		b.part.Acked = in.End()
		if in.Ends() {
			b.part.Position = in.After
		}
		for _, d := range in.Dead {
			b.part.Dead++
			b.letters = append(b.letters, position(d.Content))
		}
	}
}

// numbered says whether an open intent has this number and end.
func (b *book) numbered(number uint64, end int64) bool {
	return slices.ContainsFunc(b.open, func(in ledger.Intent) bool { return in.Number == number && in.End() == end })
}

// settle acknowledges what the count covers and takes the rest over to the
// successor, whose owner is who sealed (history 6).
func (b *book) settle(n *node, s *ledger.Settlement) {
	p := &b.part
	n.w.require(p.Seal != nil && b.boundary(s.Rows), "%s: settles %d rows over %s", n.name, s.Rows, b)
	b.acknowledge(func(in ledger.Intent) bool { return in.End() <= s.Rows })
	var left, rest, skipped []int
	number := uint64(0)
	for _, in := range b.open {
		if in.Skip != "" {
			skipped = append(skipped, rowsOf(in)...)
		}
		left = append(left, rowsOf(in)...)
		if in.Ends() {
			left = append(left, deadOf(in)...)
		}
	}
	next := int64(0)
	for _, in := range s.Rest {
		n.w.require(in.Start == next, "%s: rebinds with a gap", n.name)
		n.w.require(number == 0 || in.Number > number, "%s: numbers %d again", n.name, in.Number)
		n.w.require(in.Skip == "", "%s: binds anew what is to be skipped", n.name)
		rest = append(rest, rowsOf(in)...)
		for _, row := range rowsOf(in) {
			n.w.require(!slices.Contains(skipped, row), "%s: row %d is to be skipped and bound anew", n.name, row)
		}
		if in.Ends() {
			rest = append(rest, deadOf(in)...)
		} else {
			n.w.require(in.Dead == nil, "%s: dead rows before the last part", n.name)
		}
		next, number = in.End(), in.Number
	}
	slices.Sort(left)
	slices.Sort(rest)
	n.w.require(slices.Equal(left, rest), "%s: rows %v are bound anew as %v", n.name, left, rest)
	*p = ledger.Partition{ID: 1, Key: key, Epoch: p.Epoch + 1, Stream: p.Seal.Successor, Owner: p.Seal.Owner, Next: next, Position: bytes.Clone(p.Position), Dead: p.Dead}
	b.open = slices.Clone(s.Rest)
}

func deadOf(in ledger.Intent) (rows []int) {
	for _, d := range in.Dead {
		rows = append(rows, position(d.Content))
	}
	return rows
}
