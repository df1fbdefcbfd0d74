package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Bucket names, and what stands for each in a record's checksum.
var (
	headBucket      = []byte("head")
	partitionBucket = []byte("partitions")
	intentBucket    = []byte("intents")
	schemaBucket    = []byte("schemas")
	retiredBucket   = []byte("retired")
	letterBucket    = []byte("letters")
)

var (
	headTag      = makeTag("h")
	partitionTag = makeTag("p")
	intentTag    = makeTag("i")
	schemaTag    = makeTag("s")
	retiredTag   = makeTag("r")
	letterTag    = makeTag("l")
)

// Keys of the head bucket.
var (
	formatKey = []byte("format")
	headKey   = []byte("ledger")
)

// head is what the ledger knows of itself.
type head struct {
	ID          uint64
	Identity    Identity
	Incarnation uint64
	LastID      ID // the last that was given to a partition
}

func partitionKey(k Key) []byte {
	b := make([]byte, 0, len(k.Table)+1+len(k.Name))
	b = append(b, k.Table...)
	b = append(b, 0)
	return append(b, k.Name...)
}

func parsePartitionKey(b []byte) (Key, error) {
	table, name, ok := bytes.Cut(b, []byte{0})
	if !ok {
		return Key{}, fmt.Errorf("%w: key of a partition", ErrCorrupt)
	}
	return Key{Table: string(table), Name: string(name)}, nil
}

// numbers is the key of an intent and of a letter (ID, number), and of a retired
// stream (ID, epoch).
type numbers [12]byte

func makeNumbers(id ID, n uint64) (k numbers) {
	binary.BigEndian.PutUint32(k[:4], uint32(id))
	binary.BigEndian.PutUint64(k[4:], n)
	return k
}

func parseNumbers(b []byte) (ID, uint64, error) {
	if len(b) != len(numbers{}) {
		return 0, 0, fmt.Errorf("%w: key of %d bytes", ErrCorrupt, len(b))
	}
	return ID(binary.BigEndian.Uint32(b)), binary.BigEndian.Uint64(b[4:]), nil
}

func appendFormat(b []byte, version uint32) []byte {
	from := len(b)
	b = binary.LittleEndian.AppendUint32(b, version)
	return appendSum(b, from, headTag, formatKey)
}

// parseFormat reads the one value that every version of the file can read.
func parseFormat(value []byte) (uint32, error) {
	if len(value) != 8 || binary.LittleEndian.Uint32(value[4:]) != recordSum(headTag, formatKey, value[:4]) {
		return 0, fmt.Errorf("%w: format version", ErrCorrupt)
	}
	return binary.LittleEndian.Uint32(value), nil
}

func appendHead(b []byte, h *head) []byte {
	from := len(b)
	b = append(b, recordVersion)
	b = binary.LittleEndian.AppendUint64(b, h.ID)
	b = appendIdentity(b, &h.Identity)
	b = binary.AppendUvarint(b, h.Incarnation)
	b = binary.AppendUvarint(b, uint64(h.LastID))
	return appendSum(b, from, headTag, headKey)
}

func parseHead(value []byte) (h head, err error) {
	body, err := recordBody(headTag, headKey, value)
	if err != nil {
		return h, err
	}
	d := decoder{b: body}
	h.ID = d.fixed64()
	h.Identity = d.identity()
	h.Incarnation = d.uint()
	h.LastID = ID(d.uint32())
	return h, d.end()
}

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

func appendIntent(b []byte, key *numbers, in *Intent) []byte {
	if b == nil {
		b = make([]byte, 0, 128+len(in.Before)+len(in.After)+len(in.Parts)*64)
	}
	from := len(b)
	b = append(b, recordVersion)
	b = appendInt(b, in.Start)
	b = appendInt(b, in.Rows)
	b = appendInt(b, in.Bytes)
	b = append(b, in.Digest[:]...)
	b = appendInt(b, in.From)
	b = appendInt(b, in.Of)
	b = appendBytes(b, in.Before)
	b = appendBytes(b, in.After)
	b = append(b, in.Schema[:]...)
	b = binary.AppendUvarint(b, uint64(in.Encoder))
	b = appendParts(b, in.Parts)
	b = binary.AppendUvarint(b, uint64(in.Payload.Segment))
	if in.Payload.Segment != 0 {
		b = appendInt(b, in.Payload.Offset)
		b = appendInt(b, in.Payload.Length)
		b = binary.LittleEndian.AppendUint64(b, in.Payload.Frame)
	}
	b = binary.AppendUvarint(b, uint64(len(in.Without)))
	for _, row := range in.Without {
		b = appendInt(b, row)
	}
	b = binary.AppendUvarint(b, uint64(len(in.Dead)))
	for i := range in.Dead {
		b = appendDead(b, &in.Dead[i])
	}
	if in.Skip != "" {
		b = appendString(b, in.Skip)
	}
	return appendSum(b, from, intentTag, key[:])
}

func parseIntent(key, value []byte) (id ID, in Intent, err error) {
	body, err := recordBody(intentTag, key, value)
	if err != nil {
		return 0, in, err
	}
	if id, in.Number, err = parseNumbers(key); err != nil {
		return 0, in, err
	}
	d := decoder{b: body}
	in.Start = d.int()
	in.Rows = d.int()
	in.Bytes = d.int()
	in.Digest = d.hash()
	in.From = d.int()
	in.Of = d.int()
	in.Before = d.bytes()
	in.After = d.bytes()
	in.Schema = d.hash()
	in.Encoder = d.uint32()
	in.Parts = d.parts()
	if in.Payload.Segment = d.uint32(); in.Payload.Segment != 0 {
		in.Payload.Offset = d.int()
		in.Payload.Length = d.int()
		in.Payload.Frame = d.fixed64()
	}
	if n := d.count(1); n > 0 {
		in.Without = make([]int64, n)
		for i := range in.Without {
			in.Without[i] = d.int()
		}
	}
	if n := d.count(20); n > 0 {
		in.Dead = make([]Dead, n)
		for i := range in.Dead {
			in.Dead[i] = d.dead()
		}
	}
	if d.more() {
		in.Skip = d.string()
	}
	if in.Start > maxOffset || in.Rows > maxOffset || in.From > maxOffset || in.Of > maxOffset {
		d.fail(errors.New("an intent's offsets"))
	}
	return id, in, d.end()
}

func appendSchema(b []byte, f *Fingerprint, descriptor []byte) []byte {
	from := len(b)
	b = append(b, recordVersion)
	b = append(b, descriptor...)
	return appendSum(b, from, schemaTag, f[:])
}

func parseSchema(key, value []byte) (Fingerprint, []byte, error) {
	body, err := recordBody(schemaTag, key, value)
	if err != nil {
		return Fingerprint{}, nil, err
	}
	f := FingerprintOf(body)
	if !bytes.Equal(f[:], key) {
		return Fingerprint{}, nil, fmt.Errorf("%w: fingerprint of a schema", ErrCorrupt)
	}
	return f, slices.Clone(body), nil
}

func appendRetired(b []byte, key *numbers, r *Retired) []byte {
	from := len(b)
	b = append(b, recordVersion)
	b = appendString(b, r.Key.Table)
	b = appendString(b, r.Key.Name)
	b = appendString(b, r.Stream)
	b = binary.AppendVarint(b, r.Rows)
	b = append(b, byte(r.Reason))
	b = appendTime(b, r.At)
	return appendSum(b, from, retiredTag, key[:])
}

func parseRetired(key, value []byte) (id ID, r Retired, err error) {
	body, err := recordBody(retiredTag, key, value)
	if err != nil {
		return 0, r, err
	}
	if id, r.Epoch, err = parseNumbers(key); err != nil {
		return 0, r, err
	}
	d := decoder{b: body}
	r.Key.Table = d.string()
	r.Key.Name = d.string()
	r.Stream = d.string()
	r.Rows = d.signed()
	r.Reason = Reason(d.byte())
	r.At = d.time()
	return id, r, d.end()
}
