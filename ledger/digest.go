package ledger

import (
	"encoding/binary"
	"sync"

	"github.com/zeebo/xxh3"
)

type digester struct {
	hash   xxh3.Hasher
	length [8]byte
}

var digesters = sync.Pool{New: func() any { return new(digester) }}

// DigestOf digests rows, each behind its length, so that the same bytes divided
// differently into rows have another digest. It is safe for concurrent use and
// does not keep the rows.
func DigestOf(rows [][]byte) Digest {
	d := digesters.Get().(*digester)
	defer digesters.Put(d)
	d.hash.Reset()
	for _, row := range rows {
		binary.LittleEndian.PutUint64(d.length[:], uint64(len(row)))
		d.hash.Write(d.length[:])
		d.hash.Write(row)
	}
	return d.hash.Sum128().Bytes()
}

// FingerprintOf is the fingerprint of a serialized descriptor.
func FingerprintOf(descriptor []byte) Fingerprint {
	return xxh3.Hash128(descriptor).Bytes()
}
