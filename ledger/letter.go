package ledger

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"
)

func appendDead(b []byte, d *Dead) []byte {
	b = appendInt(b, d.Row)
	var service byte
	if d.Service {
		service = 1
	}
	b = append(b, service)
	b = appendString(b, d.Reason)
	b = append(b, d.Schema[:]...)
	return appendBytes(b, d.Content)
}

func (d *decoder) dead() Dead {
	return Dead{Row: d.int(), Service: d.bool(), Reason: d.string(), Schema: d.hash(), Content: d.bytes()}
}

func appendLetter(b []byte, key *numbers, l *Letter) []byte {
	from := len(b)
	b = append(b, recordVersion)
	b = appendBytes(b, l.Before)
	b = appendBytes(b, l.After)
	b = appendTime(b, l.At)
	b = appendDead(b, &l.Dead)
	return appendSum(b, from, letterTag, key[:])
}

func parseLetter(key, value []byte) (id ID, l Letter, err error) {
	body, err := recordBody(letterTag, key, value)
	if err != nil {
		return 0, l, err
	}
	id, number, err := parseNumbers(key)
	if err != nil {
		return 0, l, err
	}
	if number > maxOffset {
		return 0, l, fmt.Errorf("%w: a letter's number", ErrCorrupt)
	}
	l.Number = int64(number)
	d := decoder{b: body}
	l.Before = d.bytes()
	l.After = d.bytes()
	l.At = d.time()
	l.Dead = d.dead()
	return id, l, d.end()
}

// bury makes letters of the dead rows of the first n open intents of p: their batches
// are being acknowledged. The mirror's intents are the caller's to change.
func (t *transaction) bury(p *partition, n int) error {
	for i := range p.open[:n] {
		in := &p.open[i]
		for j := range in.Dead {
			p.record.Dead++
			l := Letter{Before: in.Before, After: in.After, At: t.now, Dead: in.Dead[j]}
			key := makeNumbers(p.record.ID, uint64(p.record.Dead))
			if err := t.tx.Bucket(letterBucket).Put(key[:], appendLetter(nil, &key, &l)); err != nil {
				return fmt.Errorf("put a letter: %w", err)
			}
		}
	}
	return nil
}

// Deliver forgets the partition's letters up to a number, all of which its owner has
// put where they belong. Those that were forgotten before stay forgotten; a letter
// that there is not is refused. It counts for a halted partition too. For done, see Bind.
func (l *Ledger) Deliver(id ID, upTo int64, done func(error)) {
	l.queue.submit(&deliverWrite{id: id, upTo: upTo, done: done})
}

type deliverWrite struct {
	id   ID
	upTo int64
	done func(error)
}

func (w *deliverWrite) finish(err error) { w.done(err) }

func (w *deliverWrite) apply(t *transaction) error {
	p := t.partitions[w.id]
	if p == nil {
		return &InvariantError{Op: "deliver", ID: w.id, Detail: "no partition has this id"}
	}
	if w.upTo > p.record.Dead {
		return p.refuse("deliver", p.record.Epoch, fmt.Sprintf("letter %d does not exist: there are %d", w.upTo, p.record.Dead))
	}
	if w.upTo <= p.record.Delivered {
		return nil
	}
	b := t.tx.Bucket(letterBucket)
	for n := p.record.Delivered + 1; n <= w.upTo; n++ {
		t.key = makeNumbers(w.id, uint64(n))
		if err := b.Delete(t.key[:]); err != nil {
			return fmt.Errorf("delete a letter: %w", err)
		}
	}
	p.record.Delivered = w.upTo
	t.touch(p)
	return nil
}

// Letters returns the partition's oldest letters numbered above after, at most so
// many that their contents together reach about limit bytes, and at least one if there
// is one. All is copied.
func (l *Ledger) Letters(id ID, after int64, limit int) (letters []Letter, err error) {
	err = l.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(letterBucket)
		if b == nil {
			return damaged("bucket %s is missing", letterBucket)
		}
		from := makeNumbers(id, uint64(after)+1)
		c := b.Cursor()
		for key, value := c.Seek(from[:]); key != nil && binary.BigEndian.Uint32(key) == uint32(id) && limit > 0; key, value = c.Next() {
			_, letter, err := parseLetter(key, value)
			if err != nil {
				return fmt.Errorf("ledger %s: letter %x: %w", l.path, key, err)
			}
			letters = append(letters, letter)
			limit -= len(letter.Content) + 1
		}
		return nil
	})
	return letters, err
}

// readLetters checks that each partition has exactly its letters that were not delivered.
func (c *contents) readLetters(tx *bbolt.Tx) error {
	found := map[ID]int64{}
	err := each(tx, letterBucket, func(key, value []byte) error {
		id, l, err := parseLetter(key, value)
		if err != nil {
			c.report(Key{}, "letter %x: %v", key, err)
			return nil
		}
		p := c.byID[id]
		if p == nil {
			c.report(Key{}, "letter %d belongs to partition id %d, which can't be found", l.Number, id)
			return nil
		}
		if found[id]++; l.Number != p.record.Delivered+found[id] {
			c.report(p.record.Key, "letter %d is not the next after %d", l.Number, p.record.Delivered+found[id]-1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range c.partitions {
		if want := p.record.Dead - p.record.Delivered; found[p.record.ID] != want {
			c.report(p.record.Key, "%d letters are there, %d were not delivered", found[p.record.ID], want)
		}
	}
	return nil
}
