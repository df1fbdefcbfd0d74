package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// keepWriting binds and acknowledges for ever, and prints the end of each batch
// once it is bound durably.
func keepWriting(l *Ledger) error {
	p, open, err := l.Partition(key("a"))
	if err != nil {
		return err
	}
	for i := p.Next / 3; ; i++ {
		payload, err := freeze(l, rowsOf(i))
		if err != nil {
			return err
		}
		in := Intent{Number: uint64(i*3 + 3), Start: i * 3, Rows: 3, Of: 3, Digest: DigestOf(rowsOf(i)), Schema: schema, Payload: payload}
		if err := bind(l, p.ID, 1, in); err != nil {
			return err
		}
		fmt.Println(in.End())
		if open = append(open, in); len(open) > 6 {
			if err := acknowledge(l, p.ID, 1, open[0].End()); err != nil {
				return err
			}
			open = open[1:]
		}
	}
}

// A process that is killed at any moment leaves a ledger that opens, is not
// suspicious, and holds all that was reported durable, with its rows.
func TestKilled(t *testing.T) {
	path := newPath(t)
	l := mustOpen(t, path, small)
	p := mustOpenEpoch(t, l, "a", Frozen)
	owner := l.Identity()
	require.NoError(t, l.Close())
	random := rand.New(rand.NewPCG(3, 4))
	for range 12 {
		child, _, out := startChild(t, "write", path)
		durable := int64(0)
		for range 1 + random.IntN(60) {
			require.True(t, out.Scan())
			_, err := fmt.Sscan(out.Text(), &durable)
			require.NoError(t, err, out.Text())
		}
		require.NoError(t, child.Process.Kill())
		for out.Scan() {
			_, _ = fmt.Sscan(out.Text(), &durable) // the last line may be cut short
		}
		require.Error(t, child.Wait())

		l := mustOpen(t, path, small)
		require.Equal(t, owner, l.Identity())
		got, open, err := l.Partition(p.Key)
		require.NoError(t, err)
		require.GreaterOrEqual(t, got.Next, durable)
		for _, in := range open {
			rows, err := thaw(l, in.Payload)
			require.NoError(t, err)
			require.Equal(t, rowsOf(in.Start/3), rows)
		}
		requireSound(t, l)
		require.NoError(t, l.Close())
	}
}
