package ledger

import (
	"fmt"
	"slices"
)

// Settlement is what is known of a sealed stream after it was finalized.
type Settlement struct {
	Rows int64    // FinalizeWriteStream's count
	Rest []Intent // what is bound anew at offset 0 of the successor, tiling [0, n) without gap
}

// Seal makes durable that the partition's stream will be finalized, and what
// succeeds it (step R2). The ledger fills in s.Owner with its Identity, and s.At
// when it is zero. Sealing again with the same successor changes nothing, not even
// the owner (history 6: only a take-over's own seal carries the new identity);
// with another successor it is refused. A seal with reason Finished has no
// successor and needs that nothing is open: Retire follows it. One with reason Resolved
// needs the partition's Resolution, and keeps it for Settle. For done, see Bind.
func (l *Ledger) Seal(id ID, epoch uint64, s Seal, done func(error)) {
	w := &sealWrite{id: id, epoch: epoch, seal: s, bad: badSeal(&s), done: done}
	w.seal.Rejected = slices.Clone(s.Rejected)
	l.queue.submit(w)
}

type sealWrite struct {
	id    ID
	epoch uint64
	seal  Seal
	bad   string
	done  func(error)
}

func (w *sealWrite) finish(err error) { w.done(err) }

func (w *sealWrite) apply(t *transaction) error {
	p, err := t.find("seal", w.id, w.epoch)
	if err != nil {
		return err
	}
	if w.bad != "" {
		return p.refuse("seal", w.epoch, w.bad)
	}
	if sealed := p.record.Seal; sealed != nil {
		if sealed.Successor == w.seal.Successor {
			return nil
		}
		return p.refuse("seal", w.epoch, "the stream is sealed already, with another successor")
	}
	if w.seal.Reason == Finished && len(p.open) > 0 {
		return p.refuse("seal", w.epoch, fmt.Sprintf("%d intents are open: the partition is not finished", len(p.open)))
	}
	if w.seal.Reason == Finished && p.record.Delivered < p.record.Dead {
		return p.refuse("seal", w.epoch, fmt.Sprintf("%d dead letters wait to be delivered: the partition is not finished", p.record.Dead-p.record.Delivered))
	}
	if _, taken := t.streams[w.seal.Successor]; taken {
		return p.refuse("seal", w.epoch, "the successor is a stream in use")
	}
	if w.seal.Reason != Resolved {
		p.record.Resolution = nil
	} else if p.record.Resolution == nil {
		return p.refuse("seal", w.epoch, "nobody has said what of the stream has landed")
	}
	s := w.seal
	s.Owner = t.identity
	if s.At.IsZero() {
		s.At = t.now
	}
	p.record.Seal = &s
	t.sealed(p)
	t.touch(p)
	return nil
}

// Settle ends a rotation (step R4), in one transaction: the count acknowledges the
// intents below it, what is left is bound anew at offset 0 of the successor, and
// the successor becomes the partition's stream in the next epoch, owned by whoever
// sealed.
//
// It needs a seal. A count inside an intent, below Acked or above Next is refused
// with an *InvariantError: a conflict. s.Rest must carry exactly the batches above
// the count, in order and with offsets from 0, each with the same digest, positions,
// parts and payload. One may be divided into consecutive parts, and rows of it that
// the service refused may leave it: they are in Without, and in Dead of its last part;
// when none is left the intent has no rows and no payload. Of a batch that is to be
// skipped (Intent.Skip) no row is left. After a seal with reason
// Encoding the batches of a replayable partition may be encoded anew: schema, encoder,
// the number of rows and the dead ones may change. The ledger keeps s.Rest's slices.
//
// done gets the partition as the transaction left it; see Bind.
func (l *Ledger) Settle(id ID, epoch uint64, s Settlement, done func(Partition, error)) {
	w := &settleWrite{id: id, epoch: epoch, rows: s.Rows, rest: slices.Clone(s.Rest), done: done}
	for i := range w.rest {
		in := &w.rest[i]
		if w.bad = badIntent(in); w.bad != "" {
			break
		}
		key := makeNumbers(id, in.Number)
		w.records = append(w.records, appendIntent(nil, &key, in))
	}
	l.queue.submit(w)
}

type settleWrite struct {
	id      ID
	epoch   uint64
	rows    int64
	rest    []Intent
	records [][]byte
	bad     string
	done    func(Partition, error)
	result  Partition
}

func (w *settleWrite) finish(err error) {
	if err != nil {
		w.result = Partition{}
	}
	w.done(w.result, err)
}

func (w *settleWrite) apply(t *transaction) error {
	p, err := t.find("settle", w.id, w.epoch)
	if err != nil {
		return err
	}
	landed, bad := w.check(p)
	if bad != "" {
		return p.refuse("settle", w.epoch, bad)
	}
	for i := range w.rest { // before the old references go
		if in := &w.rest[i]; in.Payload.Segment != 0 {
			t.segments.share(in.Payload)
		}
	}
	if err := t.deleteIntents(p, len(p.open)); err != nil {
		return err
	}
	if err := t.bury(p, landed); err != nil {
		return err
	}
	if err := t.retire(p, w.rows, p.record.Seal.Reason); err != nil {
		return err
	}
	p.acknowledge(landed)
	w.succeed(p)
	for i := range w.rest {
		key := makeNumbers(w.id, w.rest[i].Number)
		if err := t.putIntent(&key, w.records[i]); err != nil {
			return err
		}
		t.bind(p, &w.rest[i])
	}
	t.touch(p)
	w.result = clonePartition(&p.record)
	w.result.Updated = t.now
	return nil
}

// succeed makes the successor the partition's stream, with rest bound on it.
func (w *settleWrite) succeed(p *partition) {
	r := &p.record
	r.Epoch++
	r.Stream = r.Seal.Successor
	r.Owner = r.Seal.Owner
	r.Seal, r.Resolution = nil, nil
	r.Acked, r.Next = 0, 0
	p.open = w.rest
	if n := len(w.rest); n > 0 {
		last := &w.rest[n-1]
		r.Next = last.End()
		r.Schema, r.Encoder = last.Schema, last.Encoder
	}
}

// check returns how many open intents have landed, or what is wrong.
func (w *settleWrite) check(p *partition) (landed int, bad string) {
	if p.record.Seal == nil {
		return 0, "the stream is not sealed"
	}
	if p.record.Seal.Reason == Finished {
		return 0, "the partition is finished: Retire ends it"
	}
	if w.bad != "" {
		return 0, w.bad
	}
	if w.rows < p.record.Acked || w.rows > p.record.Next {
		return 0, fmt.Sprintf("the final count %d is outside [%d, %d]", w.rows, p.record.Acked, p.record.Next)
	}
	landed, ok := p.below(w.rows)
	if !ok {
		return 0, fmt.Sprintf("the final count %d is inside an intent", w.rows)
	}
	return landed, w.carries(p.open[landed:], p.record.Mode == Replayable && p.record.Seal.Reason == Encoding)
}

// carries says why rest does not have exactly the batches of left, with offsets from 0.
func (w *settleWrite) carries(left []Intent, anew bool) string {
	rest, next := w.rest, int64(0)
	for i := 1; i < len(rest); i++ {
		if rest[i].Number <= rest[i-1].Number {
			return fmt.Sprintf("intent %d comes after intent %d", rest[i].Number, rest[i-1].Number)
		}
	}
	for len(left) > 0 {
		old := left[:batchLen(left)]
		left = left[len(old):]
		n := batchLen(rest)
		if n == 0 {
			return fmt.Sprintf("the intent at %d is not bound anew", old[0].Start)
		}
		parts := rest[:n]
		rest = rest[n:]
		from := old[0].From
		for i := range parts {
			in := &parts[i]
			if in.Start != next || in.From != from || !sameBatch(in, &parts[0]) {
				return fmt.Sprintf("what is bound anew at %d does not go on at row %d of its batch", in.Start, from)
			}
			next, from = in.End(), from+in.Rows
		}
		if bad := succeeds(&parts[n-1], &old[len(old)-1], anew); bad != "" {
			return fmt.Sprintf("what is bound anew at %d is not what was bound at %d: %s", parts[0].Start, old[0].Start, bad)
		}
	}
	if len(rest) > 0 {
		return "more is bound anew than was left"
	}
	return ""
}

// batchLen counts the intents of the first batch; 0 when its last part is missing.
func batchLen(open []Intent) int {
	for i := range open {
		if open[i].Ends() {
			return i + 1
		}
	}
	return 0
}

// succeeds says why in, the last part of a batch, is not old, the last part of the
// batch as it was bound before, without some of its rows or encoded anew.
func succeeds(in, old *Intent, anew bool) string {
	refused := len(in.Without) - len(old.Without)
	switch {
	case old.Skip != "" && in.Rows > 0 || in.Skip != "":
		return "a batch that is to be skipped has rows"
	case !sameSource(in, old):
		return "another digest, position or part"
	case in.Rows > 0 && in.Payload != old.Payload:
		return "another payload"
	case anew:
		return ""
	case in.Schema != old.Schema:
		return "another schema"
	case in.Whole() != old.Whole() || refused < 0:
		return "another number of rows"
	case len(in.Dead) != len(old.Dead)+refused:
		return "the refused rows are not its new dead letters"
	}
	for _, row := range old.Without {
		if _, still := slices.BinarySearch(in.Without, row); !still {
			return fmt.Sprintf("row %d was refused before", row)
		}
	}
	return ""
}
