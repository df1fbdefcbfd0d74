package serve

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"

	"connectrpc.com/connect"
	"github.com/klauspost/compress/gzip"
)

// mostReading bounds the bytes of calls' messages that have arrived and that ingest has taken no room for yet. A message is
// two or three times as large in memory while it is decoded.
const mostReading = 32 << 20

// reading is what calls' messages take while they are read, all doors together. (The route for lines takes ingest's room before
// it reads.)
type reading struct{ bytes atomic.Int64 }

// take takes n bytes for a message that has held already, if they are free. It never gets more than it leaves free, unless it is
// the only one: so whoever sends large messages slowly leaves room for others' small ones.
func (r *reading) take(held, n int64) bool {
	all := r.bytes.Add(n)
	if left := mostReading - all; left < 0 || left < held+n && all > held+n {
		r.bytes.Add(-n)
		return false
	}
	return true
}

// noPlace refuses a message.
func noPlace() error {
	return rpcError(busy("the sidecar is reading as much as it may at a time; nothing was accepted"))
}

type bodyKey struct{}

// measured has the messages of calls counted from when they arrive until decoded is called, or the call ends.
func (r *reading) measured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b := &callBody{ReadCloser: req.Body, of: r}
		defer b.letGo()
		req = req.WithContext(context.WithValue(req.Context(), bodyKey{}, b))
		req.Body = b
		next.ServeHTTP(w, req)
	})
}

// decoded says that what was read of a call's messages isn't needed any more, or has room of its own.
func decoded(ctx context.Context) {
	if b, ok := ctx.Value(bodyKey{}).(*callBody); ok {
		b.letGo()
	}
}

// callBody is the body of a call. It is read by one goroutine, which also lets go.
type callBody struct {
	io.ReadCloser
	of   *reading
	held int64
}

func (b *callBody) letGo() {
	b.of.bytes.Add(-b.held)
	b.held = 0
}

// Read implements io.Reader. A message that there is no place for ends the call.
func (b *callBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if !b.of.take(b.held, int64(n)) {
		return 0, noPlace()
	}
	b.held += int64(n)
	return n, err
}

// gzipped is how calls' messages may be compressed: what they expand to counts while they do.
func (r *reading) gzipped() connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &expander{of: r} },
		func() connect.Compressor { return gzip.NewWriter(io.Discard) })
}

// expander expands one message after another. It is no io.WriterTo, as the reader in it is: connect copies what is beyond a
// message's limit to nowhere, which must count, too, or the end of 2 GB is waited for.
type expander struct {
	z    gzip.Reader
	of   *reading
	held int64
}

// Reset implements connect.Decompressor.
func (e *expander) Reset(in io.Reader) error {
	e.letGo()
	return e.z.Reset(in)
}

// Close implements connect.Decompressor.
func (e *expander) Close() error {
	e.letGo()
	return nil
}

func (e *expander) letGo() {
	e.of.bytes.Add(-e.held)
	e.held = 0
}

// Read implements connect.Decompressor.
func (e *expander) Read(p []byte) (int, error) {
	n, err := e.z.Read(p)
	if !e.of.take(e.held, int64(n)) {
		return 0, noPlace()
	}
	e.held += int64(n)
	return n, err
}
