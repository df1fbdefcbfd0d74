package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"os"
	"path/filepath"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// Whatever the disk gives back, reading it ends soon, takes memory in proportion to what is there, and says that it is
// damaged or is right. ARCHITECTURE.md has the command that runs all of these for long.

// bounded runs f, which must end, having allocated at most so many bytes.
func bounded(t *testing.T, most int, f func()) {
	t.Helper()
	allocated := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	hangs := time.AfterFunc(5*time.Minute, func() { panic("it does not end") })
	defer hangs.Stop()
	before := allocated()
	f()
	require.LessOrEqual(t, allocated()-before, uint64(most), "bytes allocated")
}

// isDamage says that an error is what a damaged or a newer file leads to.
func isDamage(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewer) }

// shm returns a new folder, in memory where that is possible: fuzzing writes a file for each input.
func shm(t testing.TB) string {
	name, err := os.MkdirTemp("/dev/shm", "eowriter-ledger-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(name) })
	return name
}

// kinds of records, by the bucket that they are in.
var recordKinds = []struct {
	bucket []byte
	tag    tag
	parse  func(key, value []byte) error
}{
	{headBucket, headTag, func(_, value []byte) error { _, err := parseHead(value); return err }},
	{headBucket, headTag, func(_, value []byte) error { _, err := parseFormat(value); return err }},
	{partitionBucket, partitionTag, func(key, value []byte) error { _, err := parsePartition(key, value); return err }},
	{intentBucket, intentTag, func(key, value []byte) error { _, _, err := parseIntent(key, value); return err }},
	{schemaBucket, schemaTag, func(key, value []byte) error { _, _, err := parseSchema(key, value); return err }},
	{retiredBucket, retiredTag, func(key, value []byte) error { _, _, err := parseRetired(key, value); return err }},
	{letterBucket, letterTag, func(key, value []byte) error { _, _, err := parseLetter(key, value); return err }},
}

// addRecords seeds f with a good record of each kind, without its checksum.
func addRecords(f *testing.F) {
	h, p, in, r := samples()
	k, n := partitionKey(p.Key), makeNumbers(1, 2)
	for kind, record := range [][]byte{
		appendHead(nil, &h), appendFormat(nil, format), appendPartition(nil, k, &p), appendIntent(nil, &n, &in),
		appendSchema(nil, &schema, descriptor), appendRetired(nil, &n, &r), appendLetter(nil, &n, &Letter{Number: 2}),
	} {
		key := [][]byte{headKey, formatKey, k, n[:], schema[:], n[:], n[:]}[kind]
		f.Add(uint8(kind), key, record[:len(record)-4])
	}
}

// If it fails, a record under a key that it does not belong to, or whose lists claim to be endless, takes the process down.
func FuzzKeyedRecords(f *testing.F) {
	addRecords(f)
	f.Fuzz(func(t *testing.T, kind uint8, key, body []byte) {
		k := recordKinds[int(kind)%len(recordKinds)]
		if k.bucket != nil && k.tag == headTag {
			key = [][]byte{headKey, formatKey}[int(kind)%len(recordKinds)]
		}
		bounded(t, 1<<20+100*len(body), func() {
			if err := k.parse(key, appendSum(body[:len(body):len(body)], 0, k.tag, key)); err != nil {
				require.True(t, isDamage(err), "%v", err)
			}
		})
	})
}

// busyLedger makes a closed ledger with something of everything, and returns the files that it consists of.
func busyLedger(t testing.TB, path string) (content []byte) {
	l, err := Open(path, small)
	require.NoError(t, err)
	for i := range 6 {
		mode := []Mode{Replayable, Frozen}[i%2]
		p := mustOpenEpoch(t, l, fmt.Sprint("p", i), mode)
		for n := range int64(5) {
			in := batch(n*2, n*2, 2)
			if mode == Frozen {
				in.Payload, err = freeze(l, [][]byte{pos(n + 1), pos(n + 2)})
				require.NoError(t, err)
			}
			if n == 4 {
				in.Dead = []Dead{{Row: 1, Reason: "r", Content: []byte("c")}}
			}
			require.NoError(t, bind(l, p.ID, 1, in))
		}
		switch i {
		case 1, 2:
			require.NoError(t, acknowledge(l, p.ID, 1, 4))
			require.NoError(t, seal(l, p.ID, 1, Seal{Successor: fmt.Sprint("s", i), Reason: Aging}))
		case 3:
			require.NoError(t, acknowledge(l, p.ID, 1, 10))
		case 4:
			require.NoError(t, halt(l, p.ID, 1, Halt{Cause: Conflict, Detail: "d"}))
		case 5:
			require.NoError(t, acknowledge(l, p.ID, 1, 10))
			require.NoError(t, wait(func(done func(error)) { l.Deliver(p.ID, 1, done) }))
			require.NoError(t, retire(l, p.ID, 1, 10))
		}
	}
	require.NoError(t, l.Close())
	content, err = os.ReadFile(path)
	require.NoError(t, err)
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	m, err := newestMeta(file, int64(len(content)))
	require.NoError(t, err)
	return content[:m.high*m.pageSize]
}

// survey opens a ledger in both ways, reads everything and writes. It opens with an error or passes Check.
func survey(t *testing.T, path string, most int) {
	t.Helper()
	bounded(t, most, func() {
		r, err := OpenReadOnly(path)
		if err == nil {
			defer r.Close()
			if _, err := r.Check(); err != nil {
				require.True(t, isDamage(err), "%v", err)
			}
			if _, err := stateOf(r); err != nil {
				require.True(t, isDamage(err), "%v", err)
			}
			require.NoError(t, r.Close())
		} else {
			require.True(t, isDamage(err), "%v", err)
		}
		l, err := Open(path, small)
		if err != nil {
			require.True(t, isDamage(err), "%v", err)
			return
		}
		defer l.Close()
		violations, err := l.Check()
		require.NoError(t, err)
		for _, v := range violations { // opening doesn't read frozen rows
			require.Contains(t, v.Text, "rows at")
		}
		_, err = stateOf(l)
		require.NoError(t, err)
		if p, err := openEpoch(l, opening("new", Replayable)); err == nil {
			require.NoError(t, bind(l, p.ID, 1, batch(0, 0, 5)))
		}
		require.NoError(t, l.Close())
	})
}

// damage applies edits of eight bytes each: what, where (three bytes), with what (four bytes).
func damage(content, edits []byte) []byte {
	b := append([]byte(nil), content...)
	for ; len(edits) >= 8 && len(b) > 0; edits = edits[8:] {
		at := int(edits[1])<<16 | int(edits[2])<<8 | int(edits[3])
		value := binary.LittleEndian.Uint32(edits[4:])
		at %= len(b)
		page, other := at&^4095, int(value)%len(b)&^4095
		switch edits[0] % 8 {
		case 0:
			b[at] = byte(value)
		case 1:
			b[at] ^= byte(value)
		case 2:
			copy(b[at:], edits[4:8])
		case 3:
			copy(b[at&^7:], binary.LittleEndian.AppendUint64(nil, uint64(value)))
		case 4:
			b = b[:at]
		case 5:
			copy(b[page:min(page+4096, len(b))], b[other:])
		case 6:
			clear(b[page:min(page+4096, len(b))])
		case 7:
			repairMeta(b, page)
		}
	}
	return b
}

// repairMeta makes the checksum of the meta page at right.
func repairMeta(b []byte, at int) {
	if at+pageHeader+metaSum+8 > len(b) {
		return
	}
	meta := b[at+pageHeader:]
	sum := fnv.New64a()
	sum.Write(meta[:metaSum])
	order.PutUint64(meta[metaSum:], sum.Sum64())
}

// If it fails, a ledger on a failing disk takes its process down, stops it for good, or is believed.
func FuzzFile(f *testing.F) {
	path := filepath.Join(shm(f), "test.ledger")
	content := busyLedger(f, path)
	f.Add([]byte{}) // testdata/fuzz has some kinds of damage by name
	f.Fuzz(func(t *testing.T, edits []byte) {
		require.NoError(t, os.WriteFile(path, damage(content, edits), 0o600))
		survey(t, path, 64<<20)
	})
}

// If it fails, records that are whole and contradict one another are believed, or take the process down.
func FuzzContents(f *testing.F) {
	path := filepath.Join(shm(f), "test.ledger")
	content := busyLedger(f, path)
	addRecords(f)
	f.Fuzz(func(t *testing.T, kind uint8, key, body []byte) {
		if len(key) == 0 || len(key) > bbolt.MaxKeySize {
			return
		}
		k := recordKinds[int(kind)%len(recordKinds)]
		require.NoError(t, os.WriteFile(path, content, 0o600))
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, NoSync: true, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
		require.NoError(t, err)
		require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
			if len(body) == 0 {
				return tx.Bucket(k.bucket).Delete(key)
			}
			return tx.Bucket(k.bucket).Put(key, appendSum(body[:len(body):len(body)], 0, k.tag, key))
		}))
		require.NoError(t, db.Close())
		survey(t, path, 64<<20+100*len(body))
	})
}

// If it fails, rows that are not those of a batch are sent in its place, or a damaged segment takes the process down.
func FuzzFrame(f *testing.F) {
	name := filepath.Join(shm(f), "segment")
	segment, err := os.Create(name)
	require.NoError(f, err)
	p := Payload{Segment: 1, Length: frameHeader + 20, Frame: 5}
	require.NoError(f, writeFrame(segment, 7, p, make([]byte, 20), 2))
	require.NoError(f, segment.Close())
	whole, err := os.ReadFile(name)
	require.NoError(f, err)
	f.Add(whole[:p.Length], int64(0), p.Length, uint64(7), p.Frame, false)
	f.Fuzz(func(t *testing.T, b []byte, offset, length int64, ledger, number uint64, repair bool) {
		if repair && offset >= 0 && length >= frameHeader && length <= int64(len(b)) && offset <= int64(len(b))-length {
			b = append([]byte(nil), b...)
			frame := b[offset : offset+length]
			sum := crc32.Update(0, castagnoli, frame[:frameSum])
			binary.LittleEndian.PutUint32(frame[frameSum:], crc32.Update(sum, castagnoli, frame[frameHeader:]))
		}
		require.NoError(t, os.WriteFile(name, b, 0o600))
		segment, err := os.Open(name)
		require.NoError(t, err)
		defer segment.Close()
		bounded(t, 1<<20+2*len(b), func() {
			p := Payload{Segment: 1, Offset: offset, Length: length, Frame: number}
			content, _, err := readFrame(segment, int64(len(b)), ledger, p)
			if err != nil {
				return
			}
			require.Equal(t, b[offset+frameHeader:offset+length], content)
			require.Equal(t, ledger, binary.LittleEndian.Uint64(b[offset+8:]))
			require.Equal(t, number, binary.LittleEndian.Uint64(b[offset+16:]))
		})
	})
}

// If it fails, a companion file of any contents passes for the one that this ledger wrote, or is read without end.
func FuzzCompanion(f *testing.F) {
	path := filepath.Join(shm(f), "test.ledger")
	f.Add(companionText(7, 300), uint64(7))
	f.Add(companionText(8, 300), uint64(7))
	f.Fuzz(func(t *testing.T, text []byte, id uint64) {
		require.NoError(t, os.WriteFile(companionPath(path), text, 0o600))
		bounded(t, 1<<20, func() {
			incarnation, found, err := readCompanion(path, id)
			require.NoError(t, err)
			if found {
				require.Equal(t, string(companionText(id, incarnation)), string(text))
			}
		})
	})
}

// If it fails, a companion file that has grown takes all the memory of whoever opens the ledger.
func TestCompanionIsReadWithinBounds(t *testing.T) {
	path := newPath(t)
	require.NoError(t, os.WriteFile(companionPath(path), companionText(7, 3), 0o600))
	require.NoError(t, os.Truncate(companionPath(path), 1<<30))
	bounded(t, 1<<20, func() {
		_, found, err := readCompanion(path, 7)
		require.NoError(t, err)
		require.False(t, found)
	})
}
