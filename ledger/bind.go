package ledger

import "fmt"

// Bind makes durable that the offsets [in.Start, in.End()) of the partition's
// stream belong to exactly in's batch (step B2, invariant 1).
//
// The batch is bound whole: in.From is 0 and in.Of is in.Rows; parts of a batch, and
// batches without some of their rows, come only from Settle. in.Start must be the
// partition's Next, in.Number above that of the newest open intent, in.Schema known to
// the ledger, and in.Before the position reached by the batch before (compared
// when the partition is replayable or in.Before is not nil). A frozen partition's
// intent carries the payload that Freeze returned, and the payload belongs to the
// ledger once the Bind is accepted; if it is refused, the payload stays the
// caller's. A replayable one's must have none, and needs a position After.
//
// The ledger keeps in's slices: they must not be changed any more.
//
// done is called once, from the ledger's notifying goroutine and in the order of
// submission: with nil when the intent is on disk, with an *InvariantError when
// this write was refused, or with an error that wraps ErrFailed or ErrClosed. It
// must not block, and must not call Close. Safe for concurrent use; the order of
// calls for one partition is the order of effect.
func (l *Ledger) Bind(id ID, epoch uint64, in Intent, done func(error)) {
	w := &bindWrite{id: id, epoch: epoch, in: in, done: done}
	if w.bad = badIntent(&in); w.bad == "" {
		w.key = makeNumbers(id, in.Number)
		w.record = appendIntent(nil, &w.key, &w.in)
	}
	l.queue.submit(w)
}

type bindWrite struct {
	id     ID
	epoch  uint64
	in     Intent
	bad    string // what is wrong with the intent by itself
	key    numbers
	record []byte // encoded by the caller's goroutine
	done   func(error)
}

func (w *bindWrite) finish(err error) { w.done(err) }

func (w *bindWrite) apply(t *transaction) error {
	p, err := t.find("bind", w.id, w.epoch)
	if err != nil {
		return err
	}
	if bad := w.check(t, p); bad != "" {
		return p.refuse("bind", w.epoch, bad)
	}
	if err := t.putIntent(&w.key, w.record); err != nil {
		return err
	}
	p.open = append(p.open, w.in)
	p.reached = reach(&w.in, p.reached)
	p.record.Next = w.in.End()
	p.record.Schema, p.record.Encoder = w.in.Schema, w.in.Encoder
	t.bind(p, &w.in)
	p.record.Resolution = nil
	t.touch(p)
	return nil
}

func (w *bindWrite) check(t *transaction, p *partition) string {
	if w.bad != "" {
		return w.bad
	}
	if p.record.Seal != nil {
		return "the stream is sealed"
	}
	if w.in.Start != p.record.Next {
		return fmt.Sprintf("offset %d is not the next, which is %d", w.in.Start, p.record.Next)
	}
	if w.in.From != 0 || w.in.Rows != w.in.Of || len(w.in.Without) > 0 || w.in.Skip != "" {
		return "only whole batches are bound"
	}
	var prev *Intent
	if n := len(p.open); n > 0 {
		prev = &p.open[n-1]
	}
	if bad := follows(prev, &w.in, p.reached, p.record.Mode); bad != "" {
		return bad
	}
	if _, known := t.schemas[w.in.Schema]; !known {
		return "the ledger does not know the schema; PutSchema comes first"
	}
	if w.in.Payload.Segment != 0 && !t.segments.bind(w.in.Payload, w.in.Of) {
		return "the payload does not hold the batch's rows, is bound already, or was released"
	}
	return ""
}

// Acknowledge removes the oldest open intents up to the one with this number, which
// must end at end, and moves Acked, the position and the last append in the same
// transaction (step B6, invariant 4). Their dead rows become letters in it, and their
// payloads are free after it. For done, see Bind.
func (l *Ledger) Acknowledge(id ID, epoch uint64, number uint64, end int64, done func(error)) {
	l.queue.submit(&acknowledgeWrite{id: id, epoch: epoch, number: number, end: end, done: done})
}

type acknowledgeWrite struct {
	id     ID
	epoch  uint64
	number uint64
	end    int64
	done   func(error)
}

func (w *acknowledgeWrite) finish(err error) { w.done(err) }

func (w *acknowledgeWrite) apply(t *transaction) error {
	p, err := t.find("acknowledge", w.id, w.epoch)
	if err != nil {
		return err
	}
	if p.record.Seal != nil {
		return p.refuse("acknowledge", w.epoch, "the stream is sealed: its final count decides")
	}
	n := 0
	for n < len(p.open) && p.open[n].Number <= w.number {
		n++
	}
	if n == 0 || p.open[n-1].Number != w.number || p.open[n-1].End() != w.end {
		return p.refuse("acknowledge", w.epoch, fmt.Sprintf(
			"no open intent in [%d, %d) has the number %d and ends at %d", p.record.Acked, p.record.Next, w.number, w.end))
	}
	if err := t.deleteIntents(p, n); err != nil {
		return err
	}
	if err := t.bury(p, n); err != nil {
		return err
	}
	p.acknowledge(n)
	p.record.Resolution = nil
	t.touch(p)
	return nil
}

// below counts the open intents that end at or below end; ok says that end is
// Acked or the end of one.
func (p *partition) below(end int64) (n int, ok bool) {
	at := p.record.Acked
	for n < len(p.open) && p.open[n].End() <= end {
		at = p.open[n].End()
		n++
	}
	return n, at == end
}
