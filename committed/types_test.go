package committed_test

import (
	"fmt"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
)

// typed are columns of every type: what a row gives as JSON, and how the table has it.
var typed = []struct{ schema, given, stored string }{
	{`"type": "STRING"`, `"grün"`, "grün"},
	{`"type": "BYTES"`, `"AQL/"`, "AQL/"},
	{`"type": "INTEGER"`, `"-9223372036854775808"`, "-9223372036854775808"},
	{`"type": "FLOAT"`, `1.5e10`, "1.5E10"},
	{`"type": "BOOL"`, `true`, "true"},
	{`"type": "NUMERIC"`, `-12345678901234567890.000000001`, "-12345678901234567890.000000001"},
	{`"type": "NUMERIC", "precision": "5", "scale": "2"`, `"1.235"`, "1.24"},
	{`"type": "BIGNUMERIC"`, `"0.00000000000000000000000000000000000001"`, "0.00000000000000000000000000000000000001"},
	{`"type": "DATE"`, `"0001-01-01"`, "0001-01-01"},
	{`"type": "TIME"`, `"23:59:59.999999"`, "23:59:59.999999"},
	{`"type": "DATETIME"`, `"2024-02-29T12:00:00.5"`, "2024-02-29T12:00:00.500000"},
	{`"type": "TIMESTAMP"`, `"2024-07-01 12:00:00 Europe/Berlin"`, "1719828000000000"},
	{`"type": "GEOGRAPHY"`, `"POINT(1 2)"`, "POINT(1 2)"},
	{`"type": "JSON"`, `{"a": [1, null]}`, `{"a":[1,null]}`},
	{`"type": "INTERVAL"`, `"1-2 3 4:5:6.5"`, "1-2 3 4:5:6.500"},
	{`"type": "RANGE", "rangeElementType": {"type": "DATE"}`, `"[2024-01-01, UNBOUNDED)"`, "[2024-01-01, UNBOUNDED)"},
}

// If it fails, columns with a default value expression are NULL where a row leaves them out, or get their
// default although nobody asked for it.
func TestDefaultValues(t *testing.T) {
	ts, err := rows.ParseSchema([]byte(`[{"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
		{"name": "a", "type": "STRING", "defaultValueExpression": "'none'"},
		{"name": "b", "type": "INTEGER", "mode": "REQUIRED", "defaultValueExpression": "7"}]`))
	require.NoError(t, err)
	for _, defaults := range []bool{false, true} {
		b := newBench(t, committed.Options{}, emulator.Options{Tables: map[string]*storagepb.TableSchema{table: ts}})
		s, err := committed.NewSchema(table, ts, nil)
		require.NoError(t, err)
		p, err := b.w.Partition(b.ctx(), committed.PartitionConfig{Table: table, Name: "a", Schema: s, DefaultValues: defaults})
		require.NoError(t, err)
		enc, err := rows.Compile(ts)
		require.NoError(t, err)
		_, err = enc.Append(nil, []byte(`{"id": 1}`))
		require.ErrorContains(t, err, "missing REQUIRED field")
		given := `{"id": 1, "b": 1}`
		if defaults {
			enc, err = rows.Compile(ts, rows.DefaultValues())
			require.NoError(t, err)
			given = `{"id": 1}`
			_, err = enc.Append(nil, []byte(`{"a": "x"}`))
			require.ErrorContains(t, err, "id: missing REQUIRED field")
		}
		row, err := enc.Append(nil, []byte(given))
		require.NoError(t, err)
		r, err := p.Append(b.ctx(), committed.Batch{Rows: [][]byte{row}})
		require.NoError(t, err)
		b.requireLanded([]*committed.Result{r})
		contents, _ := b.srv.Contents(table)
		values, err := contents.Row(0)
		require.NoError(t, err)
		if defaults {
			require.Equal(t, "none", values[1].Text)
			require.Equal(t, "7", values[2].Text)
		} else {
			require.Equal(t, emulator.NullValue, values[1].Kind)
			require.Equal(t, "1", values[2].Text)
		}
	}
}

// If it fails, values of some type don't arrive as they were given, or a partition of a
// table that requires such a column can't be opened: its probe is refused.
func TestEveryTypeLands(t *testing.T) {
	schema, record := "", ""
	for i, c := range typed {
		schema += fmt.Sprintf(`{"name": "c%d", %s, "mode": "REQUIRED"}, `, i, c.schema)
		record += fmt.Sprintf(`"c%d": %s, `, i, c.given)
	}
	ts, err := rows.ParseSchema([]byte("[" + schema + `{"name": "l", "type": "DATE", "mode": "REPEATED"},
		{"name": "r", "type": "RECORD", "mode": "REQUIRED", "fields": [{"name": "é x", "type": "TIME", "mode": "REQUIRED"}]}]`))
	require.NoError(t, err)
	b := newBench(t, committed.Options{}, emulator.Options{RowsFirst: true, Tables: map[string]*storagepb.TableSchema{table: ts}})
	s, err := b.w.TableSchema(b.ctx(), table)
	require.NoError(t, err)
	enc, err := rows.Compile(s.Table())
	require.NoError(t, err)
	p, err := b.w.Partition(b.ctx(), committed.PartitionConfig{Table: table, Name: "a", Schema: s, Encoder: rows.Version})
	require.NoError(t, err)
	row, err := enc.Append(nil, []byte("{"+record+`"l": ["2024-01-01", "1969-12-31"], "r": {"É X": "00:00:01"}}`))
	require.NoError(t, err)
	r, err := p.Append(b.ctx(), committed.Batch{Rows: [][]byte{row}})
	require.NoError(t, err)
	b.requireLanded([]*committed.Result{r})

	contents, there := b.srv.Contents(table)
	require.True(t, there)
	require.Equal(t, 1, contents.Len())
	values, err := contents.Row(0)
	require.NoError(t, err)
	for i, c := range typed {
		got := values[i].Text
		switch {
		case values[i].Kind == emulator.RangeValue:
			got = fmt.Sprintf("[%s, UNBOUNDED)", values[i].Items[0].Text)
		case ts.Fields[i].Type == storagepb.TableFieldSchema_TIMESTAMP:
			got = fmt.Sprint(values[i].Micros)
		}
		require.Equal(t, c.stored, got, c.schema)
	}
	require.Equal(t, "1969-12-31", values[len(typed)].Items[1].Text)
	require.Equal(t, "00:00:01", values[len(typed)+1].Items[0].Text)
}
