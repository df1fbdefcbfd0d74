package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The Go code must be that of the .proto files. If it fails, one was changed without the other: run "go generate
// ./cmd/eowriter/api".
func TestGenerated(t *testing.T) {
	dir := filepath.Join("..", "..")
	files, err := generate(dir)
	require.NoError(t, err)
	require.Len(t, files, 2*len(sources))
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, string(got), "%s is not what go generate writes", name)
	}
}
