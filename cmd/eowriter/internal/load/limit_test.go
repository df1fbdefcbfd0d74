package load

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A limit that is misread lets a wrong schema through, or stops a load that should go on.
func TestLimit(t *testing.T) {
	for text, c := range map[string]struct {
		limit Limit
		at    map[int64]int64 // rows read to allowed
		again string
	}{
		"0":     {Limit{}, map[int64]int64{0: 0, 1e6: 0}, "0"},
		"0%":    {Limit{}, map[int64]int64{0: 0, 1e6: 0}, "0"},
		"1000":  {Limit{Count: 1000}, map[int64]int64{0: 1000, 1e6: 1000}, "1000"},
		"1%":    {Limit{Share: 0.01}, map[int64]int64{0: 10, 1000: 10, 1001: 11, 1e6: 10_000}, "1%"},
		"0.5 %": {Limit{Share: 0.005}, map[int64]int64{0: 5, 1e6: 5000}, "0.5%"},
		"100%":  {Limit{Share: 1}, map[int64]int64{1e6: 1e6}, "100%"},
	} {
		var l Limit
		require.NoError(t, l.Set(text), text)
		require.Equal(t, c.limit, l, text)
		require.Equal(t, c.again, l.String())
		require.Equal(t, l.None(), l.most() == 0)
		for rows, allowed := range c.at {
			require.Equal(t, allowed, l.Allowed(rows), "%s of %d", text, rows)
		}
	}
	for _, text := range []string{"", "-1", "%", "1.5", "-1%", "101%", "NaN%", "1e30", "many", "9999999999999999999"} {
		require.Error(t, new(Limit).Set(text), text)
	}
}
