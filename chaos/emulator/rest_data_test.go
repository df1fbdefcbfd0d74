package emulator

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/iterator"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// everyDescriptor is a writer's schema for everyType.
const everyDescriptor = `
name: "Row"
field { name: "id" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
field { name: "str" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
field { name: "num" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
field { name: "period" number: 4 type: TYPE_MESSAGE type_name: "Period" label: LABEL_OPTIONAL }
field { name: "secret" number: 5 type: TYPE_STRING label: LABEL_OPTIONAL }
field { name: "tags" number: 6 type: TYPE_STRING label: LABEL_REPEATED }
field { name: "rec" number: 7 type: TYPE_MESSAGE type_name: "Rec" label: LABEL_REPEATED }
field { name: "a_bytes" number: 8 type: TYPE_BYTES label: LABEL_OPTIONAL }
field { name: "a_float" number: 9 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
field { name: "a_boolean" number: 10 type: TYPE_BOOL label: LABEL_OPTIONAL }
field { name: "a_timestamp" number: 11 type: TYPE_INT64 label: LABEL_OPTIONAL }
field { name: "a_date" number: 12 type: TYPE_INT32 label: LABEL_OPTIONAL }
field { name: "a_time" number: 13 type: TYPE_STRING label: LABEL_OPTIONAL }
field { name: "a_datetime" number: 14 type: TYPE_STRING label: LABEL_OPTIONAL }
field { name: "a_bignumeric" number: 15 type: TYPE_STRING label: LABEL_OPTIONAL }
field { name: "a_geography" number: 16 type: TYPE_STRING label: LABEL_OPTIONAL }
field { name: "a_json" number: 17 type: TYPE_STRING label: LABEL_OPTIONAL }
field { name: "a_interval" number: 18 type: TYPE_STRING label: LABEL_OPTIONAL }
nested_type { name: "Period"
  field { name: "start" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
  field { name: "end" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL } }
nested_type { name: "Rec"
  field { name: "leaf" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
  field { name: "deep" number: 2 type: TYPE_MESSAGE type_name: "Deep" label: LABEL_OPTIONAL } }
nested_type { name: "Deep" field { name: "b" number: 1 type: TYPE_BYTES label: LABEL_OPTIONAL } }
`

// appendRows writes rows, given as the JSON of their messages, through managedwriter to a new stream.
func (b *restBench) appendRows(table, descriptor string, rows ...string) {
	b.Helper()
	desc := new(descriptorpb.DescriptorProto)
	require.NoError(b, prototext.Unmarshal([]byte(descriptor), desc))
	raw, err := proto.Marshal(desc)
	require.NoError(b, err)
	w, err := parseWriterSchema(raw)
	require.NoError(b, err)
	var data [][]byte
	for _, text := range rows {
		msg := dynamicpb.NewMessage(w.message)
		require.NoError(b, protojson.Unmarshal([]byte(text), msg))
		row, err := proto.Marshal(msg)
		require.NoError(b, err)
		data = append(data, row)
	}
	ctx := b.context()
	client, err := managedwriter.NewClient(ctx, "p", b.srv.ClientOptions()...)
	require.NoError(b, err)
	defer client.Close()
	stream, err := client.NewManagedStream(ctx, managedwriter.WithDestinationTable(table),
		managedwriter.WithType(managedwriter.CommittedStream), managedwriter.WithSchemaDescriptor(desc))
	require.NoError(b, err)
	defer stream.Close()
	result, err := stream.AppendRows(ctx, data)
	require.NoError(b, err)
	_, err = result.GetResult(ctx)
	require.NoError(b, err)
}

// readAll reads a table as a user would.
func readAll(t *testing.T, it *bigquery.RowIterator) (rows [][]bigquery.Value) {
	t.Helper()
	for {
		var row []bigquery.Value
		err := it.Next(&row)
		if errors.Is(err, iterator.Done) {
			return rows
		}
		require.NoError(t, err)
		rows = append(rows, row)
	}
}

// Without this the official client couldn't read back, or would read wrongly, what the Storage Write API took: of
// every type, NULLs, and bounds that are missing.
func TestRESTRead(t *testing.T) {
	b := newRESTBench(t, Options{})
	ctx := b.context()
	table := b.client.Dataset("d").Table("new")
	schema := everyType()
	schema[1].DefaultValueExpression = "" // absent is NULL here
	require.NoError(t, table.Create(ctx, &bigquery.TableMetadata{Schema: schema}))
	require.Empty(t, readAll(t, table.Read(ctx)))

	b.appendRows("projects/p/datasets/d/tables/new", everyDescriptor, `{
		"id": "-9223372036854775808", "str": "ä\n", "num": "12.30", "period": {"start": 19000}, "secret": "s", "tags": ["a", ""],
		"rec": [{"leaf": "1700000000123456", "deep": {"b": "AAEC"}}, {"leaf": "-1"}], "a_bytes": "/+8=", "a_float": 1e300,
		"a_boolean": false, "a_timestamp": "-62135596800000000", "a_date": -719162, "a_time": "23:59:59.999999",
		"a_datetime": "2024-02-29T12:00:00.5", "a_bignumeric": "-0.00000000000000000000000000000000000001",
		"a_geography": "POINT(1 2)", "a_json": "{\"a\": [1, null]}", "a_interval": "1-2 3 4:5:6.5"}`,
		`{"id": "1"}`)

	rows := readAll(t, table.Read(ctx))
	require.Len(t, rows, 2)
	num, big1 := rows[0][2].(*big.Rat), rows[0][14].(*big.Rat)
	require.Equal(t, "12.3", num.FloatString(1))
	require.Equal(t, "-0.00000000000000000000000000000000000001", big1.FloatString(38))
	require.JSONEq(t, `{"a": [1, null]}`, rows[0][16].(string))
	for i, want := range map[int]string{ // of types in packages that this module doesn't import
		11: "0001-01-01", 12: "23:59:59.999999000", 13: "2024-02-29T12:00:00.500000000",
	} {
		require.Equal(t, want, fmt.Sprint(rows[0][i]))
	}
	period := rows[0][3].(*bigquery.RangeValue)
	require.Equal(t, "2022-01-08", fmt.Sprint(period.Start))
	require.Nil(t, period.End)
	for _, i := range []int{2, 3, 11, 12, 13, 14, 16} {
		rows[0][i] = nil
	}
	require.Equal(t, []bigquery.Value{
		int64(-9223372036854775808), "ä\n", nil, nil, "s", []bigquery.Value{"a", ""},
		[]bigquery.Value{
			[]bigquery.Value{time.UnixMicro(1700000000123456).UTC(), []bigquery.Value{[]byte{0, 1, 2}}},
			[]bigquery.Value{time.UnixMicro(-1).UTC(), nil},
		},
		[]byte{0xff, 0xef}, 1e300, false, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), nil, nil, nil, nil, "POINT(1 2)", nil,
		&bigquery.IntervalValue{Years: 1, Months: 2, Days: 3, Hours: 4, Minutes: 5, Seconds: 6, SubSecondNanos: 500000000},
	}, rows[0])
	want := make([]bigquery.Value, len(schema))
	want[0] = int64(1)
	want[5], want[6] = []bigquery.Value(nil), []bigquery.Value(nil) // never NULL
	require.Equal(t, want, rows[1])

	md, err := table.Metadata(ctx)
	require.NoError(t, err)
	require.Equal(t, uint64(2), md.NumRows)

	// Columns that are added are NULL in the rows before.
	_, err = table.Update(ctx, bigquery.TableMetadataToUpdate{
		Schema: append(md.Schema, &bigquery.FieldSchema{Name: "added", Type: bigquery.StringFieldType}),
	}, md.ETag)
	require.NoError(t, err)
	rows = readAll(t, table.Read(ctx))
	require.Len(t, rows[1], len(schema)+1)
	require.Nil(t, rows[1][len(schema)])
}

// Pages must join without a gap or a repetition, wherever they begin; otherwise a reader would believe that rows were
// lost or doubled.
func TestRESTPages(t *testing.T) {
	b := newRESTBench(t, Options{})
	ctx := b.context()
	b.open(b.create()).ok(0, orderRows(0, 10), 0)
	table := b.client.Dataset("d").Table("orders")
	for size := range 12 {
		it := table.Read(ctx)
		it.PageInfo().MaxSize = size // 0: as many as the service likes
		rows := readAll(t, it)
		require.Len(t, rows, 10)
		for i, row := range rows {
			require.Equal(t, int64(i), row[0])
		}
		require.Equal(t, uint64(10), it.TotalRows)
	}
	it := table.Read(ctx)
	it.StartIndex, it.PageInfo().MaxSize = 7, 2
	require.Len(t, readAll(t, it), 3)
	it = table.Read(ctx)
	it.StartIndex = 11
	require.Empty(t, readAll(t, it))
}

// The JSON itself, for readers that aren't Google's client: how NULL, lists, records and timestamps are spelt, and
// that selected columns are the only ones.
func TestRESTSpelling(t *testing.T) {
	b := newRESTBench(t, Options{})
	const data = "/bigquery/v2/projects/p/datasets/d/tables/new/data"
	schema := bigquery.Schema{
		{Name: "n", Type: bigquery.IntegerFieldType}, {Name: "ts", Type: bigquery.TimestampFieldType},
		{Name: "rec", Type: bigquery.RecordFieldType, Repeated: true, Schema: bigquery.Schema{
			{Name: "a", Type: bigquery.BooleanFieldType}, {Name: "ts", Type: bigquery.TimestampFieldType},
		}},
		{Name: "period", Type: bigquery.RangeFieldType, RangeElementType: &bigquery.RangeElementType{Type: bigquery.TimestampFieldType}},
	}
	require.NoError(t, b.client.Dataset("d").Table("new").Create(b.context(), &bigquery.TableMetadata{Schema: schema}))
	code, answer := b.call("GET", data, "")
	require.Equal(t, 200, code)
	require.Equal(t, "0", answer["totalRows"])
	require.NotContains(t, answer, "rows")

	b.appendRows("projects/p/datasets/d/tables/new", `
		name: "Row"
		field { name: "ts" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL }
		field { name: "rec" number: 2 type: TYPE_MESSAGE type_name: "Rec" label: LABEL_REPEATED }
		field { name: "period" number: 3 type: TYPE_MESSAGE type_name: "Period" label: LABEL_OPTIONAL }
		nested_type { name: "Rec"
			field { name: "a" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL }
			field { name: "ts" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL } }
		nested_type { name: "Period" field { name: "end" number: 1 type: TYPE_INT64 label: LABEL_OPTIONAL } }`,
		`{"ts": "1420070400500000", "rec": [{"a": true}, {"ts": "1"}], "period": {"end": "1420070400000000"}}`)

	type m = map[string]any
	v := func(x any) m { return m{"v": x} }
	for query, want := range map[string][]any{
		"": {v(nil), v("1.4200704005E9"), v([]any{
			v(m{"f": []any{v("true"), v(nil)}}), v(m{"f": []any{v(nil), v("1.0E-6")}}),
		}), v("[UNBOUNDED, 1.4200704E9)")},
		"?formatOptions.useInt64Timestamp=true": {v(nil), v("1420070400500000"), v([]any{
			v(m{"f": []any{v("true"), v(nil)}}), v(m{"f": []any{v(nil), v("1")}}),
		}), v("[UNBOUNDED, 1420070400000000)")},
		"?formatOptions.timestampOutputFormat=ISO8601_STRING&selectedFields=ts":                               {v("2015-01-01T00:00:00.500000Z")},
		"?formatOptions.timestampOutputFormat=FLOAT64&formatOptions.useInt64Timestamp=true&selectedFields=ts": {v("1.4200704005E9")},
		"?selectedFields=rec.A,n": {v(nil), v([]any{v(m{"f": []any{v("true")}}), v(m{"f": []any{v(nil)}})})},
		"?selectedFields=rec,rec.a&maxResults=1&formatOptions.useInt64Timestamp=true": {v([]any{
			v(m{"f": []any{v("true"), v(nil)}}), v(m{"f": []any{v(nil), v("1")}}),
		})},
	} {
		code, answer := b.call("GET", data+query, "")
		require.Equal(t, 200, code, answer)
		require.Equal(t, "1", answer["totalRows"])
		require.Equal(t, []any{m{"f": want}}, answer["rows"], query)
	}
	for _, query := range []string{"?selectedFields=no", "?selectedFields=rec.no", "?selectedFields=n.x", "?startIndex=x",
		"?formatOptions.timestampOutputFormat=x"} {
		code, answer := b.call("GET", data+query, "")
		require.Equal(t, 400, code, "%s: %v", query, answer)
	}
	code, _ = b.call("GET", "/projects/p/datasets/d/tables/none/data", "")
	require.Equal(t, 404, code)
}

// What a page holds must be bounded by its bytes too, or a table of large rows would be answered in one piece.
func TestRESTPageBytes(t *testing.T) {
	schema := ordersSchema()
	schema.Fields[1].MaxLength = 0
	b := newRESTBench(t, Options{Tables: map[string]*storagepb.TableSchema{orders: schema}})
	rows := make([][]byte, 12)
	for i := range rows {
		rows[i] = order(int64(i), strings.Repeat("x", 1<<20))
	}
	b.open(b.create()).ok(0, rows, 0)
	const data = "/projects/p/datasets/d/tables/orders/data"
	_, answer := b.call("GET", data, "")
	first := len(answer["rows"].([]any))
	require.Less(t, first, 12)
	_, answer = b.call("GET", data+"?pageToken="+answer["pageToken"].(string), "")
	require.Len(t, answer["rows"], 12-first)
	require.NotContains(t, answer, "pageToken")
}

// Rows of a foreign writer that nothing can decode must be refused, and not with a code that clients try again for ever.
func TestRESTUndecodable(t *testing.T) {
	b := newRESTBench(t, Options{})
	_, err := b.srv.AppendForeign(b.create(), orderRows(0, 1))
	require.NoError(t, err)
	code, answer := b.call("GET", "/projects/p/datasets/d/tables/orders/data", "")
	require.Equal(t, 400, code, answer)
}
