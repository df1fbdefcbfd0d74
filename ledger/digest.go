package ledger

import (
	"encoding/binary"
	"sync"

	"github.com/zeebo/xxh3"
)

// digester gathers what identifies rows in a chunk; a full chunk is replaced by its
// hash. Hashing pieces of this size in one go costs a third of streaming them.
type digester struct {
	chunk [16 << 10]byte
	used  int
}

// longRow is the length from which a row is hashed by itself rather than copied.
const longRow = 512

var digesters = sync.Pool{New: func() any { return new(digester) }}

// DigestOf digests rows, each behind its length, so that the same bytes divided
// differently into rows have another digest. It is safe for concurrent use and
// does not keep the rows.
func DigestOf(rows [][]byte) Digest {
	d := digesters.Get().(*digester)
	defer digesters.Put(d)
	d.used = 0
	for _, row := range rows {
		d.add(row)
	}
	return d.sum()
}

func (d *digester) add(row []byte) {
	if d.used+8+longRow > len(d.chunk) {
		sum := d.sum()
		d.used = copy(d.chunk[:], sum[:])
	}
	binary.LittleEndian.PutUint64(d.chunk[d.used:], uint64(len(row)))
	d.used += 8
	if len(row) < longRow {
		d.used += copy(d.chunk[d.used:], row)
		return
	}
	sum := xxh3.Hash128(row).Bytes()
	d.used += copy(d.chunk[d.used:], sum[:])
}

func (d *digester) sum() Digest { return xxh3.Hash128(d.chunk[:d.used]).Bytes() }

// FingerprintOf is the fingerprint of a serialized descriptor.
func FingerprintOf(descriptor []byte) Fingerprint {
	return xxh3.Hash128(descriptor).Bytes()
}
