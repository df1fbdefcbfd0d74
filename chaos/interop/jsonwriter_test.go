package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
)

const (
	theirTable    = "projects/p/datasets/d/tables/theirs"
	ourTable      = "projects/p/datasets/d/tables/ours"
	intervalTable = "projects/p/datasets/d/tables/interval"
)

// schema has a column of each type that JSONWriter can describe; INTERVAL isn't one.
const schema = `[
	{"name": "bool", "type": "BOOL"}, {"name": "int", "type": "INTEGER"}, {"name": "float", "type": "FLOAT"},
	{"name": "str", "type": "STRING"}, {"name": "bytes", "type": "BYTES"},
	{"name": "numeric", "type": "NUMERIC"}, {"name": "bignumeric", "type": "BIGNUMERIC"},
	{"name": "ts", "type": "TIMESTAMP"}, {"name": "date", "type": "DATE"}, {"name": "time", "type": "TIME"},
	{"name": "datetime", "type": "DATETIME"}, {"name": "geo", "type": "GEOGRAPHY"}, {"name": "json", "type": "JSON"},
	{"name": "period", "type": "RANGE", "rangeElementType": {"type": "DATE"}},
	{"name": "rec", "type": "RECORD", "fields": [
		{"name": "n", "type": "INTEGER"},
		{"name": "list", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "s", "type": "STRING"}]}]},
	{"name": "ints", "type": "INTEGER", "mode": "REPEATED"}, {"name": "strs", "type": "STRING", "mode": "REPEATED"}
]`

// refused is what stands for a row that was not written, by the library or by the service.
const refused = "REFUSED"

// spellings are rows of one column, written by both: JSONWriter gets theirs, our encoder ours, "" being the same.
// What is stored must be want; where JSONWriter stores something else, that is differs, and why says why.
var spellings = []struct {
	theirs, ours, want, differs, why string
}{
	// The same JSON, the same value.
	{theirs: `{"bool": true}`, want: `true`},
	{theirs: `{"int": -5}`, want: `-5`},
	{theirs: `{"int": "9223372036854775807"}`, want: `9223372036854775807`},
	{theirs: `{"float": 1.5e-7}`, want: `1.5E-7`},
	{theirs: `{"float": "NaN"}`, want: `NaN`},
	{theirs: `{"float": "-Infinity"}`, want: `-Infinity`},
	{theirs: `{"str": "a\u0000\u00e4\ud83d\ude00"}`, want: "a\u0000ä😀"},
	{theirs: `{"str": ""}`, want: ``},
	{theirs: `{"bytes": "/+8="}`, want: `/+8=`},
	{theirs: `{"bytes": "_-8="}`, want: `/+8=`},
	{theirs: `{"numeric": "-12.000000001"}`, want: `-12.000000001`},
	{theirs: `{"numeric": 12.5}`, want: `12.5`},
	{theirs: `{"bignumeric": "0.00000000000000000000000000000000000001"}`, want: `0.00000000000000000000000000000000000001`},
	{theirs: `{"ts": 1700000000123456}`, want: `1700000000123456`},
	{theirs: `{"time": "12:34:56.789"}`, want: `12:34:56.789000`},
	{theirs: `{"datetime": "2024-02-29T12:34:56"}`, want: `2024-02-29T12:34:56`},
	{theirs: `{"geo": "POINT(1 2)"}`, want: `POINT(1 2)`},
	{theirs: `{"rec": {"n": 1, "list": [{"s": "a"}, {}]}}`, want: `{1 [{a} {NULL}]}`},
	{theirs: `{"ints": [1, 2, 3]}`, want: `[1 2 3]`},
	{theirs: `{"ints": []}`, want: `[]`},
	{theirs: `{"strs": ["a", ""]}`, want: `[a ]`},
	{theirs: `{"int": null}`, want: `NULL`},
	{theirs: `{"ints": null}`, want: `[]`},
	{theirs: `{"rec": {}}`, want: `{NULL []}`},
	{theirs: `{"int": 1e3}`, want: `1000`},
	{theirs: `{"bool": 0}`, want: `false`},
	{theirs: `{"bytes": "/+8"}`, want: `/+8=`},
	{theirs: `{"date": 19782}`, want: `2024-02-29`},
	{theirs: `{"numeric": "1e3"}`, want: `1000`},
	{theirs: `{"numeric": 0.1}`, want: `0.1`},
	{theirs: `{"bignumeric": 1e30}`, want: `1000000000000000000000000000000`},

	// The same value from what each has for it.
	{theirs: `{"ts": {"$date": "2024-02-29T12:34:56.789Z"}}`, ours: `{"ts": "2024-02-29T12:34:56.789Z"}`, want: `1709210096789000`},
	{theirs: `{"ts": {"$precise": "2024-02-29T12:34:56.789123Z"}}`, ours: `{"ts": "2024-02-29T12:34:56.789123Z"}`, want: `1709210096789123`},
	{theirs: `{"date": {"$date": "2024-02-29"}}`, ours: `{"date": "2024-02-29"}`, want: `2024-02-29`},
	{theirs: `{"datetime": {"$date": "2024-02-29T12:34:56.789Z"}}`, ours: `{"datetime": "2024-02-29T12:34:56.789"}`, want: `2024-02-29T12:34:56.789000`},
	{theirs: `{"bytes": {"$buffer": "/+8="}}`, ours: `{"bytes": "/+8="}`, want: `/+8=`},
	{theirs: `{"json": "{\"a\": [1, null]}"}`, ours: `{"json": {"a": [1, null]}}`, want: `{"a":[1,null]}`},
	{theirs: `{"period": {"start": 19782, "end": 19783}}`, ours: `{"period": {"start": "2024-02-29", "end": "2024-03-01"}}`, want: `[2024-02-29, 2024-03-01)`},

	// JSONWriter stores something else.
	{theirs: `{"date": "2024-02-29"}`, want: `2024-02-29`, differs: `1970-01-01`, why: "a text is no int32: protobufjs writes 0"},
	{theirs: `{"ts": "2024-02-29T12:34:56Z"}`, want: `1709210096000000`, differs: refused, why: "a text is no int64"},
	{theirs: `{"int": "abc"}`, want: refused, differs: `0`, why: "Long.fromString takes any text"},
	{theirs: `{"int": 1.5}`, want: refused, differs: `1`, why: "cut off"},
	{theirs: `{"int": {"$bigint": "9007199254740993"}}`, ours: `{"int": 9007199254740993}`, want: `9007199254740993`, differs: `0`, why: "a BigInt is no Long"},
	{theirs: `{"int": 9007199254740993}`, want: `9007199254740993`, differs: `9007199254740992`, why: "a number is a double"},
	{theirs: `{"numeric": 123456789012345678.123456789}`, want: `123456789012345678.123456789`, differs: `123456789012345680`, why: "a number is a double"},
	{theirs: `{"bool": "false"}`, want: `false`, differs: `true`, why: "any text is true"},
	{theirs: `{"INT": 1}`, want: `1`, differs: `NULL`, why: "names are compared exactly, unknown ones dropped"},
	{theirs: `{"unknown": 1}`, want: refused, differs: `NULL`, why: "unknown names are dropped"},
	{theirs: `{"json": {"a": 1}}`, want: `{"a":1}`, differs: refused, why: "JSON is to come as text"},
	{theirs: `{"json": "{\"a\": 1}"}`, want: `"{\"a\": 1}"`, differs: `{"a":1}`, why: "JSON is to come as text; ours has an option for that"},
	{theirs: `{"geo": {"type": "Point", "coordinates": [1, 2]}}`, want: `{"type":"Point","coordinates":[1,2]}`, differs: refused, why: "GeoJSON is to come as text"},
	{theirs: `{"period": {"start": "2024-02-29", "end": null}}`, want: `[2024-02-29, UNBOUNDED)`, differs: `[1970-01-01, UNBOUNDED)`, why: "as with DATE"},
	{theirs: `{"period": "[2024-02-29, UNBOUNDED)"}`, want: `[2024-02-29, UNBOUNDED)`, differs: `[UNBOUNDED, UNBOUNDED)`, why: "a text is no message"},
	{theirs: `{"ts": {"$precise": "1969-12-31T23:59:59.999999Z"}}`, ours: `{"ts": "1969-12-31T23:59:59.999999Z"}`, want: `-1`, differs: `999999`, why: "microseconds before 1970 are added with the wrong sign"},
	{theirs: `{"date": {"$date": "1969-12-31T12:00:00Z"}}`, ours: `{"date": "1969-12-31"}`, want: `1969-12-31`, differs: `1970-01-01`, why: "days are cut off towards zero"},
	{theirs: `{"int": "9223372036854775808"}`, want: refused, differs: `-9223372036854775808`, why: "Long overflows"},
	{theirs: `{"numeric": "0.0000000001"}`, want: refused, differs: `0`, why: "the service rounds; ours refuses what would be lost"},
	{theirs: `{"float": "x"}`, want: refused, differs: `NaN`, why: "what is no number is NaN"},
	{theirs: `{"bytes": "not base64!"}`, want: refused, differs: `notbase6`, why: "other characters are skipped"},
	{theirs: `{"str": "\ud800"}`, want: refused, differs: "\ufffd", why: "a lone surrogate becomes U+FFFD"},
	{theirs: `{"rec": 5}`, want: refused, differs: `{NULL []}`, why: "a number is an empty record"},
	{theirs: `{"ints": 5}`, want: refused, differs: `[]`, why: "what is no list is empty"},
	{theirs: `{"strs": "abc"}`, want: refused, differs: `[a b c]`, why: "a text is a list of its characters"},

	// Both refuse.
	{theirs: `{"ints": [1, null]}`, want: refused},
	{theirs: `{"str": {"a": 1}}`, want: refused},
	{theirs: `{"time": "24:00:00"}`, want: refused},
	{theirs: `{"datetime": "2024-02-29T12:00:00Z"}`, want: refused},
	{theirs: `{"numeric": "abc"}`, want: refused},
	{theirs: `{"numeric": 1e30}`, want: refused},
}

func parse(t *testing.T, text string) *storagepb.TableSchema {
	t.Helper()
	s, err := rows.ParseSchema([]byte(text))
	require.NoError(t, err)
	return s
}

// Rows in JSON must mean the same whoever writes them: a program that moves from Google's JSONWriter to ours, or reads
// with one what the other wrote, must find the same values, but for those that JSONWriter gets wrong, which are listed. It
// also shows that the emulator understands a client that was not written for it, in another language.
func testSpellings(t *testing.T, dir string) {
	table := parse(t, schema)
	srv, err := emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{
		theirTable: table, ourTable: table,
	}})
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Close()) }()

	var theirs, ours []string
	for _, s := range spellings {
		theirs = append(theirs, s.theirs)
		if s.ours == "" {
			s.ours = s.theirs
		}
		ours = append(ours, s.ours)
	}
	byThem := writeTheirs(t, srv, dir, theirTable, theirs)
	byUs := writeOurs(t, srv, table, ours)
	for i, s := range spellings {
		require.Equal(t, s.want, byUs[i], "ours: %s", ours[i])
		if s.why != "" {
			require.Equal(t, s.differs, byThem[i], "theirs: %s", s.theirs)
			require.NotEqual(t, s.want, byThem[i], "not different any more: %s", s.theirs)
		} else {
			require.Equal(t, s.want, byThem[i], "theirs: %s", s.theirs)
		}
	}
}

// JSONWriter can't write to a table with an INTERVAL column at all; ours must.
func testInterval(t *testing.T, dir string) {
	table := parse(t, `[{"name": "n", "type": "INTEGER"}, {"name": "i", "type": "INTERVAL"}]`)
	srv, err := emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{intervalTable: table, ourTable: table}})
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Close()) }()
	require.Equal(t, []string{refused}, writeTheirs(t, srv, dir, intervalTable, []string{`{"n": 1}`}))
	require.Equal(t, []string{"1-2 3 4:5:6"}, writeOurs(t, srv, table, []string{`{"i": "1-2 3 4:5:6"}`}))
}

// writeTheirs writes each row with JSONWriter and returns what the table holds of it.
func writeTheirs(t *testing.T, srv *emulator.Server, dir, table string, list []string) []string {
	t.Helper()
	out := run(t, dir, strings.Join(list, "\n")+"\n", "node", "write.mjs", srv.Addr(), table)
	var written []bool
	for line := range bytes.Lines(out) {
		var result struct {
			Offset *int64
			Error  string
		}
		require.NoError(t, json.Unmarshal(line, &result), "%s", line)
		require.True(t, (result.Offset == nil) == (result.Error != ""), "%s", line)
		t.Logf("%s %s", list[len(written)], line)
		written = append(written, result.Offset != nil)
	}
	require.Len(t, written, len(list))
	return stored(t, srv, table, list, written)
}

// writeOurs encodes each row, sends it, and returns what the table holds of it.
func writeOurs(t *testing.T, srv *emulator.Server, table *storagepb.TableSchema, list []string) []string {
	t.Helper()
	enc, err := rows.Compile(table)
	require.NoError(t, err)
	ctx := context.Background()
	client, err := managedwriter.NewClient(ctx, "p", srv.ClientOptions()...)
	require.NoError(t, err)
	defer client.Close()
	stream, err := client.NewManagedStream(ctx, managedwriter.WithDestinationTable(ourTable),
		managedwriter.WithType(managedwriter.CommittedStream), managedwriter.WithSchemaDescriptor(enc.Descriptor()))
	require.NoError(t, err)
	defer stream.Close()
	written := make([]bool, len(list))
	for i, object := range list {
		row, err := enc.Append(nil, []byte(object))
		if err != nil {
			t.Logf("%s: %v", object, err)
			continue
		}
		result, err := stream.AppendRows(ctx, [][]byte{row})
		require.NoError(t, err)
		_, err = result.GetResult(ctx)
		require.NoError(t, err, "the service refuses what we encoded: %s", object)
		written[i] = true
	}
	return stored(t, srv, ourTable, list, written)
}

// stored is what a table holds in the one column of each row, or refused for a row that was not written.
func stored(t *testing.T, srv *emulator.Server, table string, list []string, written []bool) []string {
	t.Helper()
	contents, ok := srv.Contents(table)
	require.True(t, ok)
	texts := make([]string, len(written))
	n := 0
	for i, was := range written {
		if !was {
			texts[i] = refused
			continue
		}
		values, err := contents.Row(n)
		require.NoError(t, err)
		n++
		var object map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(list[i]), &object))
		require.Len(t, object, 1, "%s", list[i])
		texts[i] = "NULL" // of a column that the table hasn't
		for slot, f := range contents.Schema.GetFields() {
			for name := range object {
				if strings.EqualFold(name, f.GetName()) {
					texts[i] = show(values[slot])
				}
			}
		}
	}
	require.Equal(t, n, contents.Len())
	return texts
}

// show spells a value: [a b] is a list, {a b} a record.
func show(v emulator.Value) string {
	var items []string
	for _, item := range v.Items {
		items = append(items, show(item))
	}
	switch v.Kind {
	case emulator.NullValue:
		return "NULL"
	case emulator.ListValue:
		return "[" + strings.Join(items, " ") + "]"
	case emulator.RecordValue:
		return "{" + strings.Join(items, " ") + "}"
	}
	return v.Text
}
