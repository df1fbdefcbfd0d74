package ledger

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// contents is a whole ledger in memory, as one transaction left it.
type contents struct {
	head       head
	partitions []*partition // ordered by key
	byID       map[ID]*partition
	schemas    map[Fingerprint]struct{}
	violations []Violation
}

func (c *contents) report(k Key, format string, args ...any) {
	c.violations = append(c.violations, Violation{Key: k, Text: fmt.Sprintf(format, args...)})
}

// readContents reads all records and checks them, one by one and together. Damaged
// records are violations; it returns an error only when the file is not a ledger
// that this program knows.
func readContents(tx *bbolt.Tx) (*contents, error) {
	c := &contents{byID: map[ID]*partition{}, schemas: map[Fingerprint]struct{}{}}
	if err := c.readHead(tx); err != nil {
		return nil, err
	}
	if err := errors.Join(c.readSchemas(tx), c.readPartitions(tx), c.readOpen(tx), c.readRetired(tx), c.readLetters(tx)); err != nil {
		return nil, err
	}
	c.checkPartitions()
	return c, nil
}

func (c *contents) readHead(tx *bbolt.Tx) error {
	value, err := get(tx, headBucket, formatKey)
	if err != nil {
		return err
	}
	version, err := parseFormat(value)
	if err != nil {
		return err
	}
	if version != format {
		return fmt.Errorf("%w: version %d, this program knows %d: use a newer eowriter", ErrNewer, version, format)
	}
	if value, err = get(tx, headBucket, headKey); err != nil {
		return err
	}
	c.head, err = parseHead(value)
	return err
}

func (c *contents) readSchemas(tx *bbolt.Tx) error {
	return each(tx, schemaBucket, func(key, value []byte) error {
		f, _, err := parseSchema(key, value)
		if err != nil {
			c.report(Key{}, "schema %x: %v", key, err)
			return nil
		}
		c.schemas[f] = struct{}{}
		return nil
	})
}

func (c *contents) readPartitions(tx *bbolt.Tx) error {
	return each(tx, partitionBucket, func(key, value []byte) error {
		record, err := parsePartition(key, value)
		if err != nil {
			c.report(Key{}, "partition %q: %v", key, err)
			return nil
		}
		if c.byID[record.ID] != nil {
			c.report(record.Key, "its id %d is another partition's too", record.ID)
			return nil
		}
		if record.ID > c.head.LastID {
			c.report(record.Key, "its id %d was never given", record.ID)
		}
		p := &partition{record: record, key: append([]byte(nil), key...)}
		c.partitions = append(c.partitions, p)
		c.byID[record.ID] = p
		return nil
	})
}

func (c *contents) readOpen(tx *bbolt.Tx) error {
	return each(tx, intentBucket, func(key, value []byte) error {
		id, in, err := parseIntent(key, value)
		if err != nil {
			c.report(Key{}, "intent %x: %v", key, err)
			return nil
		}
		p := c.byID[id]
		if p == nil {
			c.report(Key{}, "the intent at %d belongs to partition id %d, which can't be found", in.Start, id)
			return nil
		}
		p.open = append(p.open, in)
		return nil
	})
}

func (c *contents) readRetired(tx *bbolt.Tx) error {
	return each(tx, retiredBucket, func(key, value []byte) error {
		id, r, err := parseRetired(key, value)
		if err != nil {
			c.report(Key{}, "retired stream %x: %v", key, err)
			return nil
		}
		if p := c.byID[id]; p != nil && r.Epoch >= p.record.Epoch {
			c.report(r.Key, "the stream of epoch %d is retired, but the partition is in epoch %d", r.Epoch, p.record.Epoch)
		}
		return nil
	})
}

// checkPartitions checks what takes more than one record.
func (c *contents) checkPartitions() {
	owned := map[string]Key{}
	own := func(k Key, stream string) {
		if other, taken := owned[stream]; taken {
			c.report(k, "its stream is also that of partition %q of %s", other.Name, other.Table)
		}
		owned[stream] = k
	}
	payloads := map[Payload]ID{}
	for _, p := range c.partitions {
		k := p.record.Key
		for _, text := range p.verify() {
			c.report(k, "%s", text)
		}
		own(k, p.record.Stream)
		if s := p.record.Seal; s != nil && s.Successor != "" {
			own(k, s.Successor)
		}
		if _, known := c.schemas[p.record.Schema]; !known {
			c.report(k, "its schema %x is missing", p.record.Schema)
		}
		for i := range p.open {
			in := &p.open[i]
			if _, known := c.schemas[in.Schema]; !known {
				c.report(k, "schema %x of the intent at %d is missing", in.Schema, in.Start)
			}
			if in.Payload.Segment == 0 {
				continue
			}
			if id, used := payloads[in.Payload]; used && id != p.record.ID {
				c.report(k, "the payload of the intent at %d is another partition's too", in.Start)
			}
			payloads[in.Payload] = p.record.ID
		}
	}
}

// mirror makes the committer's mirror. The contents are not used after it.
func (c *contents) mirror() *mirror {
	m := newMirror()
	m.head, m.schemas = c.head, c.schemas
	for _, p := range c.partitions {
		m.add(p)
	}
	return m
}

// payloads counts the open intents that refer to each payload.
func (c *contents) payloads() map[Payload]reference {
	used := map[Payload]reference{}
	for _, p := range c.partitions {
		for i := range p.open {
			if in := &p.open[i]; in.Payload.Segment != 0 {
				used[in.Payload] = reference{intents: used[in.Payload].intents + 1, rows: in.Whole()}
			}
		}
	}
	return used
}

// Check reads the whole ledger, the frozen rows of open intents included, and
// reports every violation of the invariants: checksums, offsets that are not tiled,
// epochs, seals and halts, positions that don't chain, schemas and rows that are missing.
// The error says only that it could not look.
func (l *Ledger) Check() ([]Violation, error) {
	var c *contents
	err := l.view(func(tx *bbolt.Tx) (err error) {
		c, err = readContents(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, p := range c.partitions {
		for i := range p.open {
			in := &p.open[i]
			if in.Payload.Segment == 0 {
				continue
			}
			if bad := l.checkFrame(in); bad != nil && l.stillOpen(p.record.ID, in) {
				c.report(p.record.Key, "intent at %d: %v", in.Start, bad)
			}
		}
	}
	return c.violations, nil
}

func (l *Ledger) checkFrame(in *Intent) error {
	_, rows, err := l.segments.get(in.Payload)
	if err == nil && rows != in.Whole() {
		err = fmt.Errorf("%w: %d frozen rows for a batch of %d", ErrCorrupt, rows, in.Whole())
	}
	return err
}

// stillOpen says whether an intent is still there: one that was acknowledged while
// Check ran has given its segment away.
func (l *Ledger) stillOpen(id ID, in *Intent) bool {
	open := false
	key := makeNumbers(id, in.Number)
	err := l.view(func(tx *bbolt.Tx) error {
		value, err := get(tx, intentBucket, key[:])
		if err != nil || value == nil {
			return err
		}
		_, now, err := parseIntent(key[:], value)
		open = now.Payload == in.Payload
		return err
	})
	return open || err != nil
}
