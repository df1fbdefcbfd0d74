package lines

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
)

// A batch must be cut where the user said, and never so that a row is lost at the cut.
func TestFillCuts(t *testing.T) {
	enc, err := rows.Compile(parse(t, `[{"name": "s", "type": "STRING"}, {"name": "n", "type": "INTEGER"}]`))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "a")
	text := strings.Repeat("{\"s\": \"12345678\"}\n\n", 10) + `{"s": "` + strings.Repeat("x", 100) + "\"}\n{\"n\": 1}\n"
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	f, err := source.Open(path, nil)
	require.NoError(t, err)
	defer f.Close()
	var sizes []int
	for end := error(nil); end == nil; {
		b := new(Batch)
		b.Reset()
		end = b.Fill(f, enc, 4, 30, func(error) bool { return false }) // three of the short rows
		require.Equal(t, len(b.ends), len(b.rows))
		require.Equal(t, b.buf, bytes.Join(b.rows, nil))
		sizes = append(sizes, len(b.rows))
		if end != nil {
			require.Equal(t, io.EOF, end)
		}
	}
	require.Equal(t, []int{3, 3, 3, 1, 1, 1}, sizes, "the long row is alone")
}
