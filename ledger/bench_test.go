package ledger

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkBindAcknowledge: four partitions with windows of 64 intents; one
// operation is one batch, bound and then acknowledged.
func BenchmarkBindAcknowledge(b *testing.B) {
	var commits atomic.Int64
	l := mustOpen(b, newPath(b), &Options{hooks: hooks{commit: func(step func() error) error {
		commits.Add(1)
		return step()
	}}})
	const partitions, window = 4, 64
	var parts [partitions]Partition
	for i := range parts {
		parts[i] = mustOpenEpoch(b, l, fmt.Sprint(i), Replayable)
	}
	digest := DigestOf(nil)
	b.ReportAllocs()
	commits.Store(0)
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() {
			id, position := parts[i].ID, []byte(nil)
			room := make(chan struct{}, window)
			acknowledged := func(err error) {
				if err != nil {
					panic(err)
				}
				<-room
			}
			for n := range int64(b.N / partitions) {
				room <- struct{}{}
				next := fmt.Appendf(nil, "file:%012d", n)
				in := Intent{Number: uint64(n), Start: n * 100, Rows: 100, Of: 100, Bytes: 10_000, Digest: digest,
					Before: position, After: next, Schema: schema, Encoder: 1}
				position = next
				end := in.End()
				l.Bind(id, 1, in, func(err error) {
					if err != nil {
						panic(err)
					}
					l.Acknowledge(id, 1, uint64(n), end, acknowledged)
				})
			}
			for range window {
				room <- struct{}{}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(commits.Load())/b.Elapsed().Seconds(), "commits/s")
}

// randomRows makes n rows of size bytes.
func randomRows(n, size int) [][]byte {
	source := rand.NewChaCha8([32]byte{})
	rows := make([][]byte, n)
	for i := range rows {
		rows[i] = make([]byte, size)
		source.Read(rows[i])
	}
	return rows
}

// BenchmarkFreeze: one batch of 500 rows of 2.5 KB, frozen, bound and acknowledged.
// The window is 8 batches, so that segments are used again.
func BenchmarkFreeze(b *testing.B) {
	for _, rows := range [][][]byte{randomRows(500, 2500), randomRows(1000, 100)} {
		b.Run(fmt.Sprintf("%dx%d", len(rows), len(rows[0])), func(b *testing.B) { benchmarkFreeze(b, rows) })
	}
}

func benchmarkFreeze(b *testing.B, rows [][]byte) {
	l := mustOpen(b, newPath(b), nil)
	p := mustOpenEpoch(b, l, "a", Frozen)
	n := int64(len(rows))
	b.SetBytes(n * int64(len(rows[0])))
	b.ReportAllocs()
	room := make(chan struct{}, 8)
	for i := range int64(b.N) {
		room <- struct{}{}
		payload, err := freeze(l, rows)
		require.NoError(b, err)
		in := Intent{Number: uint64(i), Start: i * n, Rows: n, Of: n, Schema: schema, Payload: payload}
		l.Bind(p.ID, 1, in, func(err error) {
			if err != nil {
				panic(err)
			}
			l.Acknowledge(p.ID, 1, in.Number, in.End(), func(error) { <-room })
		})
	}
	for range cap(room) {
		room <- struct{}{}
	}
}

// BenchmarkDigest: the digest of one batch.
func BenchmarkDigest(b *testing.B) {
	for _, rows := range [][][]byte{randomRows(500, 2500), randomRows(1000, 100)} {
		b.Run(fmt.Sprintf("%dx%d", len(rows), len(rows[0])), func(b *testing.B) {
			b.SetBytes(int64(len(rows) * len(rows[0])))
			b.ReportAllocs()
			for b.Loop() {
				DigestOf(rows)
			}
		})
	}
}
