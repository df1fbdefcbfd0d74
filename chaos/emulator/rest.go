package emulator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"sync"

	bq "google.golang.org/api/bigquery/v2"
)

// maxRESTBody bounds the body of a REST request. A schema with BigQuery's 10,000 columns fits.
const maxRESTBody = 10 << 20

// REST is a subset of BigQuery's REST API v2 on a server's tables: datasets and tables (list, get, insert, patch,
// update, delete) and tabledata.list, enough for the official clients to create a table, alter its schema and read
// its rows. It is an http.Handler, below /bigquery/v2 and at the root, and checks no credentials. Anything else of
// the API, such as jobs and queries, is answered with 501 notImplemented.
//
// Every project exists. A dataset exists once it was inserted, and from the moment on that it holds a table. A
// schema changes as BigQuery lets it change over REST: columns may be added and REQUIRED relaxed; for what takes SQL
// there (dropping a column, another type) there is Server.AlterTable. Patch and update obey If-Match.
//
// Datasets, and what is said of a table besides its schema (labels, descriptions, policy tags, ...), live in the
// REST value and not in Options.Data: make one REST for a server. It is safe for concurrent use.
type REST struct {
	srv *Server
	mux *http.ServeMux

	// mu guards what follows and makes a change of a dataset or a table one step. Server.mu may be taken under it.
	mu       sync.Mutex
	datasets map[string]*bq.Dataset // by projects/P/datasets/D; a value is never modified once it is here
	tables   map[string]described   // by name
}

// NewREST returns the REST API of a server. It needs no closing; requests after Server.Close see the tables as they
// were.
//
//	api := httptest.NewServer(emulator.NewREST(srv))
//	client, err := bigquery.NewClient(ctx, "p", option.WithEndpoint(api.URL), option.WithoutAuthentication())
func NewREST(s *Server) *REST {
	r := &REST{srv: s, mux: http.NewServeMux(), datasets: map[string]*bq.Dataset{}, tables: map[string]described{}}
	r.adopt()
	const dataset = "/projects/{project}/datasets/{dataset}"
	for pattern, h := range map[string]handler{
		"GET /projects/{project}/datasets":        r.listDatasets,
		"POST /projects/{project}/datasets":       r.insertDataset,
		"GET " + dataset:                          r.getDataset,
		"PATCH " + dataset:                        r.changeDataset,
		"PUT " + dataset:                          r.changeDataset,
		"DELETE " + dataset:                       r.deleteDataset,
		"GET " + dataset + "/tables":              r.listTables,
		"POST " + dataset + "/tables":             r.insertTable,
		"GET " + dataset + "/tables/{table}":      r.getTable,
		"PATCH " + dataset + "/tables/{table}":    r.changeTable,
		"PUT " + dataset + "/tables/{table}":      r.changeTable,
		"DELETE " + dataset + "/tables/{table}":   r.deleteTable,
		"GET " + dataset + "/tables/{table}/data": r.listRows,
	} {
		r.mux.Handle(pattern, h)
	}
	r.mux.Handle("/", handler(notEmulated))
	return r
}

// ServeHTTP answers one request.
func (r *REST) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	req.Body = http.MaxBytesReader(w, req.Body, maxRESTBody)
	http.StripPrefix(basePath(req.URL.Path), r.mux).ServeHTTP(w, req)
}

// basePath is what stands before /projects: clients that are given the address of a service append to it what they
// please.
func basePath(path string) string {
	const long = "/bigquery/v2"
	if len(path) > len(long) && path[:len(long)] == long {
		return long
	}
	return ""
}

func notEmulated(req *http.Request) (any, error) {
	return nil, restErrorf(http.StatusNotImplemented, "notImplemented", "This emulator does not support %s %s: it serves datasets, "+
		"tables and tabledata.list, and runs no jobs and no queries.", req.Method, req.URL.Path)
}

// handler answers with a resource, with nothing (204), or with an error, a *restError or one of the emulator's own.
type handler func(req *http.Request) (any, error)

func (h handler) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	result, err := h(req)
	code := http.StatusOK
	if err != nil {
		e := asRESTError(err)
		code, result = e.code, e.body()
	}
	if result == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(result); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	_, _ = w.Write(body.Bytes()) // the client may be gone
}
