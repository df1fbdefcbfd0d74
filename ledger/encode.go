package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// FORMAT.md describes the file; this file and encode_records.go are its code.

// format is the version of the whole file. It grows when an older program must
// not touch the file any more.
const format = 1

// recordVersion is the first byte of every record.
const recordVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// recordSum covers the bucket, the key and the value, so that a record that turns
// up elsewhere, or whose key was damaged, is noticed like a damaged value.
func recordSum(bucket tag, key, value []byte) uint32 {
	return crc32.Update(crc32.Update(uint32(bucket), castagnoli, key), castagnoli, value)
}

// tag is the checksum of the letter that stands for a bucket.
type tag uint32

func makeTag(letter string) tag { return tag(crc32.Checksum([]byte(letter), castagnoli)) }

// appendSum ends a record whose bytes start at from in b.
func appendSum(b []byte, from int, bucket tag, key []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, recordSum(bucket, key, b[from:]))
}

// recordBody checks a record and returns its bytes between version and checksum.
func recordBody(bucket tag, key, value []byte) ([]byte, error) {
	n := len(value) - 4
	if n < 1 {
		return nil, fmt.Errorf("%w: record of %d bytes", ErrCorrupt, len(value))
	}
	if binary.LittleEndian.Uint32(value[n:]) != recordSum(bucket, key, value[:n]) {
		return nil, fmt.Errorf("%w: checksum of a record", ErrCorrupt)
	}
	if value[0] != recordVersion {
		return nil, fmt.Errorf("%w: record version %d", ErrNewer, value[0])
	}
	return value[1:n], nil
}

// appendBytes writes a length and the bytes; nil and empty stay different, because
// no position is not the same as an empty one.
func appendBytes(b, v []byte) []byte {
	if v == nil {
		return append(b, 0)
	}
	return append(binary.AppendUvarint(b, uint64(len(v))+1), v...)
}

func appendString(b []byte, v string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// appendInt writes a count or an offset, which are never negative.
func appendInt(b []byte, v int64) []byte { return binary.AppendUvarint(b, uint64(v)) }

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixNano())
}

var errShort = errors.New("record ends early")

// decoder reads a record's body. The first error sticks; what is read after it is
// zero. All that it returns is copied: the body may be mapped memory.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	d.b = nil
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail(errShort)
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) atMost(most uint64) uint64 {
	v := d.uint()
	if v > most {
		d.fail(errors.New("number out of range"))
		return 0
	}
	return v
}

func (d *decoder) uint32() uint32 { return uint32(d.atMost(math.MaxUint32)) }
func (d *decoder) int() int64     { return int64(d.atMost(math.MaxInt64)) }

func (d *decoder) signed() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) fixed64() uint64 {
	if v := d.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (d *decoder) hash() (h [16]byte) {
	copy(h[:], d.take(16))
	return h
}

func (d *decoder) bytes() []byte {
	n := d.uint()
	if n == 0 {
		return nil
	}
	v := d.take(n - 1)
	if d.err != nil {
		return nil
	}
	return append([]byte{}, v...)
}

func (d *decoder) string() string { return string(d.take(d.uint())) }

func (d *decoder) time() time.Time {
	v := d.signed()
	if v == 0 {
		return time.Time{}
	}
	return time.Unix(0, v).UTC()
}

func (d *decoder) bool() bool {
	v := d.byte()
	if v > 1 {
		d.fail(errors.New("neither yes nor no"))
	}
	return v == 1
}

// count reads the length of a list whose elements take at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.fail(errShort)
		return 0
	}
	return int(n)
}

// more says that something follows that most records don't have.
func (d *decoder) more() bool { return d.err == nil && len(d.b) > 0 }

// end says whether the body was read to its end and was right.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) != 0 {
		d.fail(fmt.Errorf("%d bytes after a record's end", len(d.b)))
	}
	return d.err
}
