package serve

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

func gzipped(t testing.TB, text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func zstandard(t testing.TB, text string) []byte {
	w, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return w.EncodeAll([]byte(text), nil)
}

// The route's contract, status by status: log shippers and scripts decide by them whether to go on, to ask or to try again.
func TestRowsRoute(t *testing.T) {
	g := newRig(t, func(opt *Options) { opt.Ingest.AppendBytes = 2000 })
	c := g.client(false)
	post := func(want int, contains, path, body string, header ...string) {
		t.Helper()
		status, text, _ := push(t, c, "http://localhost/v1/tables/"+path, strings.NewReader(body), header...)
		require.Equal(t, want, status, text)
		require.Contains(t, text, contains)
		require.True(t, strings.HasSuffix(text, "\n"))
	}
	const a = "p.d.t/partitions/a/rows"
	post(200, `{"position":"1","acknowledged":"ACKNOWLEDGE_LANDED","rows":1}`, a+"?position=1", "{\"n\": 1}")
	post(200, `"duplicate":true`, a+"?position=1", "\r\n  {\"n\": 1}\t\r\n\n")
	post(200, `{"position":"2","acknowledged":"ACKNOWLEDGE_LANDED","rows":2}`, a, "{\"n\": 2}\n\n{\"n\": 3}\n", "Eowriter-Expect", "1", "Eowriter-Position", "2")
	post(409, `"reason":"REASON_CONFLICT"`, a+"?expect=1&position=2", "{\"n\": 9}")
	post(412, `"current_position":"2"`, a+"?expect=1&position=5", "{\"n\": 9}")
	post(200, `"ACKNOWLEDGE_STORED"`, a+"?expect=2&position=3&ack=stored", "{\"n\": 4}")
	post(200, `"at_least_once":true`, a, "{\"n\": 5}")
	post(422, `"rows":[{"row":1,"column":"s","reason":"wrong type: want STRING, got an array"}],"bad_rows":1`, a, "{\"n\": 6}\n\n{\"n\": 6, \"s\": []}")
	post(200, `"dead_rows":1`, a+"?expect=3&position=4&bad-rows=dead-letters", "{\"n\": 6}\nx")
	post(400, "no rows", a, "\n\n")
	post(400, "not known", a+"?postion=7", "{\"n\": 9}")
	post(400, "given twice", a+"?position=7&position=8", "{\"n\": 9}")
	post(400, "given twice", a+"?position=7", "{\"n\": 9}", "Eowriter-Position", "7")
	post(400, "ack is", a+"?ack=maybe", "{\"n\": 9}")
	post(400, "bad-rows is", a+"?bad-rows=keep", "{\"n\": 9}")
	post(400, "PROJECT.DATASET.TABLE", "d.t/partitions/a/rows", "{\"n\": 9}")
	post(400, "/partitions/PARTITION", "p.d.t/partition/a/rows", "{\"n\": 9}")
	post(400, "control characters", "p.d.t/partitions/a%0Ab/rows", "{\"n\": 9}")
	post(404, "REASON_NO_TABLE", "p.d.nope/partitions/a/rows", "{\"n\": 9}")
	post(413, "more than 2000 bytes", a, strings.Repeat(" ", 2001))
	post(413, "more than 2000 bytes", a, string(gzipped(t, strings.Repeat(" ", 1<<20))), "Content-Encoding", "gzip")
	post(413, "more than 2000 bytes", a, string(zstandard(t, strings.Repeat(" ", 1<<20))), "Content-Encoding", "zstd")
	post(413, "more than 2000 bytes", a, string(gzipped(t, strings.Repeat(" ", 3_000_000)+"x")), "Content-Encoding", "gzip")
	var stored bytes.Buffer // without compression, and without a length in the header
	w, err := gzip.NewWriterLevel(&stored, gzip.NoCompression)
	require.NoError(t, err)
	_, err = w.Write(make([]byte, 6000))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	status, text, _ := push(t, c, "http://localhost/v1/tables/"+a, io.MultiReader(&stored), "Content-Encoding", "gzip")
	require.Equal(t, 413, status, text)
	post(400, "gzip", a, "{}", "Content-Encoding", "gzip")
	post(400, "read the body", a, "{}", "Content-Encoding", "zstd")
	post(400, "not known", a, "{}", "Content-Encoding", "br")
	post(200, `"rows":1`, a, string(gzipped(t, "{\"n\": 7}\n")), "Content-Encoding", "gzip")
	post(200, `"rows":1`, a, string(zstandard(t, "{\"n\": 8}\n")), "Content-Encoding", "zstd")
	require.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7, 8}, g.numbers())

	resp, err := c.Get("http://localhost/v1/tables/p.d.t/partitions/a")
	require.NoError(t, err)
	answer, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	require.Contains(t, string(answer), `"position":"4"`)
	req, err := http.NewRequest(http.MethodDelete, "http://localhost/v1/tables/p.d.t/partitions/a", nil)
	require.NoError(t, err)
	status, _, header := do(t, c, req)
	require.Equal(t, 405, status)
	require.Equal(t, "GET", header.Get("Allow"))
}

// If it fails, a name is taken for a path, or two names are one partition.
func TestNamesAreNoPaths(t *testing.T) {
	g := newRig(t, nil)
	c := g.client(false)
	for n, name := range []string{"../../etc/passwd", "..", ".", "a//b", "a/b", "a b", "a%2Fb", "日本", "x?y#z"} {
		status, text, _ := push(t, c, rowsOf+url.PathEscape(name)+"/rows?position=1", strings.NewReader(lineOf(n)))
		require.Equal(t, 200, status, "%s: %s", name, text)
		require.NotContains(t, text, "duplicate")
	}
	require.Len(t, g.numbers(), 9)
}

// If it fails, a page in somebody's browser can write rows.
func TestBrowsersAreKeptOut(t *testing.T) {
	g := newRig(t, nil)
	path := g.ports[0] + "/v1/tables/p.d.t/partitions/a/rows"
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	status, _, _ := push(t, c, path, strings.NewReader(lineOf(1)), "Origin", "http://example.com")
	require.Equal(t, 403, status)
	req, err := http.NewRequest(http.MethodPost, path, strings.NewReader(lineOf(1)))
	require.NoError(t, err)
	req.Host = "rebound.example.com"
	status, text, _ := do(t, c, req)
	require.Equal(t, 403, status)
	require.Contains(t, text, "loopback")
	require.Empty(t, g.numbers())
	status, _, _ = push(t, c, path, strings.NewReader(lineOf(1)))
	require.Equal(t, 200, status)
	req, err = http.NewRequest(http.MethodPost, path, strings.NewReader(lineOf(2)))
	require.NoError(t, err)
	req.Host = "localhost:" + req.URL.Port()
	status, _, _ = do(t, c, req)
	require.Equal(t, 200, status)
}

// If it fails, rows that come faster than they land fill the memory, or producers aren't told to wait.
func TestBusy(t *testing.T) {
	g := newRig(t, func(opt *Options) {
		opt.Ingest.AppendBytes, opt.Ingest.PartitionBytes, opt.Ingest.TotalBytes = 1000, 1500, 3000
	})
	c := g.client(false)
	status, text, _ := push(t, c, rowsOf+"a/rows", strings.NewReader(lineOf(1)))
	require.Equal(t, 200, status, text)
	g.stall()
	status, text, _ = push(t, c, rowsOf+"a/rows?ack=stored", strings.NewReader(lineOf(2)+strings.Repeat(" ", 900)))
	require.Equal(t, 200, status, text)
	row := `{"n": 3, "s": "` + strings.Repeat("x", 900) + `"}`
	status, text, _ = push(t, c, rowsOf+"a/rows?ack=stored", strings.NewReader(row))
	require.Equal(t, 200, status, text)
	status, text, header := push(t, c, rowsOf+"a/rows?ack=stored", strings.NewReader(row))
	require.Equal(t, 429, status, text)
	require.Equal(t, "1", header.Get("Retry-After"))
	require.Contains(t, text, `"retry_after":"1s"`)
	g.letGo()
}

// If it fails, a body of newlines, or of tiny rows, takes many times its size before anybody refuses it.
func TestLines(t *testing.T) {
	require.Equal(t, [][]byte{[]byte("a"), []byte("b")}, lines([]byte("a\n\n \nb"), 2))
	require.Len(t, lines([]byte("a\nb\nc\nd\n"), 2), 3, "one more than may be, so that it is refused")
	require.LessOrEqual(t, cap(lines(bytes.Repeat([]byte{'\n'}, 1<<20), 2)), 3)
}
