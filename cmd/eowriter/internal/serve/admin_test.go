package serve

import (
	"net/http"
	"strings"
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

// If it fails, who may push rows reads what is for operators, or who may look at the sidecar writes to tables.
func TestOperatorsHaveAListener(t *testing.T) {
	const get, call = "/v1/tables/p.d.t/partitions/a", "/eowriter.v1.Writer/"
	status := func(method, url string) int {
		req, err := http.NewRequest(method, url, strings.NewReader("{}"))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		code, _, _ := do(t, http.DefaultClient, req)
		return code
	}
	g := newRig(t, nil)
	require.Equal(t, 200, status("GET", g.ports[0]+"/healthz"), "without a listener of its own")
	require.NoError(t, g.stop())

	g.opt.AdminListen = "127.0.0.1:0"
	g.start()
	port, admin := g.ports[0], g.ports[1]
	require.Equal(t, 200, status("GET", admin+"/healthz"))
	require.Equal(t, 404, status("GET", port+"/healthz"))
	require.Equal(t, 200, status("POST", admin+call+"ListPartitions"))
	require.Equal(t, 200, status("POST", port+call+"ListPartitions"))
	require.Equal(t, 404, status("POST", admin+call+"Append"))
	require.Equal(t, 404, status("POST", admin+call+"Drain"))
	require.Equal(t, 404, status("GET", admin+get))
	require.Equal(t, 200, status("GET", port+get))
	status = func(method, path string) int {
		req, err := http.NewRequest(method, "http://localhost"+path, nil)
		require.NoError(t, err)
		code, _, _ := do(t, g.client(false), req)
		return code
	}
	require.Equal(t, 200, status("GET", "/healthz"), "the socket has everything")
	require.Equal(t, 200, status("GET", get))
	http.DefaultClient.CloseIdleConnections()
}
