package source

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
)

// A token's bytes are in ledgers: if they changed, files that are half loaded could not be resumed.
func TestTokenIsFixed(t *testing.T) {
	p := Position{Offset: 0x1122334455, Lines: 0x42, Rows: 0x41, Sum: [16]byte{0: 0xaa, 15: 0xbb}, Cut: true}
	token := p.Token()
	require.Equal(t, "0101"+"0000001122334455"+"0000000000000042"+"0000000000000041"+"aa0000000000000000000000000000bb",
		hex.EncodeToString(token))
	back, err := ParsePosition(token)
	require.NoError(t, err)
	require.Equal(t, p, back)
	require.Equal(t, "line 66, byte 73588229205", p.String())

	require.Nil(t, Position{}.Token())
	start, err := ParsePosition(nil)
	require.NoError(t, err)
	require.Equal(t, Position{}, start)
	require.Equal(t, "start", start.String())
}

// Another source's token must not be taken for a file's: rows would be skipped.
func TestParsePositionRefuses(t *testing.T) {
	good := Position{Offset: 10, Lines: 2, Rows: 1}.Token()
	change := func(at int, to byte) []byte {
		b := append([]byte{}, good...)
		b[at] = to
		return b
	}
	for name, token := range map[string][]byte{
		"newer version": change(0, 2), "unknown flag": change(1, 2), "short": good[:41], "long": append(change(0, 1), 0),
		"negative offset": change(2, 0x80), "no offset": change(9, 0), "more rows than lines": change(25, 3),
		"more lines than bytes": change(17, 11), "text": []byte("offset 17"),
	} {
		_, err := ParsePosition(token)
		require.ErrorIs(t, err, ErrPosition, name)
	}
}

// Whatever the ledger holds, parsing must not panic, and must be the inverse of Token.
func FuzzParsePosition(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(Position{Offset: 10, Lines: 2, Rows: 1, Cut: true}.Token())
	f.Fuzz(func(t *testing.T, token []byte) {
		p, err := ParsePosition(token)
		require.NotEmpty(t, PositionText(token)) // for any source's positions
		if err != nil {
			require.ErrorIs(t, err, ErrPosition)
			return
		}
		require.Equal(t, len(token), len(p.Token()))
		require.Equal(t, append([]byte{}, token...), append([]byte{}, p.Token()...))
	})
}

// The same for logs; and neither is taken for the other.
func TestLogTokenIsFixed(t *testing.T) {
	p := LogPosition{File: 3, Offset: 0x1122334455, Inode: 7, Written: 9, Head: [16]byte{0: 0xaa}, Joint: [16]byte{15: 0xbb}}
	token := p.Token()
	require.Equal(t, "02"+"0000000000000003"+"0000001122334455"+"0000000000000007"+"0000000000000009"+
		"aa000000000000000000000000000000"+"000000000000000000000000000000bb", hex.EncodeToString(token))
	back, err := ParseLogPosition(token)
	require.NoError(t, err)
	require.Equal(t, p, back)
	require.Equal(t, "file 3, byte 73588229205", PositionText(token))
	require.Nil(t, LogPosition{File: 1}.Token())

	_, err = ParsePosition(token)
	require.ErrorIs(t, err, ErrPosition)
	for _, bad := range [][]byte{token[:40], append([]byte{1}, token[1:]...), append([]byte{2}, make([]byte, logSize-1)...)} {
		_, err := ParseLogPosition(bad)
		require.ErrorIs(t, err, ErrPosition)
	}
	require.Positive(t, LogPosition{File: 2, Offset: 1}.Compare(LogPosition{File: 1, Offset: 9}))
	require.Negative(t, LogPosition{File: 1, Offset: 1}.Compare(LogPosition{File: 1, Offset: 9}))
}
