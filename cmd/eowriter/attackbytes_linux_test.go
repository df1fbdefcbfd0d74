package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// bomb is 2 GB of zeros: of one block that is compressed once, since each reader takes such blocks one after another.
func bomb(t *testing.T, compressor func(io.Writer) (io.WriteCloser, error)) []byte {
	var one bytes.Buffer
	z, err := compressor(&one)
	require.NoError(t, err)
	_, err = z.Write(make([]byte, 64<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return bytes.Repeat(one.Bytes(), 32)
}

// framed is a message of gRPC, compressed.
func framed(message []byte) []byte {
	head := binary.BigEndian.AppendUint32([]byte{1}, uint32(len(message)))
	return append(head, message...)
}

// If one of these bodies were taken for what it says, the sidecar would run out of memory or of time, for everybody.
func TestAttackBodies(t *testing.T) {
	large(t)
	a := attack(t, "--listen", "127.0.0.1:0")
	gzipped := bomb(t, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
	zstdBomb := bomb(t, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
	largeWindow := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00} // 2 GiB
	million := bytes.Repeat([]byte("{}\n"), 1_000_000)
	objects := make([][]byte, 1_000_000)
	for n := range objects {
		objects[n] = []byte("{}")
	}
	tiny, err := proto.Marshal(&eowriterv1.AppendRequest{
		Table: "p.d.t", Partition: "evil", Rows: &eowriterv1.Rows{Kind: &eowriterv1.Rows_Json{Json: &eowriterv1.JSONRows{Objects: objects}}},
	})
	require.NoError(t, err)
	deep := strings.Repeat("[", 100_000)
	for _, test := range []struct {
		name, path string
		body       []byte
		header     []string
		status     []int
	}{
		{"gzip of zeros", rowsPath, gzipped, []string{"Content-Encoding", "gzip"}, []int{413}},
		{"zstd of zeros", rowsPath, zstdBomb, []string{"Content-Encoding", "zstd"}, []int{413}},
		{"zstd with a window of 2 GiB", rowsPath, largeWindow, []string{"Content-Encoding", "zstd"}, []int{400, 413}},
		{"gzip that breaks off", rowsPath, gzipped[:1000], []string{"Content-Encoding", "gzip"}, []int{400}},
		{"plain zeros", rowsPath, make([]byte, 20<<20), nil, []int{413}},
		{"gzip in a call", appendCall, gzipped, []string{"Content-Type", "application/proto", "Content-Encoding", "gzip"}, []int{429}},
		{"gzip in a call as JSON", appendCall, gzipped, []string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, []int{429}},
		{"gzip in a call of operators", "/eowriter.v1.Status/GetStatus", gzipped,
			[]string{"Content-Type", "application/proto", "Content-Encoding", "gzip"}, []int{429}},
		{"zeros in a call", appendCall, make([]byte, 20<<20), []string{"Content-Type", "application/proto"}, []int{429}},
		{"a million rows", rowsPath, million, nil, []int{413}},
		{"a million rows in a call", appendCall, tiny, []string{"Content-Type", "application/proto"}, []int{400, 413, 429}},
		{"a row nested deeply", rowsPath, []byte(`{"n": ` + deep), nil, []int{422}},
		{"a call nested deeply", appendCall, []byte(`{"table": ` + deep), []string{"Content-Type", "application/json"}, []int{400}},
		{"an unknown field of a call, nested deeply", appendCall, []byte(`{"what": ` + deep), []string{"Content-Type", "application/json"}, []int{400}},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, text := a.post(t, test.path, test.body, test.header...)
			require.Contains(t, test.status, status, "%.300s", text)
			require.Less(t, len(text), 4096, "what was sent isn't sent back")
			a.goesOn(t)
		})
	}
	t.Run("gzip in gRPC", func(t *testing.T) {
		p := &http.Protocols{}
		p.SetUnencryptedHTTP2(true)
		tr := &http.Transport{Protocols: p}
		defer tr.CloseIdleConnections()
		for _, call := range []string{"Append", "AppendStream"} {
			req, err := http.NewRequest(http.MethodPost, a.ports[0]+"/eowriter.v1.Writer/"+call, bytes.NewReader(framed(gzipped)))
			require.NoError(t, err)
			req.Header.Set("Content-Type", "application/grpc")
			req.Header.Set("Grpc-Encoding", "gzip")
			resp, err := tr.RoundTrip(req)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			status := resp.Trailer.Get("Grpc-Status") + resp.Header.Get("Grpc-Status")
			require.Equal(t, "8", status, "RESOURCE_EXHAUSTED")
		}
	})
	t.Run("many at once", func(t *testing.T) {
		var all sync.WaitGroup
		for n := range 24 {
			all.Go(func() {
				path, header := rowsPath, []string{"Content-Encoding", "gzip"}
				if n%2 == 0 {
					path, header = appendCall, append(header, "Content-Type", "application/proto")
				}
				status, text := a.post(t, path, gzipped, header...)
				if status != 413 && status != 429 {
					t.Errorf("%d: %.300s", status, text)
				}
			})
		}
		a.goesOn(t)
		all.Wait()
	})
	for _, row := range a.srv.Rows(testTable) {
		v, err := row.Values()
		require.NoError(t, err)
		require.Equal(t, "good", v["s"], "nothing of an attacker's is in the table")
	}
}

// Names are keys: none of them may become a path, of whatever kind, and what isn't a name must be refused.
func TestAttackNames(t *testing.T) {
	a := attack(t, "--listen", "127.0.0.1:0")
	a.goesOn(t)
	before := tree(t, filepath.Dir(a.dir))
	for _, up := range []string{"../", "%2e%2e%2f", "%2e%2e/", "..%2f", "..%5c", "%252e%252e%252f", "....//", "%c0%ae%c0%ae/", "%00", "%0d%0a"} {
		name := strings.Repeat(up, 6) + "attacked"
		for _, path := range []string{
			"/v1/tables/" + name + "/partitions/x/rows", "/v1/tables/p.d." + name + "/partitions/x/rows", "/" + name, "/page/" + name, "/v1/" + name,
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				status := a.raw(t, fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", method, path))
				require.True(t, status >= 300 && status < 500, "%s %s: %d", method, path, status)
			}
		}
		// As a partition's name it is one like any other, or none.
		body := `{"n": 0, "s": "evil"}`
		a.raw(t, fmt.Sprintf("POST /v1/tables/p.d.t/partitions/%s/rows?position=1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			name, len(body), body))
	}
	require.Equal(t, before, tree(t, filepath.Dir(a.dir)), "a file has appeared")
	a.goesOn(t)
}
