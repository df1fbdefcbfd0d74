package tail

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
)

// TestCompressedLater has the file that was read last removed while nobody looks, and an older one compressed after that. If it
// fails, the older one's time is believed, and its rows land a second time.
func TestCompressedLater(t *testing.T) {
	for name, header := range map[string]bool{"the header has the time": true, "the header has no time": false} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "app.log")
			old := time.Now().Add(-time.Hour)
			write := func(suffix, text string, age time.Duration) {
				require.NoError(t, os.WriteFile(path+suffix, []byte(text), 0o600))
				require.NoError(t, os.Chtimes(path+suffix, old.Add(-age), old.Add(-age)))
			}
			write(".2", "old\n", 2*time.Minute)
			write("", "read\n", time.Minute)
			losses := 0
			l := &Log{path: path, now: time.Now, lost: func(Loss) { losses++ }}
			defer l.Close()
			require.NoError(t, l.Begin(Live))
			p, got := drain(t, l)
			require.Equal(t, []string{"read\n"}, got)

			var z bytes.Buffer
			zw := gzip.NewWriter(&z)
			if header {
				zw.ModTime = old.Add(-2 * time.Minute)
			}
			_, err := zw.Write([]byte("old\n"))
			require.NoError(t, err)
			require.NoError(t, zw.Close())
			require.NoError(t, os.WriteFile(path+".3.gz", z.Bytes(), 0o600)) // now
			require.NoError(t, os.Remove(path+".2"))
			require.NoError(t, os.Remove(path))
			write("", "new\n", 0)

			require.NoError(t, l.Resume(p))
			_, got = drain(t, l)
			require.Equal(t, []string{"new\n"}, got)
			require.Equal(t, 1, losses)
		})
	}
}

// drain reads all that there is.
func drain(t *testing.T, l *Log) (p source.LogPosition, got []string) {
	for {
		q, _, err := l.Fill(nil, func(s lines.Source) error {
			for {
				line, err := s.Peek()
				if err != nil {
					return err
				}
				got = append(got, string(line))
				s.Advance()
			}
		})
		if q.Offset > 0 {
			p = q
		}
		if err == errAgain {
			require.NoError(t, l.Look())
			continue
		}
		return p, got
	}
}

// TestSameBeginning truncates a log of which only what it shares with its successor was read, when more of it had been seen. If
// it fails, the successor is taken for it, and what it had behind that is lost without a word.
func TestSameBeginning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	now := time.Now().Add(-time.Minute)
	write := func(suffix, text string) {
		now = now.Add(time.Second)
		require.NoError(t, os.WriteFile(path+suffix, []byte(text), 0o600)) // the same file, truncated
		require.NoError(t, os.Chtimes(path+suffix, now, now))
	}
	l := &Log{path: path, now: time.Now, lost: func(l Loss) { require.Fail(t, "lost", l.What) }}
	defer l.Close()
	write("", " \na")
	require.NoError(t, l.Begin(Live))
	_, got := drain(t, l)
	require.Empty(t, got)
	write("", " \na\n")
	require.NoError(t, l.Look())

	write(".1", " \na\n") // a copy
	write("", " \nb\n")
	require.NoError(t, l.Look())
	_, got = drain(t, l)
	require.Equal(t, []string{"a\n", "b\n"}, got)
}
