package serve

import (
	"net/http"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1/eowriterv1connect"
)

// Limits on what a connection may cost before anybody has looked at it.
const (
	headerTimeout = 10 * time.Second // for a request's header to arrive
	bodyTimeout   = time.Minute      // for the body of a request that is no stream
	idleTimeout   = 2 * time.Minute  // of a connection without requests
	writeTimeout  = time.Minute      // for a client to take what it is sent
	pingTimeout   = 30 * time.Second // a silent HTTP/2 connection is asked whether it lives, and has so long to say so
	maxHeader     = 64 << 10         // bytes of a header: two positions and a name, escaped
	maxStreams    = 250              // requests at the same time on an HTTP/2 connection
	maxFrame      = 16 << 10         // bytes of a frame, for which memory is taken when it begins
	streamWindow  = 256 << 10        // bytes of a stream that are not read yet
	connWindow    = 1 << 20          // and of a connection
	overhead      = 1 << 20          // bytes of a message beside its rows, which take a third more as JSON: a descriptor, mostly
	stopTimeout   = 2 * time.Second  // for answers to go out at the end
)

// streams are the calls whose requests last.
var streams = map[string]bool{eowriterv1connect.WriterAppendStreamProcedure: true}

// bounded gives bodies of requests that are no streams so long to arrive, and whoever reads an answer so long for each part.
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if !streams[r.URL.Path] && r.Body != http.NoBody {
			if err := c.SetReadDeadline(time.Now().Add(bodyTimeout)); err == nil {
				r.Body = &deadlined{r.Body, c}
			}
		}
		out := &impatient{w, c}
		next.ServeHTTP(out, r)
		out.hurry() // what is left in buffers goes out when this returns
	})
}

// deadlined takes the deadline back when all of the body has arrived: the connection is watched from then on.
type deadlined struct {
	body interface {
		Read([]byte) (int, error)
		Close() error
	}
	c *http.ResponseController
}

func (d *deadlined) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	if err != nil {
		_ = d.c.SetReadDeadline(time.Time{})
	}
	return n, err
}

func (d *deadlined) Close() error { return d.body.Close() }

// impatient waits so long, and not longer, for a client to take what it is sent.
type impatient struct {
	http.ResponseWriter
	c *http.ResponseController
}

func (w *impatient) hurry() { _ = w.c.SetWriteDeadline(time.Now().Add(writeTimeout)) }

func (w *impatient) Write(p []byte) (int, error) {
	w.hurry()
	return w.ResponseWriter.Write(p)
}

// FlushError ends the wait: what lasts may be silent.
func (w *impatient) FlushError() error {
	w.hurry()
	err := w.c.Flush()
	_ = w.c.SetWriteDeadline(time.Time{})
	return err
}

// Flush implements http.Flusher.
func (w *impatient) Flush() { _ = w.FlushError() }

// Unwrap is for http.ResponseController.
func (w *impatient) Unwrap() http.ResponseWriter { return w.ResponseWriter }
