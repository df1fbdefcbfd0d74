package committed

import (
	"bytes"
	"context"
	"fmt"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
)

// Batch is what is appended together: all of it lands, or none.
type Batch struct {
	// After is the source position that the rows come after, and Position the one
	// reached with them: opaque tokens of the source, compared byte by byte. After must be
	// the partition's Position. Both nil: a frozen partition without positions.
	After, Position []byte

	Rows [][]byte // serialized messages of the writer schema Schema

	// Schema is the writer schema that Rows were encoded with. nil: the one in
	// PartitionConfig, also when the table has changed since: who follows Partition.Schema
	// names it here. The batch is sent and replayed under it. Another schema than the last
	// batch's waits until what is in flight is answered, and takes a new connection.
	Schema *Schema

	// Digest identifies the content in the source's own bytes, so that a newer
	// encoder doesn't break a replay. Zero: it is taken over Rows.
	Digest ledger.Digest

	// Dead are input rows of the batch that the encoder refused, in order: they become
	// dead letters, durably, in the moment in which the batch lands. A batch may have
	// nothing else.
	Dead []ledger.Dead

	// Parts are the producer appends that the batch carries, if several: at most 10,000. The ledger keeps those
	// of the last batch that has landed and writes them with every commit of the partition, so they should
	// take a few KiB.
	Parts []ledger.Part

	// Follower, if there is one, is told of the batch's own steps.
	Follower Follower
}

// Follower is told of the steps of one batch. It is called as Events are.
type Follower interface {
	// Step is called when B1, B2, B5 and B6 are done, and when B3 and B7 begin: answer and caller
	// don't wait for their ends. B3 and B5 come as often as the batch is sent and answered; of the
	// end of a connection only the append hears that it is judged by.
	Step(s Step)
}

// Append accepts a batch (B1). It waits for room in the window, which is all that
// ctx bounds. If it returns an error, nothing was bound: ErrEmpty, ErrTooLarge,
// ErrTooManyDead, ErrOutOfOrder, ErrClosed, why the partition stopped, or ctx's error. If not, the
// batch lands unless the partition stops. The rows are copied; the positions must not
// be changed any more.
func (p *Partition) Append(ctx context.Context, b Batch) (*Result, error) {
	schema, err := p.schemaOf(b)
	if err != nil {
		return nil, fmt.Errorf("append to partition %q of %s: %w", p.key.Name, p.key.Table, err)
	}
	size, err := p.check(b, schema)
	if err != nil {
		return nil, fmt.Errorf("append to partition %q of %s: %w", p.key.Name, p.key.Table, err)
	}
	p.began(B1)
	in := ledger.Intent{
		Rows: int64(len(b.Rows)), Of: int64(len(b.Rows)), Bytes: size, Digest: b.Digest,
		Before: b.After, After: b.Position, Parts: b.Parts, Dead: b.Dead,
		Schema: schema.fingerprint, Encoder: p.cfg.Encoder,
	}
	room := size + deadSize(b.Dead)
	if err := p.reserve(ctx, room); err != nil {
		return nil, err
	}
	rows := newBlock(b.Rows, size)
	if in.Digest == (ledger.Digest{}) {
		in.Digest = digestOf(rows)
	}
	if p.cfg.Replay == nil && in.Rows > 0 {
		if in.Payload, err = p.w.led.Freeze(rows.ReadOnlyData(), in.Of); err != nil {
			rows.Free()
			p.giveBack(room)
			return nil, fmt.Errorf("store a batch of partition %q of %s: %w", p.key.Name, p.key.Table, err)
		}
	}
	r, err := p.offer(in, b.Follower, rows, room)
	if err != nil {
		rows.Free()
		p.giveBack(room)
		p.w.led.Release(in.Payload)
		return nil, err
	}
	return r, nil
}

// check refuses what can never be appended, and returns the size of the rows.
func (p *Partition) check(b Batch, s *Schema) (int64, error) {
	if len(b.Rows) == 0 && len(b.Dead) == 0 {
		return 0, ErrEmpty
	}
	if err := checkDead(b.Dead); err != nil {
		return 0, err
	}
	size, limit := blockSize(b.Rows), p.limit-int64(len(s.serialized))
	if size > limit {
		return 0, fmt.Errorf("%w: %d bytes of rows, at most %d: make smaller batches", ErrTooLarge, size, limit)
	}
	if p.cfg.Replay != nil && (b.Position == nil || bytes.Equal(b.After, b.Position)) {
		return 0, fmt.Errorf("%w: a replayable batch needs the position that it reaches", ErrOutOfOrder)
	}
	return size, nil
}

// digestOf is the digest of a batch whose source gave none.
func digestOf(rows block) ledger.Digest { return ledger.DigestOf([][]byte{rows.ReadOnlyData()}) }

// reserve takes room in the window, waiting for it.
func (p *Partition) reserve(ctx context.Context, size int64) error {
	for {
		p.mu.Lock()
		if err := p.refusal(); err != nil {
			p.mu.Unlock()
			return err
		}
		if p.taken == 0 || p.taken < p.w.opt.WindowRequests && p.bytes+size <= p.w.opt.WindowBytes {
			p.taken++
			p.bytes += size
			p.mu.Unlock()
			return nil
		}
		room := p.waitForRoom()
		p.mu.Unlock()
		if err := wait(ctx, room); err != nil {
			return fmt.Errorf("wait for room in the window of partition %q of %s: %w", p.key.Name, p.key.Table, err)
		}
	}
}

// refusal says why nothing is accepted, or nil.
func (p *Partition) refusal() error {
	switch {
	case p.err != nil:
		return p.err
	case p.closing:
		return fmt.Errorf("partition %q of %s: %w", p.key.Name, p.key.Table, ErrClosed)
	}
	return nil
}

// giveBack returns room to the window.
func (p *Partition) giveBack(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	p.bytes -= size
	p.wakeRoom()
}

// waitForRoom returns a channel that is closed when room was given back or the
// partition stopped; p.mu is held.
func (p *Partition) waitForRoom() <-chan struct{} {
	if p.room == nil {
		p.room = make(chan struct{})
	}
	return p.room
}

func (p *Partition) wakeRoom() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// offer gives the batch, which has taken room in the window, to the machine, in the order of the calls.
func (p *Partition) offer(in ledger.Intent, follower Follower, rows block, room int64) (*Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.machine.Stopped() && p.err == nil {
		// The machine takes nothing any more. It tells why once the ledger has answered
		// what it was asked, which is soon.
		p.mu.Unlock()
		<-p.stopped
		p.mu.Lock()
	}
	if err := p.refusal(); err != nil {
		return nil, err
	}
	if at := p.machine.Position(); !bytes.Equal(at, in.Before) {
		return nil, fmt.Errorf("append to partition %q of %s: %w: the batch comes after %q, the partition is at %q",
			p.key.Name, p.key.Table, ErrOutOfOrder, in.Before, at)
	}
	if len(in.Dead) > 0 { // counting walks the window
		if dead := p.machine.Dead() + int64(len(in.Dead)); dead > p.cfg.MaxDead {
			return nil, fmt.Errorf("append to partition %q of %s: %w: it would have %d, at most %d", p.key.Name, p.key.Table, ErrTooManyDead, dead, p.cfg.MaxDead)
		}
	}
	r := &Result{p: p, follower: follower, rows: rows, bytes: room}
	p.results[p.machine.NextBatch()] = r
	p.did(B1)
	r.tell(B1)
	p.step(recovery.Event{Kind: recovery.Offered, Intent: in})
	return r, nil
}
