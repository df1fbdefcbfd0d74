package serve

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"

	"connectrpc.com/connect"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1/eowriterv1connect"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
)

// admin are the routes for those who operate the sidecar. Which doors have them, open decides.
func (s *server) admin(mux *http.ServeMux, d *door) {
	// The process answers; whether it can do its work is another question.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.Handle(eowriterv1connect.NewStatusHandler(s.status, connect.WithReadMaxBytes(overhead), s.reading.gzipped()))
	mux.HandleFunc("GET /{$}", servePage)
	mux.HandleFunc("GET /page/{file}", servePagePart)
	mux.HandleFunc("GET /readyz", s.serveReady)
	mux.Handle("GET /metrics", s.tel.Handler())
	if s.opt.Pprof && d.local() {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
}

// serveReady answers whether appends should be sent here.
func (s *server) serveReady(w http.ResponseWriter, _ *http.Request) {
	stats, err := s.in.Stats()
	if err == nil {
		err = s.ready(stats)
	}
	if err != nil {
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ready\n")
}

// ready says why the sidecar can't do its work now, or nil.
func (s *server) ready(stats *ingest.Stats) error { return notReady(s.led.Err(), stats) }

// notReady is ready for a ledger that has failed with an error, or nil. That some partitions don't work is no reason: the
// others do.
func notReady(ledger error, stats *ingest.Stats) error {
	stuck := stats.Stopped[ingest.Unreached]
	switch {
	case ledger != nil:
		return errors.New("the ledger has failed; the sidecar ends")
	case stats.Closing:
		return errors.New("draining: the sidecar is being stopped")
	case stuck > 0 && stats.States[eowriterv1.State_STATE_OPEN] == 0:
		return fmt.Errorf("BigQuery is not reached: %d partitions wait for it, and none is open", stuck)
	}
	return nil
}

// refused counts an append that is answered with an error, but for a call that its caller gave up.
func (s *server) refused(err error) {
	var refused *ingest.Error
	if errors.As(err, &refused) {
		s.tel.Refused(refused.Reason)
	}
}
