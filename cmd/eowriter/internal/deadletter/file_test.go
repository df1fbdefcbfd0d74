package deadletter

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The client library's: sleeps for 20 s per connection, also after Close; and a worker that is never ended.
		goleak.IgnoreAnyFunction("cloud.google.com/go/bigquery/storage/managedwriter.(*connection).getStream.func1"),
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// letters are the records of a partition numbered from first to last.
func letters(id ledger.ID, first, last int64) (records []Record) {
	for n := first; n <= last; n++ {
		text := fmt.Sprintf("row %d\nof %d\x00 <&>", n, id)
		records = append(records, Record{
			Ledger: "l", PartitionID: id, Number: n, Table: "p.d.t", PartitionName: "a", Before: "start", After: "line 7, byte 9",
			RefusedBy: "encoder", Reason: "x: unknown field", RefusedAt: "2026-01-02T03:04:05.000006Z", Record: &text,
		})
	}
	return records
}

// read returns the file's letters; each line must be one.
func read(t require.TestingT, path string) (records []Record) {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		var r Record
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		require.True(t, strings.HasSuffix(line, "\n"))
		records = append(records, r)
	}
	return records
}

func put(t require.TestingT, path string, records ...[]Record) {
	f, err := OpenFile(path, "l")
	require.NoError(t, err)
	for _, r := range records {
		require.NoError(t, f.Put(context.Background(), r))
	}
	require.NoError(t, f.Close())
}

// A letter that the file has must not come again after a crash that left it in the ledger, in this process and in the
// next; those of other partitions, of the same numbers, must.
func TestFileHasEachOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead")
	put(t, path, letters(1, 1, 3), letters(2, 1, 1), letters(1, 1, 3), letters(1, 2, 5))
	put(t, path, letters(1, 4, 6), letters(2, 1, 2), letters(3, 9, 9))
	want := append(append(append(letters(1, 1, 3), letters(2, 1, 1)...), letters(1, 4, 6)...), letters(2, 2, 2)...)
	require.Equal(t, append(want, letters(3, 9, 9)...), read(t, path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode(), "it holds rows")
}

// Another ledger's letters of the same partition number are others.
func TestFileOfTwoLedgers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead")
	put(t, path, letters(1, 1, 3))
	f, err := OpenFile(path, "m")
	require.NoError(t, err)
	other := letters(1, 1, 2)
	other[0].Ledger, other[1].Ledger = "m", "m"
	require.NoError(t, f.Put(context.Background(), other))
	require.NoError(t, f.Close())
	require.Len(t, read(t, path), 5)
}

// Wherever a crash cuts the file, what is delivered again must leave each letter there once.
func TestFileTornAnywhere(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	put(t, whole, letters(1, 1, 3), letters(2, 1, 2))
	all, err := os.ReadFile(whole)
	require.NoError(t, err)
	want := read(t, whole)
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(dir, "torn")
		cut := rapid.IntRange(0, len(all)).Draw(t, "cut")
		zeros := rapid.SampledFrom([]int{0, 0, 1, 4096}).Draw(t, "zeros")
		require.NoError(t, os.WriteFile(path, append(all[:cut:cut], make([]byte, zeros)...), 0o600))
		put(t, path, letters(1, 1, 3), letters(2, 1, 2))
		require.ElementsMatch(t, want, read(t, path))
	})
}

// A file that is moved away between two letters, as a rotation of logs does, must keep what it has, and nothing may be
// put twice or into nowhere.
func TestFileMovedAway(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "dead"), filepath.Join(dir, "dead.1")
	f, err := OpenFile(path, "l")
	require.NoError(t, err)
	require.NoError(t, f.Put(context.Background(), letters(1, 1, 2)))
	require.NoError(t, os.Rename(path, moved))
	require.NoError(t, f.Put(context.Background(), letters(1, 2, 3)))
	require.NoError(t, os.Remove(path))
	require.NoError(t, f.Put(context.Background(), letters(1, 3, 4)))
	require.NoError(t, os.Rename(path, path+".2"))
	require.NoError(t, os.WriteFile(path, []byte("notes\n"), 0o600))
	require.ErrorContains(t, f.Put(context.Background(), letters(1, 5, 5)), "is not a dead letter")
	require.NoError(t, f.Close())
	require.Equal(t, letters(1, 1, 2), read(t, moved))
	require.Equal(t, letters(1, 4, 4), read(t, path+".2"))
}

// A file that is something else must not be cut or written to.
func TestFileOfSomethingElse(t *testing.T) {
	for name, text := range map[string]string{
		"text":             "hello",
		"lines":            "hello\nworld\n",
		"other JSON":       "{\"n\": 1}\n",
		"JSON cut":         "{\"n\"",
		"letter, then not": `{"ledger":"l","partition_id":1,"number":1}` + "\nhello\n",
		"no number":        `{"ledger":"l","partition_id":1}` + "\n",
		"negative":         `{"ledger":"l","partition_id":-1,"number":1}` + "\n",
		"blank line":       "\n",
		"zeros in between": `{"ledger":"l","partition_id":1,"number":1}` + "\n\x00\x00\n" + `{"ledger":"l","partition_id":1,"number":3}` + "\n",
	} {
		path := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := OpenFile(path, "l")
		require.ErrorContains(t, err, "is not a dead letter", name)
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
	_, err := OpenFile(t.TempDir(), "l")
	require.Error(t, err)
	fifo := filepath.Join(t.TempDir(), "none", "f")
	_, err = OpenFile(fifo, "l")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Two writers would each believe that theirs are the only letters.
func TestFileHasOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead")
	f, err := OpenFile(path, "l")
	require.NoError(t, err)
	_, err = OpenFile(path, "l")
	require.ErrorContains(t, err, "another process writes dead letters there")
	require.NoError(t, f.Close())
	put(t, path, letters(1, 1, 1))
}

// After a write that failed, what is in the file is not known: nothing may be delivered on top of it, or forgotten.
func TestFileAfterAFailedWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead")
	f, err := OpenFile(path, "l")
	require.NoError(t, err)
	require.NoError(t, f.Put(context.Background(), letters(1, 1, 1)))
	require.NoError(t, f.f.Close()) // writes fail from here on
	require.ErrorContains(t, f.Put(context.Background(), letters(1, 2, 2)), "write dead letters")
	require.Error(t, f.Put(context.Background(), letters(1, 2, 2)), "it says it has letter 2, but hasn't")
	put(t, path, letters(1, 2, 2))
	require.Len(t, read(t, path), 2)
}

// Letters that are in the page cache alone must not be forgotten by the ledger. The device here takes whatever is
// written, and can't sync.
func TestFileThatCanNotBeSynced(t *testing.T) {
	f, err := OpenFile(filepath.Join(t.TempDir(), "dead"), "l")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	f.f, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	if f.f.Sync() == nil {
		t.Skip("this system can sync " + os.DevNull)
	}
	require.ErrorContains(t, f.Put(context.Background(), letters(1, 1, 1)), "sync the dead letters")
	require.Error(t, f.Put(context.Background(), letters(1, 1, 1)), "it may not be there")
}

// Lines longer than the reader's buffer are letters like others.
func TestFileWithALongLetter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead")
	long := letters(1, 1, 2)
	text := strings.Repeat("x", 3<<20)
	long[0].Record = &text
	put(t, path, long)
	put(t, path, letters(1, 1, 3))
	require.Len(t, read(t, path), 3)
}

// Opening must take any bytes without panic, and, if it takes them for letters, keep each whole line.
func FuzzOpenFile(f *testing.F) {
	f.Add([]byte(`{"ledger":"l","partition_id":1,"number":1}` + "\n" + `{"ledger":"l","part`))
	f.Add([]byte("\x00\x00"))
	f.Add([]byte("{}\n"))
	path := filepath.Join(f.TempDir(), "f")
	f.Fuzz(func(t *testing.T, text []byte) {
		require.NoError(t, os.WriteFile(path, text, 0o600))
		s, err := OpenFile(path, "l")
		got, rerr := os.ReadFile(path)
		require.NoError(t, rerr)
		if err != nil {
			require.Equal(t, string(text), string(got))
			return
		}
		require.NoError(t, s.Close())
		whole := text[:strings.LastIndexByte(string(text), '\n')+1]
		require.Equal(t, string(whole), string(got))
	})
}
