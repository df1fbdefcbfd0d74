package rows

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// Every byte at every place of a text of plain and of non-ASCII bytes, alone and followed by a quote.
// The eight-byte step is exact only in its lowest hit; if it weren't, a string would end early, late,
// or with a control character in it.
func TestSkipPlain(t *testing.T) {
	naive := func(b []byte, i int) (end int, high bool) {
		for ; i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\'; i++ {
			high = high || b[i] >= utf8.RuneSelf
		}
		return i, high
	}
	for _, filler := range []byte{'x', '!', '#', ' ', '[', ']', 0x7f, 0x80, 0xa2, 0xdc, 0xff} {
		for place := range 20 {
			for c := range 256 {
				for _, quote := range []int{19, min(place+1, 19)} {
					b := bytes.Repeat([]byte{filler}, 20)
					b[quote] = '"'
					b[place] = byte(c)
					for from := range 9 {
						end, high := skipPlain(b, from)
						wantEnd, wantHigh := naive(b, from)
						require.Equal(t, wantEnd, end, "%q from %d", b, from)
						require.True(t, high || !wantHigh, "%q from %d", b, from)
					}
				}
			}
		}
	}
}
