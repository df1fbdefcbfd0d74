package committed

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
)

// maxDeadContent bounds the contents of a batch's dead rows together, in bytes.
const maxDeadContent = 32 << 20

// checkDead refuses dead rows that the ledger would not take.
func checkDead(dead []ledger.Dead) error {
	for i := range dead {
		if i > 0 && dead[i].Row <= dead[i-1].Row || dead[i].Row < 0 || dead[i].Service {
			return fmt.Errorf("%w: its dead rows are not in order, or said to be the service's", ErrOutOfOrder)
		}
		if len(dead[i].Reason) > ledger.MaxReason {
			return fmt.Errorf("%w: the reason of a dead row has %d bytes, at most %d", ErrTooLarge, len(dead[i].Reason), ledger.MaxReason)
		}
	}
	if size := deadSize(dead); size > maxDeadContent {
		return fmt.Errorf("%w: %d bytes of dead rows, at most %d: make smaller batches", ErrTooLarge, size, maxDeadContent)
	}
	return nil
}

// deadSize is the size of the dead rows' contents.
func deadSize(dead []ledger.Dead) (size int64) {
	for i := range dead {
		size += int64(len(dead[i].Content))
	}
	return size
}

// examine looks at the rows of a batch between R3 and R4: for the contents of those
// that the service refused, or to encode them anew. p.mu is held.
func (p *Partition) examine(a recovery.Action) (recovery.Event, bool) {
	rows, newest := p.rows(a), p.known.newest
	p.mu.Unlock()
	e := recovery.Event{Kind: recovery.Examined}
	var err error
	switch {
	case len(a.Refused) == 0:
		err = p.anew(a, newest, &e)
	case p.cfg.Replay != nil:
		err = p.contents(a, newest, &e)
	default:
		err = p.frozenContents(a, rows, &e)
	}
	if rows != nil {
		rows.Free()
	}
	p.mu.Lock()
	if err != nil {
		// A source that was interrupted by Close has not changed.
		err = fmt.Errorf("look at the batch at offset %d again: %w", a.Intent.Start, err)
		return recovery.Event{Kind: recovery.Unreadable, Err: err}, !p.closed
	}
	return e, true
}

// contents gets the refused rows from the source: as it has them, or else as they are
// encoded now. A newer encoder may refuse some of them itself.
func (p *Partition) contents(a recovery.Action, newest *Schema, e *recovery.Event) error {
	rows, got, err := p.replay(a.Intent, Range{Rows: -1, Schema: newest, Letters: true})
	if err != nil {
		return err
	}
	rows.Free()
	from := got.Originals
	if len(from) != len(got.Rows) {
		from, e.Schema = got.Rows, newest.fingerprint
	}
	for _, refused := range a.Refused {
		at, dead := slices.BinarySearchFunc(got.Dead, refused.Input, func(d ledger.Dead, row int64) int { return cmp.Compare(d.Row, row) })
		row := refused.Input - int64(at)
		switch {
		case dead:
			e.Contents = append(e.Contents, got.Dead[at].Content)
		case row < int64(len(from)):
			e.Contents = append(e.Contents, from[row])
		default:
			return fmt.Errorf("%w: input row %d of the batch is not there", ErrChanged, refused.Input)
		}
	}
	return nil
}

// frozenContents gets the refused rows as they were encoded.
func (p *Partition) frozenContents(a recovery.Action, rows block, e *recovery.Event) (err error) {
	if rows == nil {
		if rows, err = p.fetch(a.Intent); err != nil {
			return err
		}
		defer rows.Free()
	}
	indices := make([]int64, len(a.Refused))
	for i, refused := range a.Refused {
		indices[i] = refused.Row
	}
	e.Schema = a.Intent.Schema
	e.Contents, err = rowsAt(rows, indices)
	return err
}

// anew has the source encode a batch again, and keeps its rows until they have landed.
func (p *Partition) anew(a recovery.Action, newest *Schema, e *recovery.Event) error {
	in := a.Intent
	if err := p.keep(newest); err != nil {
		return err
	}
	rows, got, err := p.replay(in, Range{Rows: -1, Schema: newest})
	if err == nil {
		err = checkDead(got.Dead)
	}
	if err != nil {
		return err
	}
	of, before := in.Of, in.Dead
	reencoded(&in, int64(len(got.Rows)), got.Dead)
	in.Bytes, in.Encoder, in.Schema = int64(rows.Len()), p.cfg.Encoder, newest.fingerprint
	sameRow := func(a, b ledger.Dead) bool { return a.Row == b.Row }
	p.mu.Lock()
	defer p.mu.Unlock()
	switch more := int64(len(in.Dead) - len(before)); {
	case in.From > 0 && (in.Of != of || !slices.EqualFunc(in.Dead, before, sameRow)):
		err = fmt.Errorf("%w: %d of the batch's rows have landed, and now the encoder refuses other rows of it than it did", ErrChanged, in.From)
	case in.Of == 0 && len(in.Dead) == 0, len(in.Without) > 0 && in.Without[len(in.Without)-1] >= int64(len(got.Rows)):
		err = fmt.Errorf("%w: %d rows for a batch of %d", ErrChanged, len(got.Rows), of)
	case more > 0 && p.machine.Dead()+more > p.cfg.MaxDead:
		err = fmt.Errorf("%w: it would have %d, at most %d", ErrTooManyDead, p.machine.Dead()+more, p.cfg.MaxDead)
	}
	if err != nil {
		rows.Free()
		return err
	}
	p.results[a.Batch].keep(rows)
	e.Intent = in
	return nil
}

// reencoded makes in the batch that its source gives now: n rows, of which those that
// the service refused stay dead, and what the encoder refuses.
func reencoded(in *ledger.Intent, n int64, dead []ledger.Dead) {
	dead = slices.Clone(dead)
	var without []int64
	for i := range in.Dead {
		d := in.Dead[i]
		at, found := slices.BinarySearchFunc(dead, d.Row, func(d ledger.Dead, row int64) int { return cmp.Compare(d.Row, row) })
		if !d.Service || found {
			continue
		}
		// Those before it that the encoder refuses are no rows; those of the service are.
		without = append(without, d.Row-int64(at)+int64(len(without)))
		dead = slices.Insert(dead, at, d)
	}
	in.Of, in.Dead, in.Without = n-int64(len(without)), dead, without
}
