package serve

import (
	"net/http"
	"strings"
	"testing"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/ledger"
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

// TestReady asks whether the sidecar can do its work. If it failed, a load balancer or Kubernetes would send rows where they are
// refused, or take a sidecar out that only waits for one table.
func TestReady(t *testing.T) {
	g := newRig(t, nil)
	status, text := g.get("/readyz")
	require.Equal(t, http.StatusOK, status, text)
	push(t, g.client(false), rowsOf+"a/rows?position=1", strings.NewReader(lineOf(0)))
	// A table that isn't there is one partition's trouble.
	push(t, g.client(false), "http://localhost/v1/tables/p.d.none/partitions/a/rows?position=1", strings.NewReader(lineOf(0)))
	status, text = g.get("/readyz")
	require.Equal(t, http.StatusOK, status, text)

	// Draining.
	g.stall()
	push(t, g.client(false), rowsOf+"a/rows?expect=1&position=2&ack=stored", strings.NewReader(lineOf(1)))
	stopped := make(chan error, 1)
	go func() { stopped <- g.stop() }()
	require.Eventually(t, func() bool {
		status, text = g.get("/readyz")
		return status == http.StatusServiceUnavailable
	}, 30*time.Second, time.Millisecond)
	require.Contains(t, text, "draining")
	g.letGo()
	require.NoError(t, <-stopped)
}

// If it fails, a sidecar that can't reach BigQuery, or whose ledger has failed, is said to be ready; or one isn't that can
// write to another table.
func TestNotReady(t *testing.T) {
	open := map[eowriterv1.State]int{eowriterv1.State_STATE_OPEN: 1, eowriterv1.State_STATE_WAITING: 2}
	stuck := map[eowriterv1.State]int{eowriterv1.State_STATE_OPENING: 1, eowriterv1.State_STATE_WAITING: 1, eowriterv1.State_STATE_IDLE: 3}
	unreached := map[ingest.Cause]int{ingest.Unreached: 2}
	for _, c := range []struct {
		ledger error
		stats  ingest.Stats
		want   string
	}{
		{stats: ingest.Stats{}},
		{stats: ingest.Stats{States: open, Stopped: unreached}},
		{stats: ingest.Stats{States: stuck, Stopped: map[ingest.Cause]int{ingest.Blocked: 1}}},
		{stats: ingest.Stats{States: stuck, Stopped: unreached}, want: "BigQuery is not reached: 2 partitions"},
		{stats: ingest.Stats{Closing: true}, want: "draining"},
		{ledger: ledger.ErrFailed, want: "ledger has failed"},
	} {
		err := notReady(c.ledger, &c.stats)
		if c.want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, c.want)
		}
	}
}
