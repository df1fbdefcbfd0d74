package source

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const sample = "{\"a\":1}\n\n  \r\n{\"a\":2}\r\n{\"a\":3}\n   \n{\"a\":4}"

// write puts text into a file of this name, compressed as the name says.
func write(t *testing.T, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch filepath.Ext(name) {
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".zst":
		z, err := zstd.NewWriter(&b)
		require.NoError(t, err)
		w = z
	}
	if w == nil {
		b.WriteString(text)
	} else {
		_, err := io.WriteString(w, text)
		require.NoError(t, err)
		require.NoError(t, w.Close())
	}
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	return path
}

func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(f.Close)
	return f
}

// rest takes all rows that are left and the position after each.
func rest(t *testing.T, f *File) (lines []string, after []Position) {
	t.Helper()
	for {
		line, err := f.Peek()
		if err == io.EOF {
			return lines, after
		}
		require.NoError(t, err)
		lines = append(lines, string(line))
		f.Advance()
		after = append(after, f.Position())
	}
}

var names = []string{"a.ndjson", "a.ndjson.gz", "a.ndjson.zst"}

// Reading from any position on must give what was left, and reading between any two positions what lies between, in
// each encoding: otherwise a resumed load would lose rows or bring them twice.
func TestResumeAtEveryRow(t *testing.T) {
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			path := write(t, name, sample)
			lines, after := rest(t, open(t, path))
			require.Equal(t, []string{"{\"a\":1}\n", "{\"a\":2}\r\n", "{\"a\":3}\n", "{\"a\":4}"}, lines)
			require.Equal(t, int64(len(sample)), after[3].Offset)
			require.Equal(t, int64(7), after[3].Lines)
			require.True(t, after[3].Cut)
			positions := append([]Position{{}}, after...)
			for i, from := range positions {
				f := open(t, path)
				require.NoError(t, f.Skip(context.Background(), from))
				require.Equal(t, from.Offset, f.Position().Offset)
				left, reached := rest(t, f)
				require.Equal(t, lines[i:], append([]string{}, left...))
				require.Equal(t, after[i:], append([]Position{}, reached...))
			}
			r := NewReplayer(path)
			defer r.Close()
			for i := range positions {
				for j := i; j < len(positions); j++ { // also backwards: every i starts over
					got := []string{}
					require.NoError(t, r.Lines(positions[i], positions[j], func(line []byte, _ int64) error {
						got = append(got, string(line))
						return nil
					}))
					require.Equal(t, lines[i:j], got)
				}
			}
		})
	}
}

// A file that isn't the one that was loaded must be noticed, whatever was done to it: rows would be lost or loaded
// twice otherwise. Lines that were added at its end are welcome.
func TestSkipNoticesChanges(t *testing.T) {
	_, after := rest(t, open(t, write(t, "a.ndjson", "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n")))
	_, cut := rest(t, open(t, write(t, "a.ndjson", "{\"a\":1}\n{\"a\":2}")))
	for _, c := range []struct {
		what, text string
		at         Position
		want       string
	}{
		{"same", "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n", after[1], ""},
		{"longer", "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a\":4}\n", after[2], ""},
		{"other rows behind", "{\"a\":1}\n{\"a\":2}\n{\"b\":9}\n", after[1], ""},
		{"first byte", "[\"a\":1}\n{\"a\":2}\n{\"a\":3}\n", after[1], "have changed"},
		{"swapped", "{\"a\":2}\n{\"a\":1}\n{\"a\":3}\n", after[1], "have changed"},
		{"truncated", "{\"a\":1}\n{\"a\":", after[1], "ends after 13 bytes, but 16 were loaded (2 lines)"},
		{"empty", "", after[0], "ends after 0 bytes"},
		{"last line ended since", "{\"a\":1}\n{\"a\":2}\n{\"a\":3}", cut[1], ""},
		{"last line ended since, with a carriage return", "{\"a\":1}\n{\"a\":2}\r\n{\"a\":3}", cut[1], ""},
		{"last line goes on", "{\"a\":1}\n{\"a\":2}3", cut[1], "line 2, which was loaded without a newline at its end, goes on"},
	} {
		for _, name := range names {
			t.Run(c.what+" "+name, func(t *testing.T) {
				f := open(t, write(t, name, c.text))
				err := f.Skip(context.Background(), c.at)
				if c.want == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorIs(t, err, ErrChanged)
				require.ErrorContains(t, err, c.want)
				require.ErrorContains(t, err, name)
			})
		}
	}
}

// The number of a line is what the user looks for in an editor: it must count blank lines, and not count a newline that
// was added to the last line since.
func TestLineNumbers(t *testing.T) {
	_, cut := rest(t, open(t, write(t, "a.ndjson", "\n1")))
	f := open(t, write(t, "a.ndjson", "\n1\n\n2\n"))
	require.NoError(t, f.Skip(context.Background(), cut[0]))
	_, err := f.Peek()
	require.NoError(t, err)
	require.Equal(t, int64(4), f.Line())
}

// A replay must not take what follows its range: rows would be bound to offsets of other rows.
func TestReplayerRefusesAnotherFile(t *testing.T) {
	_, after := rest(t, open(t, write(t, "a.ndjson", "11\n22\n33\n")))
	none := func([]byte, int64) error { return nil }
	for text, want := range map[string]string{
		"11\n2":        "ends after 4 bytes",
		"11\n222\n3\n": "line 2 doesn't end where it did",
	} {
		r := NewReplayer(write(t, "a.ndjson", text))
		err := r.Lines(after[0], after[1], none)
		r.Close()
		require.ErrorIs(t, err, ErrChanged)
		require.ErrorContains(t, err, want)
	}
	// A last line without a newline got one since: that is the line that was bound, and nothing more.
	_, cut := rest(t, open(t, write(t, "a.ndjson", "11\n22")))
	r := NewReplayer(write(t, "a.ndjson", "11\n22\n33\n"))
	defer r.Close()
	var got []string
	require.NoError(t, r.Lines(Position{}, cut[1], func(line []byte, _ int64) error {
		got = append(got, string(line))
		return nil
	}))
	require.Equal(t, []string{"11\n", "22"}, got)
}

// A compressed file that was cut off must be an error, not the end: its last rows would be lost silently. A part of a
// line before the cut is no row.
func TestCutCompressedFile(t *testing.T) {
	text := strings.Repeat("{\"a\":\"some text that compresses well\"}\n", 50_000)
	for _, name := range names[1:] {
		path := write(t, name, text)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(path, info.Size()*2/3))
		f := open(t, path)
		for err == nil {
			if _, err = f.Peek(); err == nil {
				f.Advance()
			}
		}
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.ErrorContains(t, err, name)
		require.ErrorContains(t, err, "ends too early")
	}
}

// Memory is bounded: a line without an end must be refused, a long one must not.
func TestLongLines(t *testing.T) {
	long := strings.Repeat("x", MaxLine-1) + "\n"
	f := open(t, write(t, "a.ndjson", long+long+"x"+long))
	for range 2 {
		line, err := f.Peek()
		require.NoError(t, err)
		require.Len(t, line, MaxLine)
		f.Advance()
	}
	_, err := f.Peek()
	require.ErrorContains(t, err, "line 3 is longer than 16 MiB")
}

// The progress bar goes by bytes of the stored file; what can't be read twice is refused before anything happens.
func TestCheckAndConsumed(t *testing.T) {
	path := write(t, "a.ndjson.gz", sample)
	size, err := Check(path)
	require.NoError(t, err)
	var consumed atomic.Int64
	f, err := Open(path, &consumed)
	require.NoError(t, err)
	rest(t, f)
	f.Close()
	require.Equal(t, size, consumed.Load())

	_, err = Check(filepath.Dir(path))
	require.ErrorContains(t, err, "not a regular file")
	_, err = Check(path + ".none")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(write(t, "a.gz", ""), nil)
	require.NoError(t, err) // an empty stream, compressed
	require.NoError(t, os.Truncate(path, 0))
	_, err = Open(path, nil)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}
