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
