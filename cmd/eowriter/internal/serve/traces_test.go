package serve

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector is an OpenTelemetry collector that keeps what it is sent.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	bodies map[string][][]byte // by path
}

func newCollector(t *testing.T) *collector {
	c := &collector{bodies: map[string][][]byte{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
			z, _ := gzip.NewReader(bytes.NewReader(body))
			body, err = io.ReadAll(z)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bodies[r.URL.Path] = append(c.bodies[r.URL.Path], body)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) sent(path string) [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.bodies[path])
}

// spans are all that were sent.
func (c *collector) spans(t *testing.T) (all []*trace.Span) {
	for _, body := range c.sent("/v1/traces") {
		req := &collect.ExportTraceServiceRequest{}
		require.NoError(t, proto.Unmarshal(body, req))
		for _, r := range req.ResourceSpans {
			for _, s := range r.ScopeSpans {
				all = append(all, s.Spans...)
			}
		}
	}
	return all
}

// If it fails, an append's trace can't be found from its producer's, or doesn't show where its time went.
func TestTraces(t *testing.T) {
	c := newCollector(t)
	g := newRig(t, func(opt *Options) { opt.Collector = c.URL })
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	status, text, _ := push(t, g.client(false), rowsOf+"a/rows?position=1", strings.NewReader(lineOf(0)), "Traceparent", parent)
	require.Equal(t, 200, status, text)
	status, text, _ = push(t, g.client(false), rowsOf+"a/rows?expect=1&position=2", strings.NewReader(`{"n": "x"}`))
	require.Equal(t, 422, status, text)
	require.NoError(t, g.stop())
	spans := c.spans(t)
	require.Len(t, spans, 2)
	landed := spans[slices.IndexFunc(spans, func(s *trace.Span) bool { return len(s.ParentSpanId) > 0 })]
	require.Equal(t, "append", landed.Name)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", hex.EncodeToString(landed.TraceId))
	require.Equal(t, "b7ad6b7169203331", hex.EncodeToString(landed.ParentSpanId))
	var steps []string
	for _, e := range landed.Events {
		steps = append(steps, e.Name)
	}
	require.Equal(t, []string{"B1 accept", "B2 bind", "B3 send", "B5 answer", "B6 acknowledge", "B7 resolve"}, steps)
	attrs := map[string]string{}
	for _, a := range landed.Attributes {
		attrs[a.Key] = a.Value.String()
	}
	require.Contains(t, attrs["eowriter.table"], "p.d.t")
	require.Contains(t, attrs["eowriter.partition"], `"a"`)
	require.Contains(t, attrs["eowriter.rows"], "1")
	require.Contains(t, attrs["eowriter.batch.appends"], "1")

	refused := spans[slices.IndexFunc(spans, func(s *trace.Span) bool { return len(s.ParentSpanId) == 0 })]
	require.Equal(t, trace.Status_STATUS_CODE_ERROR, refused.Status.Code)
	require.Equal(t, "bad_rows", refused.Status.Message)
	require.Empty(t, refused.Events)
	require.NotEmpty(t, c.sent("/v1/metrics"))
}

// If it fails, a sidecar whose collector is down doesn't serve, or doesn't end.
func TestCollectorIsDown(t *testing.T) {
	g := newRig(t, func(opt *Options) { opt.Collector = "http://127.0.0.1:1" })
	status, text, _ := push(t, g.client(false), rowsOf+"a/rows?position=1", strings.NewReader(lineOf(0)))
	require.Equal(t, 200, status, text)
	require.NoError(t, g.stop())
	require.Contains(t, g.log.String(), "the last metrics or traces are lost")
}

// If it fails, values of rows can be read where people who may not see them look: in logs, metrics, traces.
func TestNoContents(t *testing.T) {
	c := newCollector(t)
	g := newRig(t, func(opt *Options) { opt.Collector = c.URL })
	g.opt.Log = slog.New(slog.NewJSONHandler(&g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	require.NoError(t, g.stop())
	g.start()
	metrics := g.busy()
	_, ready := g.get("/readyz")
	require.NoError(t, g.stop())
	for what, text := range map[string]string{"metrics": metrics, "log": g.log.String(), "readyz": ready} {
		require.NotEmpty(t, text)
		require.NotContains(t, text, secret, what)
	}
	for _, path := range []string{"/v1/metrics", "/v1/traces"} {
		require.NotEmpty(t, c.sent(path))
		for _, body := range c.sent(path) {
			require.NotContains(t, string(body), secret, path)
		}
	}
	require.Contains(t, g.log.String(), "its words may have values of rows in them", "the service's words came, and were left out")
}
