package emulator

import (
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
)

// If this failed, a column would be filled with another value than its default, or a table would be made whose default
// nobody evaluates (case 64).
func TestDefaultValueExpressions(t *testing.T) {
	const refused = "\x00"
	for _, c := range []struct {
		column storagepb.TableFieldSchema_Type
		values map[string]string // expression to text or refused
	}{
		{storagepb.TableFieldSchema_STRING, map[string]string{`'it'`: "it", `"it's"`: "it's", `'it\'s'`: "it's", `"a\n\u00e9\\"`: "a\né\\", `r'a\n'`: `a\n`,
			`''`: "", ` 'x' `: "x", `NULL`: "", `'a`: refused, `'a'b'`: refused, `1`: refused, `TRUE`: refused, `SESSION_USER()`: refused, `GENERATE_UUID()`: refused,
			`CONCAT('a', 'b')`: refused, `b'x'`: refused, `DATE '2024-01-01'`: refused, `'\q'`: refused, `CURRENT_TIMESTAMP()`: refused}},
		{storagepb.TableFieldSchema_BYTES, map[string]string{`b'\xff'`: "/w==", `B"a"`: "YQ==", `'a'`: refused}},
		{storagepb.TableFieldSchema_INT64, map[string]string{`42`: "42", `-42`: "-42", `1.5`: refused, `9223372036854775808`: refused, `'1'`: refused, `0x10`: refused}},
		{storagepb.TableFieldSchema_DOUBLE, map[string]string{`1`: "1.0", `-1.5e3`: "-1500.0", `.5`: "0.5", `1e999`: refused, `NaN`: refused}},
		{storagepb.TableFieldSchema_BOOL, map[string]string{`true`: "true", `FALSE`: "false", `1`: refused}},
		{storagepb.TableFieldSchema_NUMERIC, map[string]string{`1.50`: "1.5", `NUMERIC '2.5'`: "2.5", `DECIMAL"3"`: "3", `'1'`: refused, `1e40`: refused}},
		{storagepb.TableFieldSchema_BIGNUMERIC, map[string]string{`BIGNUMERIC '2.5'`: "2.5", `NUMERIC '2.5'`: refused}},
		{storagepb.TableFieldSchema_DATE, map[string]string{`DATE '2024-02-29'`: "2024-02-29", `date"2024-2-9"`: "2024-02-09", `'2024-02-29'`: "2024-02-29", `DATE '2023-02-29'`: refused, `TIMESTAMP '2024-02-29'`: refused}},
		{storagepb.TableFieldSchema_TIMESTAMP, map[string]string{`TIMESTAMP '1970-01-01 00:00:01+00:00'`: "1000000", `0`: refused}},
		{storagepb.TableFieldSchema_DATETIME, map[string]string{`DATETIME '2024-02-29 1:2:3'`: "2024-02-29T01:02:03"}},
		{storagepb.TableFieldSchema_TIME, map[string]string{`TIME '1:2:3'`: "01:02:03"}},
		{storagepb.TableFieldSchema_JSON, map[string]string{`JSON '{"a": 1}'`: `{"a":1}`, `JSON '{'`: refused, `'1'`: refused}},
		{storagepb.TableFieldSchema_INTERVAL, map[string]string{`INTERVAL 1 DAY`: refused}},
		{storagepb.TableFieldSchema_GEOGRAPHY, map[string]string{`ST_GEOGPOINT(1, 2)`: refused}},
	} {
		for expression, want := range c.values {
			d, err := parseDefault(column("c", c.column, expression))
			if want == refused {
				require.Error(t, err, "%s %s", c.column, expression)
				continue
			}
			require.NoError(t, err, "%s %s", c.column, expression)
			require.Equal(t, want, d.at(time.Time{}).Text, "%s %s", c.column, expression)
		}
	}
	now := time.Date(2024, 2, 29, 1, 2, 3, 4567, time.FixedZone("", 3600))
	for column, want := range map[*storagepb.TableFieldSchema]string{
		column("c", storagepb.TableFieldSchema_TIMESTAMP, "current_timestamp()"): "1709164923000004",
		column("c", storagepb.TableFieldSchema_DATE, "CURRENT_DATE()"):           "2024-02-29",
		column("c", storagepb.TableFieldSchema_TIME, "CURRENT_TIME"):             "00:02:03.000004",
		column("c", storagepb.TableFieldSchema_DATETIME, "CURRENT_DATETIME()"):   "2024-02-29T00:02:03.000004",
	} {
		d, err := parseDefault(column)
		require.NoError(t, err)
		require.Equal(t, want, d.at(now).Text)
	}
	_, err := parseDefault(&storagepb.TableFieldSchema{Type: storagepb.TableFieldSchema_INT64, Mode: storagepb.TableFieldSchema_REPEATED, DefaultValueExpression: "[1]"})
	require.Error(t, err)
}

// If this failed, a table could be made that BigQuery refuses, and a decoder would run deeper than its limit.
func TestTableSchemas(t *testing.T) {
	deep := func(levels int) *storagepb.TableFieldSchema {
		c := column("leaf", storagepb.TableFieldSchema_INT64, "")
		for range levels {
			c = &storagepb.TableFieldSchema{Name: "rec", Type: storagepb.TableFieldSchema_STRUCT, Fields: []*storagepb.TableFieldSchema{c}}
		}
		return c
	}
	required := column("c", storagepb.TableFieldSchema_INT64, "NULL")
	required.Mode = storagepb.TableFieldSchema_REQUIRED
	nested := deep(1)
	nested.Fields[0].DefaultValueExpression = "1"
	for name, c := range map[string]struct {
		ok      bool
		columns []*storagepb.TableFieldSchema
	}{
		"14 records":              {true, []*storagepb.TableFieldSchema{deep(14)}},
		"15 records":              {false, []*storagepb.TableFieldSchema{deep(15)}},
		"a name twice":            {false, []*storagepb.TableFieldSchema{column("a", 1, ""), column("A", 1, "")}},
		"no name":                 {false, []*storagepb.TableFieldSchema{column("", 1, "")}},
		"no type":                 {false, []*storagepb.TableFieldSchema{column("a", 0, "")}},
		"an unknown type":         {false, []*storagepb.TableFieldSchema{column("a", 99, "")}},
		"a record without fields": {false, []*storagepb.TableFieldSchema{column("a", storagepb.TableFieldSchema_STRUCT, "")}},
		"length of a number":      {false, []*storagepb.TableFieldSchema{{Name: "a", Type: storagepb.TableFieldSchema_INT64, MaxLength: 1}}},
		"NUMERIC(29)":             {true, []*storagepb.TableFieldSchema{typed(storagepb.TableFieldSchema_NUMERIC, 29, 0)}},
		"NUMERIC(30)":             {false, []*storagepb.TableFieldSchema{typed(storagepb.TableFieldSchema_NUMERIC, 30, 0)}},
		"NUMERIC(38, 9)":          {true, []*storagepb.TableFieldSchema{typed(storagepb.TableFieldSchema_NUMERIC, 38, 9)}},
		"NUMERIC(12, 10)":         {false, []*storagepb.TableFieldSchema{typed(storagepb.TableFieldSchema_NUMERIC, 12, 10)}},
		"scale alone":             {false, []*storagepb.TableFieldSchema{typed(storagepb.TableFieldSchema_NUMERIC, 0, 2)}},
		"BIGNUMERIC(76, 38)":      {true, []*storagepb.TableFieldSchema{typed(storagepb.TableFieldSchema_BIGNUMERIC, 76, 38)}},
		"TIMESTAMP(12)":           {true, []*storagepb.TableFieldSchema{typed(storagepb.TableFieldSchema_TIMESTAMP, 12)}},
		"TIMESTAMP(9)":            {false, []*storagepb.TableFieldSchema{typed(storagepb.TableFieldSchema_TIMESTAMP, 9)}},
		"RANGE<DATE>":             {true, []*storagepb.TableFieldSchema{rangeOf(storagepb.TableFieldSchema_DATE)}},
		"RANGE<TIME>":             {false, []*storagepb.TableFieldSchema{rangeOf(storagepb.TableFieldSchema_TIME)}},
		"RANGE":                   {false, []*storagepb.TableFieldSchema{typed(storagepb.TableFieldSchema_RANGE)}},
		"REQUIRED DEFAULT NULL":   {false, []*storagepb.TableFieldSchema{required}},
		"default in a record":     {false, []*storagepb.TableFieldSchema{nested}},
	} {
		err := checkSchema(&storagepb.TableSchema{Fields: c.columns})
		require.Equal(t, c.ok, err == nil, "%s: %v", name, err)
	}
	srv := newBench(t, Options{}).srv
	require.Error(t, srv.CreateTable("projects/p/datasets/d/tables/t", &storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{deep(15)}}))
	require.Error(t, srv.AlterTable(orders, &storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{deep(15)}}))
}
