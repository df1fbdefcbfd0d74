package tail

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// rest takes all lines, unfit ones as "!".
func rest(t require.TestingT, r *reader) (got []string) {
	for {
		line, err := r.Peek()
		if unfit := (*lines.Unfit)(nil); errors.As(err, &unfit) {
			line = []byte("!")
		} else if err == io.EOF {
			return got
		} else {
			require.NoError(t, err)
		}
		got = append(got, string(line))
		r.Advance()
	}
}

// Lines must be cut at newlines wherever reads end, what isn't whole must wait, and a line without an end must not fill
// the memory or stop the rest.
func TestReader(t *testing.T) {
	long := strings.Repeat("x", MaxLine)
	for name, c := range map[string]struct {
		text  string
		final bool
		want  []string
		left  int // bytes behind the last line
	}{
		"lines":                      {"a\nb\r\n\n \t\nc\n", false, []string{"a\n", "b\r\n", "c\n"}, 0},
		"not whole":                  {"a\nb", false, []string{"a\n"}, 1},
		"complete":                   {"a\nb", true, []string{"a\n", "b"}, 0},
		"zeros":                      {"\x00\x00a\n\x00b\n", false, []string{"a\n", "b\n"}, 0},
		"as long as may be":          {long[1:] + "\na\n", false, []string{long[1:] + "\n", "a\n"}, 0},
		"too long":                   {"a\n" + long + "\nb\n", false, []string{"a\n", "!", "b\n"}, 0},
		"far too long":               {long + long + "\nb\n", false, []string{"!", "b\n"}, 0},
		"too long and not whole":     {"a\n" + long + long, false, []string{"a\n"}, 2 * MaxLine},
		"too long, and then the end": {"a\n" + long + long, true, []string{"a\n", "!"}, 0},
		"nothing but blank lines":    {"\n \n", true, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := &reader{r: strings.NewReader(c.text), end: -1, final: c.final}
			require.Equal(t, c.want, rest(t, r))
			require.Equal(t, int64(len(c.text)-c.left), r.seen.offset)
			require.LessOrEqual(t, cap(r.memory), 3*MaxLine)
			want, err := load(strings.NewReader(c.text), r.seen.offset)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want.head, r.seen.head) && bytes.Equal(want.joint, r.seen.joint))
		})
	}
}

// What is seen must not depend on how it was read: a position would not be found again.
func TestPropertySeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := bytes.Repeat([]byte(rapid.StringMatching(`[a-z]{1,9}`).Draw(t, "text")), rapid.IntRange(1, 900).Draw(t, "times"))
		var s seen
		for left := text; len(left) > 0; {
			n := rapid.IntRange(1, len(left)).Draw(t, "n")
			s.add(left[:n])
			left = left[n:]
			want, err := load(bytes.NewReader(text), s.offset)
			require.NoError(t, err)
			require.True(t, bytes.Equal(want.head, s.head) && bytes.Equal(want.joint, s.joint))
			isThere, err := s.in(bytes.NewReader(text[:s.offset]))
			require.NoError(t, err)
			require.True(t, isThere)
			isThere, err = s.in(bytes.NewReader(text[:s.offset-1]))
			require.NoError(t, err)
			require.False(t, isThere)
		}
	})
}
