package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/guard"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
)

// isHealth says that a request asks after the sidecar's health, as machines do that have no token and may never be refused.
func isHealth(r *http.Request) bool {
	return slices.Contains([]string{"/healthz", "/readyz"}, r.URL.Path)
}

// isPublic says that a request may be anybody's: it is for health, or for the status page's files, which ask for a token when
// they need one.
func isPublic(r *http.Request) bool {
	return isHealth(r) || r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/page/")
}

// asked finds out who makes a request.
func (d *door) asked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.guard == nil || isPublic(r) {
			next.ServeHTTP(w, r)
			return
		}
		caller, err := d.guard.Who(r)
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			deny(w, r, &ingest.Error{Reason: eowriterv1.Reason_REASON_UNAUTHENTICATED, Message: err.Error(), Err: err})
			return
		}
		next.ServeHTTP(w, r.WithContext(guard.With(r.Context(), caller)))
	})
}

// forOperators refuses who may not know of all tables.
func forOperators(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isPublic(r) && !guard.From(r.Context()).MaySee("") {
			deny(w, r, forbidden("this is for operators"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func forbidden(format string, args ...any) *ingest.Error {
	err := fmt.Errorf(format, args...)
	return &ingest.Error{Reason: eowriterv1.Reason_REASON_FORBIDDEN, Message: err.Error() + "; nothing was accepted", Err: err}
}

// mayAppend refuses who may not write to a table, projects/P/datasets/D/tables/T.
func mayAppend(ctx context.Context, table string) error {
	if !guard.From(ctx).MayAppend(tablename.Short(table)) {
		return forbidden("whoever shows this token or certificate may not write to %s", tablename.Short(table))
	}
	return nil
}

// maySee refuses who may not know of a table, or of all of them if it is "".
func maySee(ctx context.Context, table string) error {
	switch short := tablename.Short(table); {
	case guard.From(ctx).MaySee(short):
		return nil
	case short == "":
		return forbidden("whoever shows this token or certificate must name a table")
	default:
		return forbidden("whoever shows this token or certificate may not look at %s", short)
	}
}

// deny answers a request that no handler has seen, as its protocol has it.
func deny(w http.ResponseWriter, r *http.Request, err *ingest.Error) {
	if strings.HasPrefix(r.URL.Path, "/eowriter.v1.") {
		_ = rpcErrors.Write(w, r, rpcError(err))
		return
	}
	httpError(w, err)
}

var rpcErrors = connect.NewErrorWriter()

// localOnly refuses requests on a loopback port that a browser makes for a page from elsewhere whose name was given our
// address; with TLS it finds that the certificate is another's. Requests on a Unix socket have whatever host they like.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		if ok && r.TLS == nil && local.IP.IsLoopback() && !isLoopback(r.Host) {
			err := errors.New("the sidecar is addressed by a loopback address or as localhost")
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
