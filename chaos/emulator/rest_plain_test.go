package emulator

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Clients in other languages call another base path, use PUT, and write integers as numbers: without this they would
// be refused. The error is what their libraries take apart.
func TestRESTPlain(t *testing.T) {
	b := newRESTBench(t, Options{})
	const tables = "/bigquery/v2/projects/p/datasets/d/tables"
	code, answer := b.call("POST", tables, `{"tableReference": {"tableId": "t"}, "expirationTime": 4102444800000,
		"schema": {"fields": [{"name": "s", "type": "string", "maxLength": 7, "fromTheFuture": {}}]}}`)
	require.Equal(t, 200, code, answer)
	require.Equal(t, "4102444800000", answer["expirationTime"])
	require.Equal(t, "0", answer["numRows"])
	require.Equal(t, map[string]any{"fields": []any{
		map[string]any{"name": "s", "type": "STRING", "mode": "NULLABLE", "maxLength": "7"},
	}}, answer["schema"])

	code, answer = b.call("PUT", tables+"/t", `{"description": "new"}`, "If-Match", answer["etag"].(string))
	require.Equal(t, 200, code, answer)
	require.Equal(t, "new", answer["description"])
	require.NotContains(t, answer, "expirationTime", "an update replaces")
	require.Contains(t, answer, "schema", "but rows stay what they are")

	code, answer = b.call("GET", tables+"/none", "")
	require.Equal(t, 404, code)
	require.Equal(t, map[string]any{"error": map[string]any{
		"code": 404.0, "message": "Not found: Table p:d.none", "status": "NOT_FOUND",
		"errors": []any{map[string]any{"message": "Not found: Table p:d.none", "domain": "global", "reason": "notFound"}},
	}}, answer)

	for _, c := range []struct {
		method, path, body string
		code               int
		reason             string
	}{
		{"POST", "/bigquery/v2/projects/p/jobs", `{}`, 501, "notImplemented"},
		{"POST", "/projects/p/queries", `{}`, 501, "notImplemented"},
		{"POST", "/projects/p/datasets/d/tables/orders/insertAll", `{}`, 501, "notImplemented"},
		{"POST", tables, `{"tableReference": {"tableId": "v"}, "view": {"query": "SELECT 1"}}`, 501, "notImplemented"},
		{"POST", tables, `{`, 400, "parseError"},
		{"POST", tables, `{} {}`, 400, "parseError"},
		{"POST", tables, `{"schema": 1}`, 400, "parseError"},
		{"POST", tables, `{}`, 400, "required"},
		{"POST", tables, `{"tableReference": {"tableId": "a/b"}}`, 400, "invalid"},
		{"GET", tables + "?pageToken=%20", ``, 400, "invalid"},
		{"GET", tables + "?maxResults=-1", ``, 400, "invalid"},
		{"POST", tables, `{"description": "` + strings.Repeat("x", maxRESTBody) + `"}`, 413, "uploadTooLarge"},
	} {
		code, answer := b.call(c.method, c.path, c.body)
		require.Equal(t, c.code, code, "%s %s: %v", c.method, c.path, answer)
		e := answer["error"].(map[string]any)["errors"].([]any)[0].(map[string]any)
		require.Equal(t, c.reason, e["reason"], answer)
		require.NotEmpty(t, e["message"])
	}
}

// A schema that BigQuery refuses must not become a table's.
func TestRESTSchemaRefused(t *testing.T) {
	b := newRESTBench(t, Options{})
	deep := `{"name": "x", "type": "STRING"}`
	for range maxDepth + 1 {
		deep = `{"name": "r", "type": "RECORD", "fields": [` + deep + `]}`
	}
	wide := strings.Builder{}
	for i := range maxColumns + 1 {
		fmt.Fprintf(&wide, `{"name": "c%d", "type": "STRING"},`, i)
	}
	for field, problem := range map[string]string{
		`{"name": "r", "type": "RECORD"}`:                                     "Field r is type RECORD but has no schema",
		`{"name": "a", "type": "DATE"}, {"name": "A", "type": "DATE"}`:        "Field A already exists in schema",
		`{"name": "a", "type": "FOO"}`:                                        `"FOO" is not a valid type`,
		`{"name": "a", "type": "DATE", "mode": "FOO"}`:                        `"FOO" is not a valid mode`,
		`{"name": "", "type": "DATE"}`:                                        "Invalid field name",
		`{"name": "a.b", "type": "DATE"}`:                                     "Invalid field name",
		`null`:                                                                "is null",
		`{"name": "a", "type": "DATE", "fields": [{"name": "b"}]}`:            "not of type RECORD",
		`{"name": "a", "type": "DATE", "maxLength": "3"}`:                     "maximum length",
		`{"name": "a", "type": "NUMERIC", "precision": "40"}`:                 "precision",
		`{"name": "a", "type": "BIGNUMERIC", "precision": 40, "scale": "-1"}`: "precision",
		`{"name": "a", "type": "RANGE"}`:                                      "a range of",
		deep:                                                                  "deeper than 15 levels",
		strings.TrimSuffix(wide.String(), ","):                                "Too many columns",
	} {
		code, answer := b.call("POST", "/projects/p/datasets/d/tables", `{"tableReference": {"tableId": "t"}, "schema": {"fields": [`+field+`]}}`)
		require.Equal(t, 400, code, "%s", field)
		require.Contains(t, answer["error"].(map[string]any)["message"], problem)
	}
}
