package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// managedwriter keeps one asleep for 20 s after each connection; it can't be told to stop.
		goleak.IgnoreAnyFunction("cloud.google.com/go/bigquery/storage/managedwriter.(*connection).getStream.func1"),
		goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"),
	)
}

const testTable = "projects/p/datasets/d/tables/t"

// rig is a sidecar in this process, with an emulator.
type rig struct {
	t      testing.TB
	dir    string
	srv    *emulator.Server
	opt    Options
	socket string
	ports  []string // URLs
	log    logs

	done chan error   // what Run returned
	stop func() error // SIGTERM; once
}

// logs collects what a log says.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newRig(t testing.TB, change func(*Options)) *rig {
	schema, err := rows.ParseSchema([]byte(`[{"name": "n", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "s", "type": "STRING"}, {"name": "short", "type": "STRING", "maxLength": 3}]`))
	require.NoError(t, err)
	srv, err := emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{testTable: schema}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	g := &rig{t: t, dir: t.TempDir(), srv: srv}
	g.opt = Options{
		Ledger: filepath.Join(g.dir, "l"), ClientOptions: srv.ClientOptions(),
		Socket: filepath.Join(g.dir, "run", "s"), Listen: "127.0.0.1:0",
		MaxConnections: 1000, MaxRequests: 2000,
		Ingest: ingest.Defaults(), StreamAppends: 8, ContactTimeout: 10 * time.Second, DrainTimeout: 30 * time.Second,
		Log: slog.New(slog.NewTextHandler(&g.log, nil)),
	}
	if change != nil {
		change(&g.opt)
	}
	g.start()
	t.Cleanup(func() { require.NoError(t, g.stop()) })
	return g
}

func (g *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan []string, 1), make(chan error, 1)
	g.done = done
	g.opt.Ready = func(addresses []string) { ready <- addresses }
	go func() { done <- Run(ctx, g.opt) }()
	select {
	case addresses := <-ready:
		g.socket, g.ports = strings.TrimPrefix(addresses[0], "unix:"), addresses[1:]
	case err := <-done:
		require.FailNow(g.t, "it has ended", "%v", err)
	}
	g.stop = sync.OnceValue(func() error { cancel(); return <-done })
}

// stall makes the service keep its answers to itself.
func (g *rig) stall() { g.srv.Inject(emulator.Fault{Kind: emulator.Stall}) }

func (g *rig) letGo() {
	g.srv.ClearFaults()
	g.srv.ResetConnections()
}

// client speaks HTTP on the socket: with HTTP/2 and without TLS, if h2 says so.
func (g *rig) client(h2 bool) *http.Client {
	p := &http.Protocols{}
	p.SetHTTP1(!h2)
	p.SetUnencryptedHTTP2(h2)
	tr := &http.Transport{
		Protocols: p,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", g.socket)
		},
	}
	g.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

const rowsOf = "http://localhost/v1/tables/p.d.t/partitions/"

// push posts a body, and returns status, text and header.
func push(t testing.TB, c *http.Client, url string, body io.Reader, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, body)
	require.NoError(t, err)
	for n := 0; n < len(header); n += 2 {
		req.Header.Add(header[n], header[n+1])
	}
	return do(t, c, req)
}

func do(t testing.TB, c *http.Client, req *http.Request) (int, string, http.Header) {
	t.Helper()
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text), resp.Header
}

// numbers are the numbers in the table, in its order.
func (g *rig) numbers() (all []int64) {
	for _, row := range g.srv.Rows(testTable) {
		v, err := row.Values()
		require.NoError(g.t, err)
		all = append(all, v["n"].(int64))
	}
	return all
}

// lineOf is a row as a line.
func lineOf(n int) string { return fmt.Sprintf("{\"n\": %d}\n", n) }
