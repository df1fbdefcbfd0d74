package ingest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/doubt"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	maxRowErrors = 20              // told of one append
	askWait      = 5 * time.Second // for the service, before a row that it might know better is believed to be bad
	maxEncoded   = 9 << 20         // bytes of an append: the smallest request limit that projects have is 10 MiB (case 52)
)

// refusal is a row that is no row of the table.
type refusal struct {
	row            int
	column, reason string
	err            error // of the encoder
}

// encode makes the append's rows in e: those that land, and those that are dead.
func (p *partition) encode(ctx context.Context, a *Append, e *entry) error {
	asked := false
	for {
		cp, enc, err := p.ready(ctx)
		if err != nil {
			return err
		}
		e.encoded, e.dead, e.bytes, e.schema = nil, nil, 0, enc.schema
		var bad []refusal
		if a.Descriptor == nil {
			bad = e.fromJSON(enc, a.Rows)
		} else if bad, err = e.fromMessages(enc, a, p.i.opt.DefaultValues); err != nil {
			return err
		}
		if len(bad) > 0 && a.Descriptor == nil && !asked {
			// The table may have changed.
			asked = true
			if changed, err := p.ask(ctx, cp, enc, bad); err != nil || changed {
				if err != nil {
					return err
				}
				continue
			}
		}
		switch {
		case e.bytes > maxEncoded:
			return refuse(eowriterv1.Reason_REASON_TOO_LARGE, "the append has %d bytes of encoded rows, at most %d are taken: make smaller appends", e.bytes, maxEncoded)
		case len(bad) == 0:
			return nil
		case !a.DeadLetters:
			return badRows(bad, "the append has %s, of %d; nothing was accepted", plural.Of(len(bad), "row that is none of the table's", "rows that are none of the table's"), len(a.Rows))
		}
		e.bury(a, bad)
		return nil
	}
}

// fromJSON encodes JSON objects, and returns those that it can't.
func (e *entry) fromJSON(enc *encoding, objects [][]byte) (bad []refusal) {
	var buf []byte
	ends := make([]int, 0, len(objects))
	for n, object := range objects {
		var err error
		if buf, err = enc.enc.Append(buf, object); err != nil {
			bad = append(bad, refusalOf(n, err))
			continue
		}
		ends = append(ends, len(buf))
	}
	e.encoded = make([][]byte, len(ends))
	start := 0
	for n, end := range ends {
		e.encoded[n] = buf[start:end:end]
		start = end
	}
	e.bytes = requestBytes(e.encoded)
	return bad
}

// requestBytes is what rows take in a request.
func requestBytes(rows [][]byte) (n int64) {
	for _, row := range rows {
		n += 1 + int64(protowire.SizeBytes(len(row)))
	}
	return n
}

// refusalOf is path and reason of the encoder's refusal, without the value.
func refusalOf(row int, err error) refusal {
	r := refusal{row: row, reason: err.Error(), err: err}
	if refused := (*rows.Error)(nil); errors.As(err, &refused) {
		r.column, r.reason = refused.Path, refused.Reason
	}
	return r
}

func (r *refusal) text() string {
	if r.column == "" {
		return r.reason
	}
	return r.column + ": " + r.reason
}

// badRows is the error for rows that are no rows of the table.
func badRows(bad []refusal, format string, args ...any) *Error {
	e := refuse(eowriterv1.Reason_REASON_BAD_ROWS, format, args...)
	e.BadRows = len(bad)
	for n := range bad[:min(len(bad), maxRowErrors)] {
		e.Rows = append(e.Rows, &eowriterv1.RowError{Row: int32(bad[n].row), Column: bad[n].column, Reason: bad[n].reason})
	}
	return e
}

// bury makes dead rows of the bad ones.
func (e *entry) bury(a *Append, bad []refusal) {
	for n := range bad {
		reason := bad[n].text()
		d := ledger.Dead{
			Row: int64(bad[n].row), Reason: reason[:min(len(reason), ledger.MaxReason)],
			Content: bytes.Clone(a.Rows[bad[n].row]),
		}
		if a.Descriptor != nil {
			d.Schema = e.schema.Fingerprint()
		}
		e.dead = append(e.dead, d)
	}
	e.rows = int64(len(e.encoded))
}

// tooManyDead refuses an append whose dead rows would be more than the partition may have; p.mu is held.
func (p *partition) tooManyDead(e *entry) error {
	if len(e.dead) == 0 {
		return nil
	}
	part, _, err := p.i.led.Partition(p.key)
	if err != nil {
		return why(err)
	}
	dead := part.Dead + int64(len(e.dead))
	for _, other := range p.entries {
		dead += int64(other.nDead)
	}
	if dead > p.i.opt.MaxDead {
		bad := make([]refusal, len(e.dead))
		for n := range e.dead {
			bad[n] = refusal{row: int(e.dead[n].Row), reason: e.dead[n].Reason}
		}
		return badRows(bad, "the partition would have %s, at most %d are allowed: see --max-dead-letters; nothing was accepted", plural.Of(dead, "dead letter", "dead letters"), p.i.opt.MaxDead)
	}
	e.nDead = len(e.dead)
	return nil
}

// ask asks the service for the table's schema if another one could make rows of some of the bad ones, and says whether
// there is another than enc's, which the partition has taken then.
func (p *partition) ask(ctx context.Context, cp *committed.Partition, enc *encoding, bad []refusal) (changed bool, err error) {
	t := p.i.tables.of(p.key.Table)
	if t.newest() == enc && len(t.worth(bad)) == 0 {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	end, err := t.asking.Begin(ctx)
	if err != nil {
		return false, unasked(err)
	}
	defer end()
	if newest := t.newest(); newest != enc && newest != nil {
		p.use(newest, nil)
		return true, nil // another append was told
	}
	doubts := t.worth(bad)
	if len(doubts) == 0 {
		return false, nil
	}
	s, err := cp.Refresh(ctx)
	if err != nil {
		return false, unasked(err)
	}
	next, err := t.encodingOf(s)
	if err != nil {
		return false, why(err)
	}
	for _, d := range doubts {
		t.asking.Answered(d)
	}
	p.use(next, s)
	return next != enc, nil
}

// unasked is for rows that may be bad, or not.
func unasked(cause error) *Error {
	e := refuse(eowriterv1.Reason_REASON_UNAVAILABLE, "rows don't fit the table as it is known, and BigQuery can't be asked whether it has changed: %v; nothing was accepted", cause)
	e.RetryAfter, e.Err = soon, cause
	return e
}

// worth returns what the bad rows give reason to ask the service about.
func (t *table) worth(bad []refusal) (doubts []doubt.Doubt) {
	for n := range bad {
		if d, curable := doubt.Of(bad[n].err); curable && !slices.Contains(doubts, d) && t.asking.Worth(d) {
			if doubts = append(doubts, d); len(doubts) == maxRowErrors {
				break
			}
		}
	}
	return doubts
}

// use takes an encoding for the rows from here on: that of s, if the partition itself has learnt of it.
func (p *partition) use(e *encoding, s *committed.Schema) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.encoding = e
	if s != nil {
		p.seen = s
	}
}
