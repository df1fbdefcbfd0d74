package powerloss

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// escaped writes the quoted strings and paths of a readable log as strace does.
func escaped(log string) string {
	var b strings.Builder
	inside := false
	for _, r := range log {
		switch {
		case r == '"' || r == '«' || r == '»':
			inside = r == '«' || r == '"' && !inside
			b.WriteRune(map[rune]rune{'"': '"', '«': '<', '»': '>'}[r])
		case inside:
			b.WriteString(`\x`)
			b.WriteByte("0123456789abcdef"[r>>4&15])
			b.WriteByte("0123456789abcdef"[r&15])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// If it fails, recordings are not what happened.
func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		log  string
		want []Event
		err  string
	}{
		"a file is made and written": {log: `1 openat(AT_FDCWD«/», "/d/l", O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0600) = 8«/d/l»
1 write(8«/d/l», "abc", 3) = 3
1 write(8«/d/l», "de", 2) = 2
1 pwrite64(8«/d/l», "xy", 2, 4096) = 2
1 pwritev(8«/d/l», [{iov_base="a", iov_len=1}, {iov_base="", iov_len=0}, {iov_base="b", iov_len=1}], 3, 8192) = 2
1 fallocate(8«/d/l», 0, 0, 65536) = 0
1 fdatasync(8«/d/l») = 0`, want: []Event{
			{Kind: Create, Call: 1, Name: "l"}, {Kind: Ended, Call: 1, N: 8},
			{Kind: Write, Call: 2, Name: "l", Data: []byte("abc")}, {Kind: Ended, Call: 2, N: 3},
			{Kind: Write, Call: 3, Name: "l", Data: []byte("de"), Offset: 3}, {Kind: Ended, Call: 3, N: 2},
			{Kind: Write, Call: 4, Name: "l", Data: []byte("xy"), Offset: 4096}, {Kind: Ended, Call: 4, N: 2},
			{Kind: Write, Call: 5, Name: "l", Data: []byte("ab"), Offset: 8192}, {Kind: Ended, Call: 5, N: 2},
			{Kind: Resize, Call: 6, Name: "l", Offset: 65536}, {Kind: Ended, Call: 6},
			{Kind: Sync, Call: 7, Name: "l"}, {Kind: Ended, Call: 7},
		}},
		"names": {log: `1 mkdirat(AT_FDCWD«/», "/d/s", 0700) = 0
1 linkat(AT_FDCWD«/», "/d/a", AT_FDCWD«/», "/d/b", 0) = 0
1 renameat(AT_FDCWD«/», "/d/b", AT_FDCWD«/», "/d/c") = 0
1 unlinkat(AT_FDCWD«/», "/d/c", 0) = -1 ENOENT (No such file or directory)
1 fsync(3«/d») = 0`, want: []Event{
			{Kind: Mkdir, Call: 1, Name: "s"}, {Kind: Ended, Call: 1},
			{Kind: Link, Call: 2, Name: "a", To: "b"}, {Kind: Ended, Call: 2},
			{Kind: Rename, Call: 3, Name: "b", To: "c"}, {Kind: Ended, Call: 3},
			{Kind: Remove, Call: 4, Name: "c"}, {Kind: Ended, Call: 4, N: -1},
			{Kind: Sync, Call: 5}, {Kind: Ended, Call: 5},
		}},
		"a write to a place that is not known": {log: `1 write(4«/d/c», "a", 1) = 1`, err: "a place that is not known"},
		"killed too early to be known":         {log: `2 ???( <detached ...>`, err: errUnseen.Error()},
		"killed in its arguments":              {log: `2 fallocate(8«/d/s/1», 0, 0`, err: errUnseen.Error()},
		"two threads": {log: `1 fsync(3«/d» <unfinished ...>
2 unlinkat(AT_FDCWD«/», "/d/c", 0) = -1 ENOENT (No such file or directory)
1 <... fsync resumed>) = 0`, want: []Event{
			{Kind: Sync, Call: 1}, {Kind: Remove, Call: 2, Name: "c"}, {Kind: Ended, Call: 2, N: -1}, {Kind: Ended, Call: 1},
		}},
		"killed": {log: `1 fsync(3«/d» <unfinished ...>
2 fdatasync(4«/d/c») = ?
1 <... fsync resumed>) = ?
1 +++ killed by SIGKILL +++`, want: []Event{{Kind: Sync, Call: 1}, {Kind: Sync, Call: 2, Name: "c"}}},
		"a name that was lost": {log: `1 pwrite64(4«/d/c»(deleted), "a", 1, 0) = 1`, want: []Event{
			{Kind: Write, Call: 1, Name: "c(deleted)", Data: []byte("a")}, {Kind: Ended, Call: 1, N: 1},
		}},
		"notes": {log: `1 write(1«/dev/null», "note", 4) = 4`, want: []Event{{Kind: Note, Text: "note"}}},
		"elsewhere": {log: `1 openat(AT_FDCWD«/», "/else", O_RDWR|O_CREAT, 0600) = 8«/else»
1 write(8«/else», "abc", 3) = 3
1 openat(AT_FDCWD«/», "/d/l", O_RDONLY) = 8«/d/l»`},
		"a call that is not known": {log: `1 truncate("/d/l", 4) = 0`, err: "not known"},
		"an unknown way to open":   {log: `1 openat(AT_FDCWD«/», "/d/l", O_RDWR|O_TRUNC) = 8«/d/l»`, err: "not known"},
		"an unknown way to write":  {log: `1 writev(8«/d/l», [{iov_base="a", iov_len=1}], 1) = 1`, err: "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(strings.NewReader(escaped(c.log)), "/d", 0)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}
