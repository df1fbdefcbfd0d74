package emulator

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
)

// No request may make the API panic or fail: one bad client would take the emulator from all others. What was accepted
// can be read again, and written back as it is.
func FuzzRESTBody(f *testing.F) {
	for _, body := range []string{
		`{"schema": {"fields": [{"name": "a", "type": "STRING"}, null]}}`, `null`, `{"schema": null, "labels": {"a": null}}`,
		`{"tableReference": {"tableId": "t"}, "schema": {"fields": [{"name": "a", "type": "RECORD", "fields": [{"name": "b", "type": "RANGE", "rangeElementType": {"type": "DATE"}}]}]}}`,
		`{"tableReference": {"tableId": "t"}, "expirationTime": 1.5e3, "clustering": {"fields": ["a"]}, "kind": 1}`,
		`{"tableReference": {"tableId": "t"}, "schema": {"fields": [{"name": "a", "type": "NUMERIC", "precision": 5, "scale": 2, "policyTags": {"names": [""]}}]}}`,
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		srv, err := Start(Options{Tables: map[string]*storagepb.TableSchema{orders: ordersSchema()}})
		require.NoError(t, err)
		defer func() { require.NoError(t, srv.Close()) }()
		api := NewREST(srv)
		send := func(method, path, body string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			api.ServeHTTP(w, httptest.NewRequest(method, "/projects/p/datasets/d"+path, strings.NewReader(body)))
			require.NotEqual(t, http.StatusInternalServerError, w.Code, "%s", w.Body)
			return w
		}
		send("POST", "/tables", body)
		send("PATCH", "", body)
		send("PUT", "", body)
		for _, method := range []string{"PATCH", "PUT"} {
			if send(method, "/tables/orders", body).Code != http.StatusOK {
				continue
			}
			w := send("GET", "/tables/orders", "")
			require.Equal(t, http.StatusOK, w.Code)
			text := w.Body.String()
			w = send("PUT", "/tables/orders", text)
			require.Equal(t, http.StatusOK, w.Code, "%s: %s", text, w.Body)
		}
		require.Equal(t, http.StatusOK, send("GET", "/tables", "").Code)
	})
}

// Of several changes that rest on the same etag one may win, or somebody's change would be lost.
func TestRESTRace(t *testing.T) {
	b := newRESTBench(t, Options{})
	const table = "/projects/p/datasets/d/tables/orders"
	for range 10 {
		_, answer := b.call("GET", table, "")
		etag := answer["etag"].(string)
		var won atomic.Int64
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				req, err := http.NewRequest("PATCH", b.url+table, strings.NewReader(`{"labels": {"by": "`+string(rune('a'+i))+`"}}`))
				if err != nil {
					return
				}
				req.Header.Set("If-Match", etag)
				if resp, err := http.DefaultClient.Do(req); err == nil {
					_ = resp.Body.Close()
					if resp.StatusCode == http.StatusOK {
						won.Add(1)
					}
				}
			})
		}
		all.Wait()
		require.Equal(t, int64(1), won.Load())
	}
}
