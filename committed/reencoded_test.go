package committed

import (
	"testing"

	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// If it fails, a batch that is encoded anew loses a row, sends one that the service has
// refused, or has a dead letter twice.
func TestReencoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const live, encoder, service = 0, 1, 2
		fate := func(what string, most int) []int {
			return rapid.SliceOfN(rapid.IntRange(0, most), 20, 20).Draw(t, what)
		}
		before, now := fate("before", service), fate("now", encoder)
		var in ledger.Intent
		var dead []ledger.Dead
		var given, want []int // input rows that the encoder makes rows of now, and those to be sent
		for row := range before {
			if before[row] != live {
				in.Dead = append(in.Dead, ledger.Dead{Row: int64(row), Service: before[row] == service})
			}
			if now[row] == encoder {
				dead = append(dead, ledger.Dead{Row: int64(row)})
				continue
			}
			given = append(given, row)
			if before[row] != service {
				want = append(want, row)
			}
		}
		reencoded(&in, int64(len(given)), dead)
		require.EqualValues(t, len(want), in.Of)
		var sent []int
		for i, without := 0, in.Without; i < len(given); i++ {
			if len(without) > 0 && without[0] == int64(i) {
				without = without[1:]
				continue
			}
			sent = append(sent, given[i])
		}
		require.Equal(t, want, sent)
		var buried []ledger.Dead
		for row := range before {
			if now[row] == encoder || before[row] == service {
				buried = append(buried, ledger.Dead{Row: int64(row), Service: now[row] != encoder})
			}
		}
		require.Equal(t, buried, append([]ledger.Dead(nil), in.Dead...))
		require.IsNonDecreasing(t, append([]int64{0}, in.Without...))
	})
}
