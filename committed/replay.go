package committed

import (
	"fmt"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"google.golang.org/grpc/mem"
)

// rows returns a reference to the rows of the batch to send, or nil if they are of an
// earlier run and not here yet. p.mu is held.
func (p *Partition) rows(a recovery.Action) block {
	r := p.results[a.Batch]
	if r.rows == nil {
		return nil
	}
	r.rows.Ref()
	return r.rows
}

// again gets the rows of a whole batch of an earlier run, from the ledger or the
// source, and keeps them until it has landed. Rows of a source are believed only if
// they are those that were bound: their digest is checked before anything is sent.
func (p *Partition) again(a recovery.Action) (block, error) {
	rows, err := p.fetch(a.Intent)
	if err != nil {
		return nil, fmt.Errorf("get the batch at offset %d again: %w", a.Intent.Start, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.results[a.Batch]; !r.isResolved {
		rows.Ref()
		r.keep(rows)
	}
	return rows, nil
}

func (p *Partition) fetch(in ledger.Intent) (block, error) {
	if p.cfg.Replay == nil {
		content, err := p.w.led.Frozen(in.Payload)
		return mem.SliceBuffer(content), err
	}
	s, err := p.writerSchema(in.Schema)
	if err != nil {
		return nil, err
	}
	rows, _, err := p.replay(in, Range{Rows: in.Whole(), Schema: s})
	return rows, err
}

// replay asks the source for a batch of a replayable partition again, as r says.
func (p *Partition) replay(in ledger.Intent, r Range) (block, Replayed, error) {
	r.Before, r.After = in.Before, in.After
	got, err := p.cfg.Replay(p.ctx, r)
	if err != nil {
		return nil, got, err
	}
	rows, digest := newBlock(got.Rows, blockSize(got.Rows)), got.Digest
	if digest == (ledger.Digest{}) {
		digest = digestOf(rows)
	}
	if digest != in.Digest || r.Rows >= 0 && int64(len(got.Rows)) != r.Rows {
		rows.Free()
		return nil, got, fmt.Errorf("%w: %d rows with digest %x, bound are %d with %x", ErrChanged, len(got.Rows), digest, in.Whole(), in.Digest)
	}
	return rows, got, nil
}
