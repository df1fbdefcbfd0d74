package ledger

import "fmt"

// Skip has a batch skipped, on a person's order: the intent with this number and the others of
// its batch. Nothing else changes, and nothing is decided yet. What of the batch turns out to have
// landed stays landed; of the rest the next Settle makes dead rows (invariant 1: never in place),
// whatever its seal's reason. reason is what their letters say: 1 to MaxSkip bytes. Skipping a batch
// again changes nothing.
//
// It is refused while the stream is sealed: what Settle binds on the successor must follow from the
// seal alone, since a copy of this ledger may have settled, and gone on there, without the order. The
// next run ends that. Only a seal for a new encoder doesn't say what follows, and its run may need the
// order to end. For done, see Bind.
func (l *Ledger) Skip(id ID, epoch uint64, number uint64, reason string, done func(error)) {
	l.queue.submit(&skipWrite{id: id, epoch: epoch, number: number, reason: reason, done: done})
}

type skipWrite struct {
	id     ID
	epoch  uint64
	number uint64
	reason string
	done   func(error)
}

func (w *skipWrite) finish(err error) { w.done(err) }

func (w *skipWrite) apply(t *transaction) error {
	p, err := t.find("skip", w.id, w.epoch)
	if err != nil {
		return err
	}
	if w.reason == "" || len(w.reason) > MaxSkip {
		return p.refuse("skip", w.epoch, fmt.Sprintf("the reason must have 1 to %d bytes", MaxSkip))
	}
	if seal := p.record.Seal; seal != nil && seal.Reason != Encoding {
		return p.refuse("skip", w.epoch, fmt.Sprintf("its stream is being replaced (%s): let a run of the writer end that first", seal.Reason))
	}
	batch := p.batchOf(w.number)
	if len(batch) == 0 || batch[0].Rows == 0 {
		return p.refuse("skip", w.epoch, fmt.Sprintf("no open intent with rows has the number %d", w.number))
	}
	if batch[0].Skip != "" {
		return nil
	}
	for i := range batch {
		in := &batch[i]
		in.Skip = w.reason
		t.key = makeNumbers(w.id, in.Number)
		if err := t.putIntent(&t.key, appendIntent(nil, &t.key, in)); err != nil {
			return err
		}
	}
	t.touch(p)
	return nil
}

// batchOf returns the open intents of the batch that has an intent with this number.
func (p *partition) batchOf(number uint64) []Intent {
	for open := p.open; len(open) > 0; {
		batch := open[:batchLen(open)]
		open = open[len(batch):]
		for i := range batch {
			if batch[i].Number == number {
				return batch
			}
		}
		if len(batch) == 0 {
			return nil // its last part is missing: verify tells
		}
	}
	return nil
}
