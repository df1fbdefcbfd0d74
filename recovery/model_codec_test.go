package recovery

import (
	"fmt"

	"github.com/eowriter/eowriter/ledger"
)

// The model's states are kept as bytes: a state is read into memory to be changed and
// written again to be known. One list of fields, snapshot, serves both directions, so
// that what is written is read; TestModelCodec fails when the machine gets a field that
// is not in it.
//
// Only what a machine goes by is written. What stays the same over the model's life
// (the partition's key, schemas, encoders) and what is for people is left out, see
// TestModelCodec. Numbers fit a byte, because normalize counts them from the oldest
// that still matters.

type codec struct {
	b       []byte
	at      int
	reading bool
	met     []byte // streams in the order in which they were written, by their old indices
}

func (c *codec) byte(v byte) byte {
	if c.reading {
		v = c.b[c.at]
		c.at++
		return v
	}
	c.b = append(c.b, v)
	return v
}

type integer interface {
	~int | ~int8 | ~int64 | ~uint8 | ~uint64
}

func num[T integer](c *codec, v *T) {
	if !c.reading && T(int8(*v)) != *v {
		panic(fmt.Sprint("does not fit the model's byte: ", *v))
	}
	*v = T(int8(c.byte(byte(*v))))
}

func truth[T ~bool](c *codec, v *T) {
	if c.reading {
		*v = c.byte(0) != 0
	} else if *v {
		c.byte(1)
	} else {
		c.byte(0)
	}
}

// list codes a length and that many values. They are made anew when read, since those of
// ledger and machine may be the same.
func list[T any](c *codec, v *[]T, each func(*codec, *T)) {
	if c.reading {
		*v = nil
	}
	own(c, v, each)
}

// own codes a list that nobody else has a part of: reading uses its memory again.
func own[T any](c *codec, v *[]T, each func(*codec, *T)) {
	n := int(c.byte(byte(len(*v))))
	if c.reading {
		if n > cap(*v) {
			*v = make([]T, n, n+2)
		}
		*v = (*v)[:n]
		clear(*v)
	}
	for i := range *v {
		each(c, &(*v)[i])
	}
}

func queue[T any](c *codec, q *fifo[T], each func(*codec, *T)) {
	v := q.buf[q.head:]
	own(c, &v, each)
	if c.reading {
		*q = fifo[T]{buf: v}
	}
}

func pointer[T any](c *codec, p **T, each func(*codec, *T)) {
	there := *p != nil
	truth(c, &there)
	if c.reading {
		*p = nil
		if there {
			*p = new(T)
		}
	}
	if there {
		each(c, *p)
	}
}

// Positions are one byte, the number of rows before them; streams are s1, s2, ...
// Both come from tables, so that reading a state makes nothing.
var (
	positions   [16][]byte
	streamNames [maxStreams]string
)

func init() {
	for i := range positions {
		positions[i] = []byte{byte(i)}
	}
	for i := range streamNames {
		streamNames[i] = fmt.Sprint("s", i+1)
	}
}

func indexOf(stream string) byte { return stream[1] - '1' }

func reachedBy(position []byte) byte {
	if position == nil {
		return 0
	}
	return position[0]
}

func (c *codec) position(v *[]byte) {
	n := c.byte(reachedBy(*v))
	if c.reading {
		*v = nil
		if n > 0 {
			*v = positions[n]
		}
	}
}

// stream codes a stream's name. Names don't matter, so they are written as they are
// first met: s1, s2, s3.
func (c *codec) stream(name *string) {
	if c.reading {
		*name = ""
		if n := c.byte(0); n > 0 {
			*name = streamNames[n-1]
		}
		return
	}
	if *name == "" {
		c.byte(0)
		return
	}
	for i, old := range c.met {
		if old == indexOf(*name) {
			c.byte(byte(i + 1))
			return
		}
	}
	c.met = append(c.met, indexOf(*name))
	c.byte(byte(len(c.met)))
}

// order is where a stream's name was met; those that were not come last.
func (c *codec) order(name string) int {
	for i, old := range c.met {
		if old == indexOf(name) {
			return i
		}
	}
	return maxStreams + int(indexOf(name))
}

// snapshot codes all that a machine goes by. It must be normalized.
func (m *Machine) snapshot(c *codec) {
	num(c, &m.phase)
	codePartition(c, &m.part)
	truth(c, &m.suspicious)
	truth(c, &m.aged)
	truth(c, &m.retiring)
	truth(c, &m.probed)
	queue(c, &m.window.items, codeItem)
	num(c, &m.window.first)
	num(c, &m.window.landed)
	num(c, &m.window.bound)
	num(c, &m.window.cursor)
	queue(c, &m.offered, codeItem)
	num(c, &m.batch)
	num(c, &m.intents)
	c.position(&m.after)
	num(c, &m.acking)
	num(c, &m.writes)
	truth(c, &m.renewed)
	pointer(c, &m.rotation, codeRotation)
	num(c, &m.conn)
	num(c, &m.connID)
	num(c, &m.conns)
	queue(c, &m.flight, num[uint64])
	truth(c, &m.yielding)
	truth(c, &m.served)
	truth(c, &m.calling)
	num(c, &m.holding)
	truth(c, &m.waiting)
	for i := range m.tries {
		num(c, &m.tries[i])
	}
	pointer(c, &m.cause, func(c *codec, v *Cause) { num(c, &v.Verdict) })
	if c.reading && m.rotation != nil && m.part.Seal != nil {
		m.part.Seal = &m.rotation.seal // as the machine has it
	}
}

func codePartition(c *codec, p *ledger.Partition) {
	num(c, &p.Owner.Nonce)
	num(c, &p.Epoch)
	c.stream(&p.Stream)
	pointer(c, &p.Seal, codeSeal)
	pointer(c, &p.Halt, func(c *codec, v *ledger.Halt) { num(c, &v.Cause) })
	pointer(c, &p.Resolution, func(c *codec, v *ledger.Resolution) { num(c, &v.Landed) })
	num(c, &p.Acked)
	num(c, &p.Next)
	c.position(&p.Position)
	num(c, &p.Dead)
}

func codeSeal(c *codec, s *ledger.Seal) {
	c.stream(&s.Successor)
	num(c, &s.Owner.Nonce)
	num(c, &s.Reason)
	list(c, &s.Rejected, func(c *codec, v *ledger.Rejected) { num(c, &v.Offset) })
}

func codeIntent(c *codec, in *ledger.Intent) {
	num(c, &in.Number)
	num(c, &in.Start)
	num(c, &in.Rows)
	num(c, &in.From)
	num(c, &in.Of)
	in.Digest[0] = c.byte(in.Digest[0])
	list(c, &in.Without, num[int64])
	list(c, &in.Dead, func(c *codec, v *ledger.Dead) {
		num(c, &v.Row)
		truth(c, &v.Service)
		c.position(&v.Content)
	})
	skip := in.Skip != ""
	if truth(c, &skip); skip {
		in.Skip = skipReason
	}
	c.position(&in.Before)
	c.position(&in.After)
}

// skipReason is what every person says.
const skipReason = "skipped"

func codeItem(c *codec, it *item) {
	codeIntent(c, &it.Intent)
	num(c, &it.batch)
	for _, v := range []*bool{&it.maySent, &it.old, &it.sent, &it.flying, &it.landed, &it.duplicate} {
		truth(c, v)
	}
}

func codeRotation(c *codec, r *rotation) {
	codeSeal(c, &r.seal)
	truth(c, &r.fresh)
	num(c, &r.count)
	list(c, &r.left, func(c *codec, v **remainder) {
		pointer(c, v, func(c *codec, v *remainder) {
			list(c, &v.items, codeItem)
			list(c, &v.refused, codeRefusal)
			truth(c, &v.anew)
		})
	})
	num(c, &r.next)
	list(c, &r.rest, codeItem)
}

func codeRefusal(c *codec, r *Refusal) {
	num(c, &r.Row)
	num(c, &r.Input)
}
