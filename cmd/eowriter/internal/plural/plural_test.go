package plural

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// If it fails, people read "1 rows".
func TestOf(t *testing.T) {
	require.Equal(t, "1 row", Rows(1))
	require.Equal(t, "0 rows", Rows(0))
	require.Equal(t, "2 batches are", Of(int64(2), "batch is", "batches are"))
}
