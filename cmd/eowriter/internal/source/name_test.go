package source

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// Names must be readable where they can be: people look for them in ledger show.
func TestPartitionName(t *testing.T) {
	for _, c := range []struct{ prefix, base, want string }{
		{"", "flights-2013-01.ndjson.gz", "flights-2013-01.ndjson.gz"},
		{"y/", "Flüge 100%.ndjson", "y/Flüge 100%25.ndjson"},
		{"", "a\nb\xff\u0085", "a%0Ab%FF%C2%85"},
		{"", "-", "-"},
		{"", strings.Repeat("a", 200), strings.Repeat("a", 200)},
	} {
		require.Equal(t, c.want, PartitionName(c.prefix, c.base))
		require.Equal(t, c.prefix+c.base, DisplayName(c.want))
	}
	require.Equal(t, "100%", DisplayName("100%"), "not PartitionName's: as it is")
	require.Equal(t, "a b", Printable("a b"))
	require.Equal(t, `"\x1b[31m"`, Printable("\x1b[31m"))
}

// Any file name must make a name that the ledger takes, two names never the same one, and it must be shown as it was:
// two files in one partition would lose the second one's rows.
func FuzzPartitionName(f *testing.F) {
	f.Add("flights.ndjson", "flights%2Endjson")
	f.Add(strings.Repeat("ü", 150), strings.Repeat("ü", 151))
	f.Add(strings.Repeat("%", 255), "\x00\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		name := PartitionName("", a)
		require.LessOrEqual(t, len(name), 200)
		require.True(t, utf8.ValidString(name))
		require.False(t, strings.ContainsFunc(name, unicode.IsControl))
		require.Equal(t, a == b, name == PartitionName("", b))
		if !strings.Contains(name, "%~") {
			require.Equal(t, a, DisplayName(name))
		}
	})
}
