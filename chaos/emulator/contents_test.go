package emulator

import (
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
)

// contents decodes all rows of a table.
func contents(t require.TestingT, srv *Server, table string) (rows [][]Value) {
	c, ok := srv.Contents(table)
	require.True(t, ok)
	for i := range c.Len() {
		row, err := c.Row(i)
		require.NoError(t, err)
		rows = append(rows, row)
	}
	return rows
}

func scalars(texts ...string) (values []Value) {
	for _, text := range texts {
		values = append(values, scalarValue(text))
	}
	return values
}

// If this failed, rows would be shown as they never were, or in columns that they weren't written to.
func TestContents(t *testing.T) {
	b := newBench(t, Options{})
	c := b.open(b.create())
	row := varintField(varintField(order(1, "a"), 3, 7), 3, 8)
	row = bytesField(row, 7, string(varintField(nil, 1, 5)))
	c.ok(0, [][]byte{row, order(2, "b")}, 0)
	empty := Value{Kind: ListValue}
	first := []Value{scalarValue("1"), scalarValue("a"), {Kind: ListValue, Items: scalars("7", "8")}, {}, {}, {},
		{Kind: RecordValue, Items: scalars("5")}}
	second := []Value{scalarValue("2"), scalarValue("b"), empty, {}, {}, {}, {}}
	require.Equal(t, [][]Value{first, second}, contents(t, b.srv, orders))

	altered := ordersSchema() // without name, with more, and rec with one more field in front
	rec := altered.Fields[6]
	rec.Fields = append([]*storagepb.TableFieldSchema{{Name: "young", Type: storagepb.TableFieldSchema_STRING}}, rec.Fields...)
	altered.Fields = append(altered.Fields[2:], altered.Fields[0], &storagepb.TableFieldSchema{
		Name: "more", Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_REPEATED})
	require.NoError(t, b.srv.AlterTable(orders, altered))
	first = []Value{first[2], {}, {}, {}, {Kind: RecordValue, Items: []Value{{}, scalarValue("5")}}, first[0], empty}
	require.Equal(t, first, contents(t, b.srv, orders)[0])

	again := ordersSchema() // the name that comes back is another column
	again.Fields[0].Type = storagepb.TableFieldSchema_BIGNUMERIC
	require.NoError(t, b.srv.AlterTable(orders, again))
	got := contents(t, b.srv, orders)[1]
	require.Equal(t, Value{}, got[1])
	require.Equal(t, scalarValue("2"), got[0])

	_, ok := b.srv.Contents("projects/p/datasets/d/tables/none")
	require.False(t, ok)
}
