package serve

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHealth asks whether the process answers while the service doesn't. If it failed, whoever watches the sidecar would
// kill it for a fault of BigQuery.
func TestHealth(t *testing.T) {
	g := newRig(t, nil)
	g.stall()
	defer g.letGo()
	req, err := http.NewRequest(http.MethodGet, "http://localhost/healthz", nil)
	require.NoError(t, err)
	status, text, _ := do(t, g.client(false), req)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "ok\n", text)
}
