package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sys/unix"
)

// served wants a client that comes anew by the port to be answered: health, a call, and rows that land.
func (a *attacked) served(t *testing.T) {
	t.Helper()
	a.goesOn(t)
	require.Equal(t, 200, a.raw(t, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
	require.Eventually(t, func() bool {
		status, text := a.post(t, "/eowriter.v1.Writer/GetPartition", []byte(`{"table": "p.d.t", "partition": "good"}`), "Content-Type", "application/json")
		require.Contains(t, []int{200, 429}, status, text)
		return status == 200
	}, patience, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		status, text := a.post(t, "/v1/tables/p.d.t/partitions/new/rows", []byte(`{"n": 0, "s": "new"}`))
		require.Contains(t, []int{200, 429}, status, text)
		return status == 200
	}, patience, 10*time.Millisecond)
}

// hold opens n connections that say something and then nothing more, until the test ends.
func (a *attacked) hold(t *testing.T, n int, text string) []net.Conn {
	all := make([]net.Conn, n)
	for i := range all {
		all[i] = a.dial(t)
		_, _ = io.WriteString(all[i], text) // it may have been closed
	}
	return all
}

// slowHeader is a header whose end doesn't come.
const slowHeader = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "

func request(method, path string, length int, header ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%s\r\n", method, path, length, strings.Join(append(header, ""), "\r\n"))
}

// Connections on which little or nothing happens must keep nobody out.
func TestAttackConnections(t *testing.T) {
	large(t)
	a := attack(t, "--listen", "127.0.0.1:0")
	t.Run("10,000 idle", func(t *testing.T) {
		var files unix.Rlimit
		require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &files)) // the runtime has raised it to what is allowed
		n := min(10_000, int(files.Max)-1000)
		t.Logf("%d connections", n)
		a.hold(t, n, "")
		a.served(t)
	})
	t.Run("slow headers", func(t *testing.T) {
		a.hold(t, 2500, slowHeader)
		a.served(t)
	})
	t.Run("slow bodies", func(t *testing.T) {
		a.hold(t, 500, request("POST", rowsPath, 4<<20)+`{"n": `)
		a.served(t)
	})
	t.Run("slow calls, each of 4 MiB", func(t *testing.T) {
		var all sync.WaitGroup
		for range 50 {
			c := a.dial(t)
			all.Go(func() {
				_, _ = io.WriteString(c, request("POST", appendCall, 4<<20, "Content-Type: application/proto"))
				for range 31 { // all but a little
					_, _ = c.Write(make([]byte, 128<<10)) // it may be refused
				}
			})
		}
		all.Wait()
		a.served(t)
	})
	t.Run("slow readers", func(t *testing.T) {
		body := "\x00\x00\x00\x00\x16" + `{"interval": "0.100s"}`
		a.hold(t, 100, request("POST", "/eowriter.v1.Writer/WatchPartitions", len(body), "Content-Type: application/connect+json")+body)
		for _, c := range a.hold(t, 20, "") {
			require.NoError(t, c.(*net.TCPConn).SetReadBuffer(4096))
			_, _ = io.WriteString(c, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 500))
		}
		a.served(t)
	})
}

// A header must not take more memory than headers need, by whatever protocol it comes.
func TestAttackHeaders(t *testing.T) {
	large(t)
	a := attack(t, "--listen", "127.0.0.1:0")
	slow := a.hold(t, 1, slowHeader)[0]
	get := "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	many := get
	for n := range 1000 {
		many += fmt.Sprintf("X-%d: %d\r\n", n, n)
	}
	require.Equal(t, 200, a.raw(t, many+"\r\n"), "these are fewer bytes than there may be")
	for range 3 {
		// The answer is lost if the connection is reset because more was sent than was read.
		require.Contains(t, []int{0, 431}, a.raw(t, get+"X-Large: "+strings.Repeat("x", 10<<20)+"\r\n\r\n"))
		require.Contains(t, []int{0, 431}, a.raw(t, get+strings.Repeat("X: y\r\n", 100_000)+"\r\n"))
		require.Contains(t, []int{0, 400, 414, 431}, a.raw(t, "GET /"+strings.Repeat("x", 10<<20)+" HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	}
	a.served(t)
	t.Run("a header of HTTP/2 that doesn't end", func(t *testing.T) {
		c := a.dialHTTP2(t)
		require.NoError(t, c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: header(t)}))
		part := append([]byte{0x00, 0x01, 'x', 0x7f, 0x81, 0x7e}, bytes.Repeat([]byte{'y'}, 16000+256)...) // a literal field, not to be kept
		var err error
		for n := 0; n < 10_000 && err == nil; n++ { // 160 MB, if nobody ends it
			err = c.WriteContinuation(1, false, part[:16000])
		}
		require.Error(t, err, "the connection is still there")
		a.served(t)
	})
	_, err := io.Copy(io.Discard, slow)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "a header that doesn't end is waited for")
}

// http2Conn is a client that does what clients don't. What it is answered is read and dropped.
type http2Conn struct {
	*http2.Framer
	out *bufio.Writer
}

func (a *attacked) dialHTTP2(t *testing.T) http2Conn {
	c := a.dial(t)
	go func() { _, _ = io.Copy(io.Discard, c) }() // ends with the connection, at the test's end
	out := bufio.NewWriterSize(c, 64<<10)
	_, err := io.WriteString(out, http2.ClientPreface)
	require.NoError(t, err)
	h := http2Conn{http2.NewFramer(out, nil), out}
	require.NoError(t, h.WriteSettings())
	return h
}

// header is that of a call of gRPC whose message follows.
func header(t *testing.T) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(0) // so that it may be sent again
	for _, f := range [][2]string{
		{":method", http.MethodPost}, {":scheme", "http"}, {":authority", "localhost"}, {":path", "/eowriter.v1.Writer/AppendStream"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		require.NoError(t, e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
	}
	return b.Bytes()
}

// One connection of HTTP/2 must not be worth more than any other: neither by opening requests without end, nor by taking
// them back at once.
func TestAttackStreams(t *testing.T) {
	large(t)
	a := attack(t, "--listen", "127.0.0.1:0")
	head := header(t)
	t.Run("10,000 streams", func(t *testing.T) {
		for range 3 {
			c := a.dialHTTP2(t)
			for n := range 10_000 {
				_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*n + 1), BlockFragment: head, EndHeaders: true}) // it may be closed
			}
			_ = c.out.Flush()
		}
		a.served(t)
	})
	t.Run("rapid reset", func(t *testing.T) {
		for range 10 {
			c := a.dialHTTP2(t)
			for n := range 10_000 {
				_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*n + 1), BlockFragment: head, EndHeaders: true})
				_ = c.WriteRSTStream(uint32(2*n+1), http2.ErrCodeCancel)
			}
			_ = c.out.Flush()
		}
		a.served(t)
	})
	t.Run("settings and pings without end", func(t *testing.T) {
		c := a.dialHTTP2(t)
		for range 100_000 {
			_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
			_ = c.WritePing(false, [8]byte{})
		}
		_ = c.out.Flush()
		a.served(t)
	})
}
