package testdata

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// The files are what README.md says they are, all of them are listed, and none is listed twice. If
// this failed, a row count that the demo or a test takes from the README would be about other data.
func TestFilesMatchReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	listed := map[string]string{}
	line := regexp.MustCompile(`(?m)^\| (\S+\.ndjson\.gz) (\| \d+ \| \d+ \| [0-9a-f]{64} \|)$`)
	for _, m := range line.FindAllStringSubmatch(string(readme), -1) {
		require.NotContains(t, listed, m[1])
		listed[m[1]] = m[2]
	}

	names, err := fs.Glob(FS, "*/*.ndjson.gz")
	require.NoError(t, err)
	require.Len(t, names, 14)
	require.Len(t, listed, len(names))
	for _, name := range names {
		f, err := FS.Open(name)
		require.NoError(t, err)
		gz, err := gzip.NewReader(f)
		require.NoError(t, err)
		data, err := io.ReadAll(gz)
		require.NoError(t, err)
		got := fmt.Sprintf("| %d | %d | %x |", bytes.Count(data, []byte("\n")), len(data), sha256.Sum256(data))
		require.Equal(t, listed[name], got, name)
		require.NoError(t, f.Close())
	}
}

// Each data set has its schema beside it: without one nothing can load it.
func TestEverySetHasASchema(t *testing.T) {
	names, err := fs.Glob(FS, "*/schema.json")
	require.NoError(t, err)
	require.Equal(t, []string{"earthquakes/schema.json", "flights/schema.json", "movies/schema.json"}, names)
}
