package powerloss

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/eowriter/eowriter/ledger"
)

// step is one write to a ledger. What it is follows from the world before it and the
// step's number, so that whoever knows these knows the step.
type step struct {
	what string
	part *part // before the step; nil for a new one and for schemas

	opening    ledger.Opening
	intent     ledger.Intent
	rows       []byte   // frozen with intent
	contents   [][]byte // of dead rows that come with intent
	waste      int      // bytes that are frozen for nothing
	number     uint64   // acknowledged
	end        int64    // of that
	seal       ledger.Seal
	settlement ledger.Settlement
	halt       ledger.Halt
	word       *ledger.Resolution
	upTo       int64 // letters delivered
	schema     int
}

const (
	mostPartitions = 5
	bigRow         = 17 << 20 // more than bbolt's file has room for
)

// next draws step n. A big one makes bbolt's file grow.
func next(w *world, seed uint64, n int, big bool) step {
	d := &draw{Rand: keyed(seed, n), w: w, big: big}
	switch {
	case w.Schemas == 0 || w.Schemas < 4 && d.one(25):
		return step{what: "schema", schema: w.Schemas}
	case len(w.Partitions) == 0 || len(w.Partitions) < mostPartitions && d.one(12):
		return d.open()
	}
	for {
		p := w.Partitions[d.IntN(len(w.Partitions))]
		s := d.stepOf(p)
		if big && p.Halt == nil && p.Seal == nil {
			s = d.bind(p)
		}
		if s.what != "" {
			s.part = p
			return s
		}
	}
}

// keyed is a source of random numbers that nothing else has.
func keyed(seed uint64, n int) *rand.Rand {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(n))
	return rand.New(rand.NewChaCha8(key))
}

type draw struct {
	*rand.Rand
	w   *world
	big bool
}

func (d *draw) one(of int) bool { return d.IntN(of) == 0 }

func (d *draw) stream() string { return fmt.Sprintf("%s/streams/%d", table, d.w.Streams+1) }

func (d *draw) open() step {
	schema := d.IntN(d.w.Schemas)
	name := fmt.Sprintf("part-%d", d.w.LastID+1)
	return step{what: "open", opening: ledger.Opening{
		Key: ledger.Key{Table: table, Name: name}, Mode: ledger.Mode(1 + d.w.LastID%2),
		Stream: d.stream(), Schema: fingerprint(schema), Descriptor: descriptor(schema), Encoder: 1, Epoch: 1,
	}}
}

// stepOf draws a step of a partition; none when what was drawn makes no sense now.
func (d *draw) stepOf(p *part) step {
	letters := int64(len(p.Letters))
	switch {
	case letters > 0 && d.one(4):
		return step{what: "deliver", upTo: p.Delivered + 1 + d.Int64N(letters)}
	case p.Halt != nil && d.one(2):
		return step{what: "resolve", word: d.word(p)}
	case p.Halt != nil:
		return step{}
	case p.Seal != nil && p.Seal.Reason == ledger.Finished:
		return step{what: "retire"}
	case p.Seal != nil:
		return step{what: "settle", settlement: d.settlement(p)}
	}
	switch n := d.IntN(24); {
	case n < 12:
		return d.bind(p)
	case n < 18 && len(p.Open) > 0:
		last := p.Open[d.IntN(len(p.Open))]
		return step{what: "acknowledge", number: last.Number, end: last.End()}
	case n < 20:
		return step{what: "seal", seal: d.seal(p)}
	case n == 20 && d.one(2) && len(p.Open) > 0:
		in := p.Open[d.IntN(len(p.Open))]
		if in.Rows > 0 && in.Rows == in.Of {
			return step{what: "skip", number: in.Number}
		}
	case n == 20:
		return step{what: "halt", halt: ledger.Halt{Cause: ledger.HaltCause(1 + d.IntN(3)), Offset: p.Next, Detail: "seen"}}
	case n == 22 && len(p.Open) == 0:
		return step{what: "open", opening: ledger.Opening{
			Key: p.Key, Mode: p.Mode, Stream: d.stream(), Schema: p.Schema, Encoder: p.Encoder, Epoch: p.Epoch + 1,
		}}
	case n == 23 && len(p.Open) == 0 && letters == 0 && len(d.w.Partitions) > 2:
		return step{what: "seal", seal: ledger.Seal{Reason: ledger.Finished}}
	}
	return step{}
}

// bind draws a batch. Its name is in its rows, its digest and the positions around it.
func (d *draw) bind(p *part) step {
	name := fmt.Sprintf("%s-%d-%d", p.Key.Name, p.Number+1, p.Row)
	rows := d.Int64N(6)
	in := ledger.Intent{
		Number: p.Number + 1, Start: p.Next, Rows: rows, Of: rows,
		Schema: fingerprint(d.IntN(d.w.Schemas)), Encoder: 1 + d.Uint32N(2),
		Before: p.reached(), After: filler(name, d.length(100, 3000)),
		Digest: ledger.DigestOf([][]byte{[]byte(name)}),
	}
	s := step{what: "bind"}
	if rows == 0 || d.one(6) || d.big {
		size := d.length(200, 6000)
		if d.big {
			size = bigRow
		}
		s.contents = [][]byte{filler(name+" dead", size)}
		in.Dead = []ledger.Dead{{Row: 2, Reason: "refused", Content: contentDigest(s.contents[0])}}
	}
	if rows > 1 && d.one(5) {
		in.Parts = []ledger.Part{
			{Rows: 1, Digest: ledger.DigestOf([][]byte{[]byte(name + " a")}), Before: in.Before, After: []byte(name)},
			{Rows: rows - 1, Digest: ledger.DigestOf([][]byte{[]byte(name + " b")}), Before: []byte(name), After: in.After},
		}
	}
	if p.Mode == ledger.Frozen {
		if d.one(4) { // it goes without positions
			in.Before, in.After = nil, nil
		}
		if rows > 0 {
			s.rows = filler(name, d.length(6000, 40_000))
			in.Digest = ledger.DigestOf([][]byte{s.rows})
			in.Bytes = int64(len(s.rows))
			in.Payload = ledger.Payload{Segment: 1}
		}
		if d.one(8) {
			s.waste = d.length(6000, 40_000)
		}
	}
	s.intent = in
	return s
}

// length is usually below few, now and then up to many.
func (d *draw) length(few, many int) int {
	if d.one(8) {
		return few + d.IntN(many-few)
	}
	return d.IntN(few)
}

// word is what a person says of a stream that is gone, or nothing.
func (d *draw) word(p *part) *ledger.Resolution {
	if p.Halt.Cause != ledger.InDoubt || d.one(4) {
		return nil
	}
	word := &ledger.Resolution{Landed: p.Acked}
	for _, in := range p.Open[:d.IntN(len(p.Open)+1)] {
		word.Landed = in.End()
	}
	return word
}

// skipReason is why batches are skipped.
const skipReason = "poisoned"

func (d *draw) seal(p *part) ledger.Seal {
	s := ledger.Seal{Successor: d.stream(), Detail: "drawn", Reason: ledger.Reason(1 + d.IntN(int(ledger.Lagging)))}
	if p.Resolution != nil {
		s.Reason = ledger.Resolved
	}
	if s.Reason == ledger.RowErrors && p.Next > p.Acked {
		s.Rejected = []ledger.Rejected{{Offset: p.Acked, Message: "no such row"}}
	}
	return s
}

// settlement draws how many intents have landed, and binds the others anew: some of them
// split, some without a row.
func (d *draw) settlement(p *part) ledger.Settlement {
	landed := d.IntN(len(p.Open) + 1)
	if d.one(3) || p.Resolution != nil {
		landed = 0
	}
	s := ledger.Settlement{Rows: p.Acked}
	for _, in := range p.Open[:landed] {
		s.Rows = in.End()
	}
	if p.Resolution != nil {
		s.Rows = p.Resolution.Landed
	}
	for landed < len(p.Open) && p.Open[landed].End() <= s.Rows { // those without rows at the end land too
		landed++
	}
	number, start := p.Number, int64(0)
	bind := func(in ledger.Intent) {
		number++
		in.Number, in.Start = number, start
		start = in.End()
		s.Rest = append(s.Rest, in)
	}
	for _, in := range p.Open[landed:] {
		alone := in.Rows == in.Of
		switch {
		case in.Skip != "":
			for in.Rows > 0 {
				in = without(in, in.Skip)
			}
			in.Skip = ""
			bind(in)
		case alone && in.Rows > 1 && p.Seal.Reason == ledger.TooLarge:
			first, second := in, in
			first.Rows, first.Dead = 1+d.Int64N(in.Rows-1), nil
			second.From, second.Rows = first.Rows, in.Rows-first.Rows
			bind(first)
			bind(second)
		case alone && in.Rows > 0 && p.Seal.Reason == ledger.RowErrors && d.one(2):
			bind(without(in, "bad"))
		default:
			bind(in)
		}
	}
	return s
}

// without is a batch of which the first row that is left was refused.
func without(in ledger.Intent, reason string) ledger.Intent {
	row := int64(len(in.Without))
	in.Without = append(in.Without[:row:row], row)
	in.Dead = append(in.Dead[:len(in.Dead):len(in.Dead)], ledger.Dead{
		Row: 100 + row, Service: true, Reason: reason, Content: contentDigest(nil),
	})
	in.Rows, in.Of = in.Rows-1, in.Of-1
	if in.Rows == 0 {
		in.Payload = ledger.Payload{}
	}
	return in
}

// reached is the position after the newest batch.
func (p *part) reached() []byte {
	at := p.Position
	for _, in := range p.Open {
		if in.Ends() && in.After != nil {
			at = in.After
		}
	}
	return at
}
