package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// contradiction is a partition with one intent, to be written past the checks.
type contradiction struct {
	p  Partition
	in Intent
}

func (c *contradiction) write(t *testing.T, path string) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		key := partitionKey(c.p.Key)
		if err := tx.Bucket(partitionBucket).Put(key, appendPartition(nil, key, &c.p)); err != nil {
			return err
		}
		k := makeNumbers(1, c.in.Number)
		return tx.Bucket(intentBucket).Put(k[:], appendIntent(nil, &k, &c.in))
	}))
	require.NoError(t, db.Close())
}

func segmentFiles(t *testing.T, l *Ledger) []string {
	names, err := filepath.Glob(l.Path() + ".segments/*")
	require.NoError(t, err)
	return names
}

// rowsOf makes the rows of batch i; they differ for each i.
func rowsOf(i int64) [][]byte {
	return [][]byte{fmt.Appendf(nil, "row one of %d", i), {}, make([]byte, 5000+i%50)}
}

func freezeAndBind(t testing.TB, l *Ledger, p Partition, i int64) Intent {
	t.Helper()
	payload, err := freeze(l, rowsOf(i))
	require.NoError(t, err)
	in := Intent{Number: uint64(i*3 + 3), Start: i * 3, Rows: 3, Of: 3, Digest: DigestOf(rowsOf(i)), Schema: schema, Payload: payload}
	require.NoError(t, bind(l, p.ID, p.Epoch, in))
	return in
}

// Frozen rows are the only copy there is. They must be there after a reopening, and
// their places must be used again once they are acknowledged, and not before.
func TestFrozenRows(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, small)
	p := mustOpenEpoch(t, l, "a", Frozen)
	const window = 12 // 8 KiB each: more than one segment of 64 KiB
	var open []Intent
	for i := range int64(300) {
		open = append(open, freezeAndBind(t, l, p, i))
		if len(open) > window {
			require.NoError(t, acknowledge(l, p.ID, 1, open[0].End()))
			open = open[1:]
		}
		if i%60 == 59 {
			require.NoError(t, l.Close())
			l = mustOpen(t, path, small)
			_, stored, err := l.Partition(p.Key)
			require.NoError(t, err)
			require.Equal(t, open, stored)
		}
		for _, in := range open {
			rows, err := thaw(l, in.Payload)
			require.NoError(t, err)
			require.Equal(t, rowsOf(in.Start/3), rows)
		}
	}
	requireSound(t, l)
	require.LessOrEqual(t, len(segmentFiles(t, l)), 6, "segments are used again")
	require.NoError(t, acknowledge(l, p.ID, 1, open[len(open)-1].End()))
	require.NoError(t, l.Close())
	l = mustOpen(t, path, &Options{SegmentBytes: 128 << 10})
	require.Empty(t, segmentFiles(t, l), "segments of another size go when nothing refers to them")
}

// A divided batch's payload must stay until the last part has landed.
func TestSplitPayloadIsKept(t *testing.T) {
	l := mustOpen(t, newPath(t), small)
	p := mustOpenEpoch(t, l, "a", Frozen)
	in := freezeAndBind(t, l, p, 0)
	require.NoError(t, seal(l, p.ID, 1, Seal{Successor: "s2", Reason: TooLarge}))
	one, two := in, in
	one.Number, one.Rows = 1, 1
	two.Start, two.From, two.Rows = 1, 1, 2
	p, err := settle(l, p.ID, 1, Settlement{Rest: []Intent{one, two}})
	require.NoError(t, err)
	require.NoError(t, acknowledge(l, p.ID, 2, 1))
	l.Release(in.Payload) // not the caller's any more: changes nothing
	for i := range int64(20) {
		payload, err := freeze(l, rowsOf(i))
		require.NoError(t, err)
		l.Release(payload)
	}
	rows, err := thaw(l, in.Payload)
	require.NoError(t, err)
	require.Equal(t, rowsOf(0), rows)
	require.NoError(t, acknowledge(l, p.ID, 2, 3))
	l.segments.mu.Lock()
	require.Empty(t, l.segments.refs)
	l.segments.mu.Unlock()
}

// If it fails, a place is used again before the acknowledgement that frees it is on disk: after a crash in between the
// intent is still open, and its rows, the only copy, are another batch's.
func TestPlaceIsFreeAfterTheCommit(t *testing.T) {
	l := mustOpen(t, newPath(t), small)
	p := mustOpenEpoch(t, l, "a", Frozen)
	in := freezeAndBind(t, l, p, 0)
	var meanwhile []byte
	var failed error
	l.hooks.commit = func(step func() error) error { // read by the committer after the next submission
		if other, err := l.Freeze(make([]byte, 100), 1); err == nil {
			l.Release(other)
		}
		meanwhile, failed = l.Frozen(in.Payload)
		return step()
	}
	require.NoError(t, acknowledge(l, p.ID, 1, 3))
	require.NoError(t, failed)
	require.NotEmpty(t, meanwhile)
}

// A released payload's place is used again at once, and its old frame is not taken
// for the new one: their checksums are both right.
func TestStaleFrame(t *testing.T) {
	l := mustOpen(t, newPath(t), small)
	mustOpenEpoch(t, l, "a", Frozen)
	old, err := freeze(l, [][]byte{[]byte("old")})
	require.NoError(t, err)
	l.Release(old)
	fresh, err := freeze(l, [][]byte{[]byte("new")})
	require.NoError(t, err)
	require.Equal(t, old.Offset, fresh.Offset)
	require.Equal(t, old.Length, fresh.Length)
	_, err = thaw(l, old)
	require.ErrorIs(t, err, ErrCorrupt)
	rows, err := thaw(l, fresh)
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("new")}, rows)
	_, err = freeze(l, [][]byte{make([]byte, 64<<10)})
	require.ErrorContains(t, err, "don't fit a segment of 65536 bytes")
}

// Every byte of a frame counts; damage must be found by Rows and by Check, since
// the rows would be sent as they are.
func TestDamagedFrames(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, small)
	p := mustOpenEpoch(t, l, "a", Frozen)
	freezeAndBind(t, l, p, 0)
	in := freezeAndBind(t, l, p, 1)
	require.NoError(t, l.Close())
	l = mustOpen(t, path, small)
	f, err := os.OpenFile(segmentFiles(t, l)[0], os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	flip := func(at int64) {
		var b [1]byte
		_, err := f.ReadAt(b[:], in.Payload.Offset+at)
		require.NoError(t, err)
		b[0] ^= 0x10
		_, err = f.WriteAt(b[:], in.Payload.Offset+at)
		require.NoError(t, err)
	}
	for at := int64(0); at < in.Payload.Length; at += 1 + at/40 {
		flip(at)
		_, err := thaw(l, in.Payload)
		require.ErrorIs(t, err, ErrCorrupt)
		violations, err := l.Check()
		require.NoError(t, err)
		require.Len(t, violations, 1)
		require.Equal(t, p.Key, violations[0].Key)
		flip(at)
	}
	requireSound(t, l)
	require.NoError(t, f.Truncate(in.Payload.Offset))
	_, err = thaw(l, in.Payload)
	require.ErrorIs(t, err, ErrCorrupt)
	require.NoError(t, l.Close())
	require.NoError(t, os.Remove(f.Name()))
	l = mustOpen(t, path, small) // what has landed already needs no rows
	_, err = thaw(l, in.Payload)
	require.ErrorIs(t, err, ErrCorrupt)
	violations, err := l.Check()
	require.NoError(t, err)
	require.Len(t, violations, 2)
	require.NoError(t, acknowledge(l, p.ID, 1, 6))
	freezeAndBind(t, l, p, 2)
	requireSound(t, l)
}

// Partitions freeze at the same time; a place given twice would mix their rows.
func TestFreezeTogether(t *testing.T) {
	l := mustOpen(t, newPath(t), small)
	var wg sync.WaitGroup
	for n := range 6 {
		p := mustOpenEpoch(t, l, fmt.Sprint(n), Frozen)
		wg.Go(func() {
			for i := range int64(40) {
				payload, err := freeze(l, rowsOf(i))
				if err != nil {
					panic(err)
				}
				in := Intent{Number: uint64(i*3 + 3), Start: i * 3, Rows: 3, Of: 3, Digest: DigestOf(rowsOf(i)), Schema: schema, Payload: payload}
				if err := bind(l, p.ID, 1, in); err != nil {
					panic(err)
				}
				if i >= 4 {
					if err := acknowledge(l, p.ID, 1, (i-3)*3); err != nil {
						panic(err)
					}
				}
			}
		})
	}
	wg.Wait()
	requireSound(t, l)
	for n := range 6 {
		_, open, err := l.Partition(key(fmt.Sprint(n)))
		require.NoError(t, err)
		require.Len(t, open, 4)
		for _, in := range open {
			rows, err := thaw(l, in.Payload)
			require.NoError(t, err)
			require.Equal(t, in.Digest, DigestOf(rows))
		}
	}
}
