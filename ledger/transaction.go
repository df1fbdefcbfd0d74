package ledger

import (
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// transaction is one group's bbolt transaction together with the mirror.
type transaction struct {
	*mirror
	segments *segments
	identity Identity
	now      time.Time

	tx         *bbolt.Tx
	partitionB *bbolt.Bucket
	intentB    *bbolt.Bucket

	key     numbers      // scratch
	arena   []byte       // encoded partition records of the group
	dirty   []*partition // their records are put by flush, once each
	dropped []Payload    // free after the commit
	bound   []Bound      // if somebody wants to know
	watched bool         // somebody does
	changed bool         // there is something to commit
}

func (t *transaction) begin(tx *bbolt.Tx, m *mirror, l *Ledger) {
	*t = transaction{
		mirror: m, segments: l.segments, identity: l.identity, now: time.Now().UTC(),
		tx: tx, partitionB: tx.Bucket(partitionBucket), intentB: tx.Bucket(intentBucket),
		arena: t.arena[:0], dirty: t.dirty[:0], dropped: t.dropped[:0],
		bound: t.bound[:0], watched: l.committed != nil,
	}
}

// find returns the partition with this ID when epoch is its present one and it is
// not halted.
func (t *transaction) find(op string, id ID, epoch uint64) (*partition, error) {
	p, err := t.locate(op, id, epoch)
	if err != nil {
		return nil, err
	}
	if bad := p.halted(); bad != "" {
		return nil, p.refuse(op, epoch, bad)
	}
	return p, nil
}

// locate returns the partition with this ID, halted or not, when epoch is its
// present one.
func (t *transaction) locate(op string, id ID, epoch uint64) (*partition, error) {
	p := t.partitions[id]
	if p == nil {
		return nil, &InvariantError{Op: op, ID: id, Epoch: epoch, Detail: "no partition has this id"}
	}
	if p.record.Epoch != epoch {
		return nil, p.refuse(op, epoch, fmt.Sprintf("the partition is in epoch %d", p.record.Epoch))
	}
	return p, nil
}

func (p *partition) refuse(op string, epoch uint64, detail string) error {
	return &InvariantError{Op: op, Key: p.record.Key, ID: p.record.ID, Epoch: epoch, Detail: detail}
}

// touch has the partition's record put before the transaction ends.
func (t *transaction) touch(p *partition) {
	t.changed = true
	if !p.dirty {
		p.dirty = true
		t.dirty = append(t.dirty, p)
	}
}

// putIntent stores an encoded intent.
func (t *transaction) putIntent(key *numbers, record []byte) error {
	if err := t.intentB.Put(key[:], record); err != nil {
		return fmt.Errorf("put an intent: %w", err)
	}
	return nil
}

// deleteIntents removes the first n open intents of p from the file, in key
// order, and notes their payloads. The mirror is the caller's to change.
func (t *transaction) deleteIntents(p *partition, n int) error {
	for i := range p.open[:n] {
		in := &p.open[i]
		t.key = makeNumbers(p.record.ID, in.Number)
		if err := t.intentB.Delete(t.key[:]); err != nil {
			return fmt.Errorf("delete an intent: %w", err)
		}
		if in.Payload.Segment != 0 {
			t.dropped = append(t.dropped, in.Payload)
		}
	}
	return nil
}

// bind notes that an intent becomes durable with the group.
func (t *transaction) bind(p *partition, in *Intent) {
	if t.watched {
		t.bound = append(t.bound, Bound{Key: p.record.Key, Epoch: p.record.Epoch, Stream: p.record.Stream, Intent: *in})
	}
}

// retire notes a stream that is not used any more.
func (t *transaction) retire(p *partition, rows int64, reason Reason) error {
	r := Retired{Key: p.record.Key, Epoch: p.record.Epoch, Stream: p.record.Stream, Rows: rows, Reason: reason, At: t.now}
	key := makeNumbers(p.record.ID, r.Epoch)
	if err := t.tx.Bucket(retiredBucket).Put(key[:], appendRetired(nil, &key, &r)); err != nil {
		return fmt.Errorf("put a retired stream: %w", err)
	}
	delete(t.streams, r.Stream)
	return nil
}

// putSchema stores a descriptor that isn't there yet.
func (t *transaction) putSchema(f Fingerprint, descriptor []byte) error {
	if _, known := t.schemas[f]; known {
		return nil
	}
	if err := t.tx.Bucket(schemaBucket).Put(f[:], appendSchema(nil, &f, descriptor)); err != nil {
		return fmt.Errorf("put a schema: %w", err)
	}
	t.schemas[f] = struct{}{}
	t.changed = true
	return nil
}

func (t *transaction) putHead() error {
	if err := t.tx.Bucket(headBucket).Put(headKey, appendHead(nil, &t.head)); err != nil {
		return fmt.Errorf("put the ledger's head: %w", err)
	}
	return nil
}

// flush puts the records of the partitions that were touched.
func (t *transaction) flush() error {
	for _, p := range t.dirty {
		p.dirty = false
		if t.partitions[p.record.ID] != p {
			continue // retired in this group
		}
		p.record.Updated = t.now
		from := len(t.arena)
		t.arena = appendPartition(t.arena, p.key, &p.record)
		if err := t.partitionB.Put(p.key, t.arena[from:]); err != nil {
			return fmt.Errorf("put a partition: %w", err)
		}
	}
	return nil
}
