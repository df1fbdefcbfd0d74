package ledger

import (
	"bytes"
	"fmt"
	"math"
)

// Opening names the stream of a partition's first epoch, or of the epoch after an
// expired stream.
type Opening struct {
	Key        Key
	Mode       Mode
	Stream     string
	Schema     Fingerprint // of Descriptor
	Descriptor []byte      // serialized; may be nil when the ledger has the schema
	Encoder    uint32

	// Epoch is 0 or 1 for the first opening, when the partition must not exist.
	// Otherwise it is the present epoch plus one: the stream has expired at the
	// service, nothing is open, nothing is sealed and nothing is halted.
	Epoch uint64
}

// OpenEpoch makes a new stream's name durable (step O2). The ledger's Identity
// becomes the partition's owner. After an expired stream the old one goes to the
// retired ones with Rows -1 and reason Expired; the position stays. done gets the
// partition as the transaction left it; see Bind.
func (l *Ledger) OpenEpoch(o Opening, done func(Partition, error)) {
	o.Descriptor = bytes.Clone(o.Descriptor)
	if o.Epoch == 0 {
		o.Epoch = 1
	}
	l.queue.submit(&openWrite{Opening: o, bad: o.check(), done: done})
}

func (o *Opening) check() string {
	if bad := badKey(o.Key); bad != "" {
		return bad
	}
	if bad := badStream(o.Stream); bad != "" {
		return bad
	}
	if o.Mode != Frozen && o.Mode != Replayable {
		return fmt.Sprintf("mode %d is neither frozen nor replayable", o.Mode)
	}
	if len(o.Descriptor) > maxDescriptor {
		return fmt.Sprintf("the descriptor is longer than %d bytes", maxDescriptor)
	}
	if o.Descriptor != nil && FingerprintOf(o.Descriptor) != o.Schema {
		return "the descriptor has another fingerprint"
	}
	return ""
}

type openWrite struct {
	Opening
	bad    string
	done   func(Partition, error)
	result Partition
}

func (w *openWrite) finish(err error) {
	if err != nil {
		w.result = Partition{}
	}
	w.done(w.result, err)
}

func (w *openWrite) apply(t *transaction) error {
	p := t.partitions[t.ids[w.Key]]
	if bad := w.checkIn(t, p); bad != "" {
		refused := &InvariantError{Op: "open epoch", Key: w.Key, Epoch: w.Epoch, Detail: bad}
		if p != nil {
			refused.ID = p.record.ID
		}
		return refused
	}
	if w.Descriptor != nil {
		if err := t.putSchema(w.Schema, w.Descriptor); err != nil {
			return err
		}
	}
	if p == nil {
		t.head.LastID++
		if err := t.putHead(); err != nil {
			return err
		}
		p = &partition{record: Partition{ID: t.head.LastID, Key: w.Key, Mode: w.Mode, Created: t.now}, key: partitionKey(w.Key)}
	} else if err := t.retire(p, -1, Expired); err != nil {
		return err
	}
	r := &p.record
	r.Owner, r.Epoch, r.Stream = t.identity, w.Epoch, w.Stream
	r.Acked, r.Next = 0, 0
	r.Resolution = nil
	r.Schema, r.Encoder = w.Schema, w.Encoder
	t.add(p)
	t.touch(p)
	w.result = clonePartition(r)
	w.result.Updated = t.now
	return nil
}

// checkIn says what is wrong with the opening, given p, the partition there is.
func (w *openWrite) checkIn(t *transaction, p *partition) string {
	if w.bad != "" {
		return w.bad
	}
	if _, known := t.schemas[w.Schema]; !known && w.Descriptor == nil {
		return "the ledger does not know the schema"
	}
	if _, taken := t.streams[w.Stream]; taken {
		return "the stream is in use"
	}
	if p == nil {
		switch {
		case w.Epoch != 1:
			return "the partition does not exist, so its epoch must be the first"
		case t.head.LastID == math.MaxUint32:
			return "the ledger has given all its partition ids"
		}
		return ""
	}
	if bad := p.halted(); bad != "" {
		return bad
	}
	switch {
	case w.Epoch != p.record.Epoch+1:
		return fmt.Sprintf("the partition exists and is in epoch %d", p.record.Epoch)
	case w.Mode != p.record.Mode:
		return "a partition keeps its mode"
	case p.record.Seal != nil:
		return "the stream is sealed: Settle ends that rotation"
	case len(p.open) > 0:
		return "intents are open: what became of them is in doubt"
	}
	return ""
}

// Retire forgets a partition that is finished for good. It must be sealed as
// Finished, so that a crash after its stream was finalized isn't taken for a
// foreign hand, and rows, the final count of the stream, must be Acked (or -1 when
// the service had dropped the stream). A record with reason Finished stays
// among the retired streams; the key may be opened again as a new partition. For
// done, see Bind.
func (l *Ledger) Retire(id ID, epoch uint64, rows int64, done func(error)) {
	l.queue.submit(&retireWrite{id: id, epoch: epoch, rows: rows, done: done})
}

type retireWrite struct {
	id    ID
	epoch uint64
	rows  int64
	done  func(error)
}

func (w *retireWrite) finish(err error) { w.done(err) }

func (w *retireWrite) apply(t *transaction) error {
	p, err := t.find("retire", w.id, w.epoch)
	if err != nil {
		return err
	}
	switch {
	case p.record.Seal == nil || p.record.Seal.Reason != Finished:
		return p.refuse("retire", w.epoch, "the partition is not sealed as finished")
	case w.rows != p.record.Acked && w.rows != -1:
		return p.refuse("retire", w.epoch, fmt.Sprintf("the final count is %d, but %d rows were acknowledged", w.rows, p.record.Acked))
	}
	if err := t.retire(p, w.rows, Finished); err != nil {
		return err
	}
	if err := t.partitionB.Delete(p.key); err != nil {
		return fmt.Errorf("delete a partition: %w", err)
	}
	delete(t.partitions, p.record.ID)
	delete(t.ids, p.record.Key)
	t.changed = true
	return nil
}

// PutSchema stores a serialized descriptor, so that intents can name it by its
// fingerprint. Storing one again changes nothing. done gets the fingerprint; see
// Bind.
func (l *Ledger) PutSchema(descriptor []byte, done func(Fingerprint, error)) {
	w := &schemaWrite{descriptor: bytes.Clone(descriptor), done: done}
	w.fingerprint = FingerprintOf(w.descriptor)
	l.queue.submit(w)
}

type schemaWrite struct {
	descriptor  []byte
	fingerprint Fingerprint
	done        func(Fingerprint, error)
}

func (w *schemaWrite) finish(err error) { w.done(w.fingerprint, err) }

func (w *schemaWrite) apply(t *transaction) error {
	if n := len(w.descriptor); n > maxDescriptor {
		return &InvariantError{Op: "put schema", Detail: fmt.Sprintf("the descriptor is longer than %d bytes", maxDescriptor)}
	}
	return t.putSchema(w.fingerprint, w.descriptor)
}
