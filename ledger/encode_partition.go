package ledger

import (
	"encoding/binary"
	"errors"
)

func appendIdentity(b []byte, i *Identity) []byte {
	b = appendString(b, i.Machine)
	b = binary.AppendUvarint(b, i.FileSystem)
	b = binary.AppendUvarint(b, i.Inode)
	return binary.LittleEndian.AppendUint64(b, i.Nonce)
}

func (d *decoder) identity() Identity {
	return Identity{Machine: d.string(), FileSystem: d.uint(), Inode: d.uint(), Nonce: d.fixed64()}
}

func appendPartition(b []byte, key []byte, p *Partition) []byte {
	from := len(b)
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, uint64(p.ID))
	b = append(b, byte(p.Mode))
	b = appendIdentity(b, &p.Owner)
	b = binary.AppendUvarint(b, p.Epoch)
	b = appendString(b, p.Stream)
	b = appendInt(b, p.Acked)
	b = appendInt(b, p.Next)
	b = appendBytes(b, p.Position)
	b = append(b, p.Schema[:]...)
	b = binary.AppendUvarint(b, uint64(p.Encoder))
	b = appendInt(b, p.Rows)
	b = appendInt(b, p.Dead)
	b = appendInt(b, p.Delivered)
	b = appendTime(b, p.Created)
	b = appendTime(b, p.Updated)
	b = appendLast(b, p.Last)
	b = appendSeal(b, p.Seal)
	b = appendHalt(b, p.Halt)
	if r := p.Resolution; r != nil {
		b = appendTime(appendInt(b, r.Landed), r.At)
	}
	return appendSum(b, from, partitionTag, key)
}

func parsePartition(key, value []byte) (p Partition, err error) {
	body, err := recordBody(partitionTag, key, value)
	if err != nil {
		return p, err
	}
	if p.Key, err = parsePartitionKey(key); err != nil {
		return p, err
	}
	d := decoder{b: body}
	p.ID = ID(d.uint32())
	p.Mode = Mode(d.byte())
	p.Owner = d.identity()
	p.Epoch = d.uint()
	p.Stream = d.string()
	p.Acked = d.int()
	p.Next = d.int()
	p.Position = d.bytes()
	p.Schema = d.hash()
	p.Encoder = d.uint32()
	p.Rows = d.int()
	p.Dead = d.int()
	p.Delivered = d.int()
	p.Created = d.time()
	p.Updated = d.time()
	p.Last = d.last()
	p.Seal = d.seal()
	p.Halt = d.halt()
	if d.more() {
		p.Resolution = &Resolution{Landed: d.int(), At: d.time()}
	}
	return p, d.end()
}

func appendLast(b []byte, a *Append) []byte {
	if a == nil {
		return append(b, 0)
	}
	var kind byte = 1
	if len(a.Parts) > 0 {
		kind = 2
	}
	b = append(b, kind)
	b = appendBytes(b, a.Before)
	b = appendBytes(b, a.After)
	b = append(b, a.Digest[:]...)
	b = appendString(b, a.Stream)
	b = binary.AppendUvarint(b, a.Epoch)
	b = appendInt(b, a.Offset)
	b = appendInt(b, a.Rows)
	if kind == 2 {
		b = appendParts(b, a.Parts)
	}
	return b
}

func (d *decoder) last() *Append {
	kind := d.byte()
	if kind == 0 {
		return nil
	}
	a := &Append{
		Before: d.bytes(), After: d.bytes(), Digest: d.hash(), Stream: d.string(),
		Epoch: d.uint(), Offset: d.int(), Rows: d.int(),
	}
	if kind == 2 {
		a.Parts = d.parts()
	}
	if kind > 2 || (kind == 2) != (len(a.Parts) > 0) {
		d.fail(errors.New("the last append is of no known kind"))
	}
	return a
}

func appendParts(b []byte, parts []Part) []byte {
	b = binary.AppendUvarint(b, uint64(len(parts)))
	for i := range parts {
		p := &parts[i]
		b = appendInt(b, p.Rows)
		b = append(b, p.Digest[:]...)
		b = appendBytes(b, p.Before)
		b = appendBytes(b, p.After)
	}
	return b
}

func (d *decoder) parts() (parts []Part) {
	if n := d.count(19); n > 0 {
		parts = make([]Part, n)
		for i := range parts {
			parts[i] = Part{Rows: d.int(), Digest: d.hash(), Before: d.bytes(), After: d.bytes()}
		}
	}
	return parts
}

func appendSeal(b []byte, s *Seal) []byte {
	if s == nil {
		return append(b, 0)
	}
	b = append(b, 1)
	b = appendString(b, s.Successor)
	b = appendIdentity(b, &s.Owner)
	b = append(b, byte(s.Reason))
	b = appendString(b, s.Detail)
	b = binary.AppendUvarint(b, uint64(len(s.Rejected)))
	for i := range s.Rejected {
		b = appendInt(b, s.Rejected[i].Offset)
		b = appendString(b, s.Rejected[i].Message)
	}
	return appendTime(b, s.At)
}

func (d *decoder) seal() *Seal {
	if !d.bool() {
		return nil
	}
	s := &Seal{Successor: d.string(), Owner: d.identity(), Reason: Reason(d.byte()), Detail: d.string()}
	if n := d.count(2); n > 0 {
		s.Rejected = make([]Rejected, n)
		for i := range s.Rejected {
			s.Rejected[i] = Rejected{Offset: d.int(), Message: d.string()}
		}
	}
	s.At = d.time()
	return s
}

func appendHalt(b []byte, h *Halt) []byte {
	if h == nil {
		return append(b, 0)
	}
	b = append(b, 1, byte(h.Cause))
	b = appendInt(b, h.Offset)
	b = appendString(b, h.Detail)
	return appendTime(b, h.At)
}

func (d *decoder) halt() *Halt {
	if !d.bool() {
		return nil
	}
	return &Halt{Cause: HaltCause(d.byte()), Offset: d.int(), Detail: d.string(), At: d.time()}
}
