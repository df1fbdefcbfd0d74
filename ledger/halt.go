package ledger

import (
	"fmt"
	"strings"
	"time"
)

// Halt is the durable word that a partition has stopped with a cause that another
// start would not see: it reads open intents as "may have been sent" and takes
// foreign rows, as many as ours, for ours. Nothing else is written for a halted
// partition until Resolve.
type Halt struct {
	Cause  HaltCause
	Offset int64     // where in the stream it was noticed; not negative
	Detail string    // for people: what was seen; at most 4 KiB are kept
	At     time.Time // filled in by the ledger when it is zero
}

// HaltCause says why a partition was halted.
type HaltCause uint8

const (
	Conflict HaltCause = 1 // somebody else wrote to the stream, or the service lost rows
	Fenced   HaltCause = 2 // another owner took the partition over
	InDoubt  HaltCause = 3 // the stream is gone with open intents
)

var haltCauses = [...]string{"", "conflict", "fenced", "in doubt"}

// String returns the cause in words.
func (c HaltCause) String() string {
	if c != 0 && int(c) < len(haltCauses) {
		return haltCauses[c]
	}
	return fmt.Sprintf("cause %d", uint8(c))
}

// Halt makes durable that the partition has stopped, and why. From then on Bind,
// Acknowledge, Seal, Settle, Retire and OpenEpoch refuse it, with everything kept,
// until a person has looked and Resolve was called. Halting a halted partition
// changes nothing: the first cause stays. What was submitted before still counts.
// For done, see Bind.
func (l *Ledger) Halt(id ID, epoch uint64, h Halt, done func(error)) {
	if len(h.Detail) > maxDetail {
		h.Detail = strings.ToValidUTF8(h.Detail[:maxDetail], "") // not half a character at the end
	}
	l.queue.submit(&haltWrite{id: id, epoch: epoch, halt: h, done: done})
}

type haltWrite struct {
	id    ID
	epoch uint64
	halt  Halt
	done  func(error)
}

func (w *haltWrite) finish(err error) { w.done(err) }

func (w *haltWrite) apply(t *transaction) error {
	p, err := t.locate("halt", w.id, w.epoch)
	if err != nil {
		return err
	}
	if bad := badHalt(&w.halt); bad != "" {
		return p.refuse("halt", w.epoch, bad)
	}
	if p.record.Halt != nil {
		return nil
	}
	h := w.halt
	if h.At.IsZero() {
		h.At = t.now
	}
	p.record.Halt = &h
	t.touch(p)
	return nil
}

// Resolve takes a halt back: a person has looked. Nothing else changes, so the next
// start asks the stream for its end, and what that covers counts as landed. A
// partition that isn't halted stays as it is. For done, see Bind.
func (l *Ledger) Resolve(id ID, epoch uint64, done func(error)) {
	l.queue.submit(&resolveWrite{id: id, epoch: epoch, done: done})
}

type resolveWrite struct {
	id    ID
	epoch uint64
	done  func(error)
}

func (w *resolveWrite) finish(err error) { w.done(err) }

func (w *resolveWrite) apply(t *transaction) error {
	p, err := t.locate("resolve", w.id, w.epoch)
	if err != nil || p.record.Halt == nil {
		return err
	}
	p.record.Halt = nil
	t.touch(p)
	return nil
}

// halted says why a partition takes no write, or nothing.
func (p *partition) halted() string {
	if h := p.record.Halt; h != nil {
		return fmt.Sprintf("the partition was halted (%s at offset %d): Resolve comes first", h.Cause, h.Offset)
	}
	return ""
}
