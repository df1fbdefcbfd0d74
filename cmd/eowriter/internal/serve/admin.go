package serve

import (
	"io"
	"net/http"
)

// admin are the routes for those who operate the sidecar. Which doors have them, open decides.
func (s *server) admin(mux *http.ServeMux) {
	// The process answers; whether it can do its work is another question.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
}
