package ledger

import (
	"fmt"
	"strings"
	"time"

	"go.etcd.io/bbolt"
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
	p.record.Halt, p.record.Resolution = &h, nil
	t.touch(p)
	return nil
}

// Resolution is a person's word on a stream that is gone: what of it has landed.
//
// It is about the window as it stood, and about a stream that nobody can ask any more. So it is
// void with the first write that shows otherwise: Bind, Acknowledge, Halt, OpenEpoch, or Seal with
// another reason than Resolved; the Settle that carries it out ends it. It is void, too, once the ledger is
// opened elsewhere or was restored: each copy of it would go on from there.
type Resolution struct {
	Landed int64     // the rows below this offset have landed, no others: Acked, or the end of an open intent
	At     time.Time // filled in by the ledger when it is zero
}

// Resolve takes a halt back: a person has looked. Without a word, nothing else changes: the next
// start asks the stream for its end, and what that covers counts as landed. A word is only for
// a partition that is halted in doubt; the next start then replaces the stream, and the word counts
// if the service still can't say (see Resolution). A word that was given before is replaced, or
// taken back by nil. Any other partition that isn't halted stays as it is. For done, see Bind.
func (l *Ledger) Resolve(id ID, epoch uint64, word *Resolution, done func(error)) {
	w := &resolveWrite{id: id, epoch: epoch, done: done}
	if word != nil {
		copied := *word
		w.word = &copied
	}
	l.queue.submit(w)
}

type resolveWrite struct {
	id    ID
	epoch uint64
	word  *Resolution
	done  func(error)
}

func (w *resolveWrite) finish(err error) { w.done(err) }

func (w *resolveWrite) apply(t *transaction) error {
	p, err := t.locate("resolve", w.id, w.epoch)
	if err != nil {
		return err
	}
	r := &p.record
	if w.word != nil {
		if bad := p.badWord(w.word); bad != "" {
			return p.refuse("resolve", w.epoch, bad)
		}
		if w.word.At.IsZero() {
			w.word.At = t.now
		}
	}
	if r.Halt == nil && r.Resolution == nil {
		return nil
	}
	r.Halt, r.Resolution = nil, w.word
	t.touch(p)
	return nil
}

// badWord says why a person's word can't be taken, or nothing.
func (p *partition) badWord(word *Resolution) string {
	switch h := p.record.Halt; {
	case h == nil && p.record.Resolution == nil:
		return "the partition is not halted"
	case h != nil && h.Cause != InDoubt:
		return fmt.Sprintf("the partition was halted (%s), not in doubt: its stream can still be asked", h.Cause)
	}
	return p.badLanded(word)
}

// badLanded says why a word's offset is none at which the stream can have ended, or nothing.
func (p *partition) badLanded(word *Resolution) string {
	if _, ok := p.below(word.Landed); !ok || word.Landed < p.record.Acked {
		return fmt.Sprintf("offset %d is neither %d, up to which rows are acknowledged, nor the end of an open batch", word.Landed, p.record.Acked)
	}
	return ""
}

// halted says why a partition takes no write, or nothing.
func (p *partition) halted() string {
	if h := p.record.Halt; h != nil {
		return fmt.Sprintf("the partition was halted (%s at offset %d): Resolve comes first", h.Cause, h.Offset)
	}
	return ""
}

// void takes back what a person said of the partitions of a ledger that is not where it was.
func (c *contents) void(tx *bbolt.Tx) error {
	for _, p := range c.partitions {
		if p.record.Resolution == nil {
			continue
		}
		p.record.Resolution = nil
		if err := tx.Bucket(partitionBucket).Put(p.key, appendPartition(nil, p.key, &p.record)); err != nil {
			return fmt.Errorf("put a partition: %w", err)
		}
	}
	return nil
}
