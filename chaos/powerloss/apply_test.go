package powerloss

import (
	"slices"

	"github.com/eowriter/eowriter/ledger"
)

// after is the world after a step.
func (w *world) after(s step) *world {
	c := w.clone()
	var p *part
	if s.part != nil {
		p = c.Partitions[slices.IndexFunc(c.Partitions, func(p *part) bool { return p.ID == s.part.ID })]
	}
	switch s.what {
	case "schema":
		c.Schemas++
	case "open":
		c.open(p, s.opening)
	case "bind":
		p.Resolution = nil
		p.bind(s.intent)
		p.Number = s.intent.Number
		p.Row += int(s.intent.Of)
	case "acknowledge":
		p.Resolution = nil
		p.land(1 + slices.IndexFunc(p.Open, func(in ledger.Intent) bool { return in.Number == s.number }))
	case "seal":
		seal := s.seal
		if p.Seal = &seal; seal.Reason != ledger.Resolved {
			p.Resolution = nil
		}
		if seal.Successor != "" {
			c.Streams++
		}
	case "settle":
		c.settle(p, s.settlement)
	case "halt":
		halt := s.halt
		p.Halt, p.Resolution = &halt, nil
	case "resolve":
		p.Halt, p.Resolution = nil, s.word
	case "skip":
		p.Open[slices.IndexFunc(p.Open, func(in ledger.Intent) bool { return in.Number == s.number })].Skip = skipReason
	case "deliver":
		p.Letters = orNil(p.Letters[s.upTo-p.Delivered:])
		p.Delivered = s.upTo
	case "retire":
		c.retire(p, p.Acked, ledger.Finished)
		c.Partitions = orNil(slices.DeleteFunc(c.Partitions, func(q *part) bool { return q == p }))
	}
	return c
}

func orNil[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return s
}

func (w *world) open(p *part, o ledger.Opening) {
	if p == nil {
		w.LastID++
		p = &part{Partition: ledger.Partition{ID: w.LastID, Key: o.Key, Mode: o.Mode}}
		w.Partitions = append(w.Partitions, p)
	} else {
		w.retire(p, -1, ledger.Expired)
	}
	w.Streams++
	p.Epoch, p.Stream, p.Schema, p.Encoder = o.Epoch, o.Stream, o.Schema, o.Encoder
	p.Acked, p.Next, p.Resolution = 0, 0, nil
}

func (w *world) retire(p *part, rows int64, reason ledger.Reason) {
	w.Retired = append(w.Retired, ledger.Retired{Key: p.Key, Epoch: p.Epoch, Stream: p.Stream, Rows: rows, Reason: reason})
}

func (p *part) bind(in ledger.Intent) {
	p.Open = append(p.Open, in)
	p.Next, p.Schema, p.Encoder = in.End(), in.Schema, in.Encoder
}

// land acknowledges the first n open intents.
func (p *part) land(n int) {
	for _, in := range p.Open[:n] {
		p.Rows += in.Rows
		p.Acked = in.End()
		if !in.Ends() {
			continue
		}
		if in.After != nil {
			p.Position = in.After
			p.Last = &ledger.Append{
				Before: in.Before, After: in.After, Digest: in.Digest,
				Stream: p.Stream, Epoch: p.Epoch, Offset: in.Start, Rows: in.Rows, Parts: in.Parts,
			}
		}
		for _, d := range in.Dead {
			p.Dead++
			p.Letters = append(p.Letters, ledger.Letter{Number: p.Dead, Before: in.Before, After: in.After, Dead: d})
		}
	}
	p.Open = orNil(p.Open[n:])
}

func (w *world) settle(p *part, s ledger.Settlement) {
	n := 0
	for n < len(p.Open) && p.Open[n].End() <= s.Rows {
		n++
	}
	w.retire(p, s.Rows, p.Seal.Reason)
	p.land(n)
	p.Epoch, p.Stream, p.Seal, p.Resolution = p.Epoch+1, p.Seal.Successor, nil, nil
	p.Acked, p.Next, p.Open = 0, 0, nil
	for _, in := range s.Rest {
		p.bind(in)
		p.Number = in.Number
	}
}
