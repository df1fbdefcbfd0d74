package serve

import (
	"io"
	"net/http"

	"github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1/eowriterv1connect"
)

// admin are the routes for those who operate the sidecar.
func (s *server) admin(mux *http.ServeMux) {
	// The process answers; whether it can do its work is another question.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.Handle(eowriterv1connect.NewStatusHandler(s.status))
	mux.HandleFunc("GET /{$}", servePage)
	mux.HandleFunc("GET /page/{file}", servePagePart)
}
