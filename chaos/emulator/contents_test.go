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
	again.Fields[6] = rec
	again.Fields[0].Type = storagepb.TableFieldSchema_BIGNUMERIC
	require.NoError(t, b.srv.AlterTable(orders, again))
	got := contents(t, b.srv, orders)[1]
	require.Equal(t, Value{}, got[1])
	require.Equal(t, scalarValue("2"), got[0])

	_, ok := b.srv.Contents("projects/p/datasets/d/tables/none")
	require.False(t, ok)
}

// If this failed, rows would change with a restart: filled with defaults of today, or shown in columns of another time.
func TestContentsAfterRestart(t *testing.T) {
	folder := t.TempDir()
	opt := fillers()
	opt.Data = folder
	first, err := Start(opt)
	require.NoError(t, err)
	b := &bench{T: t, srv: first}
	b.client = storagepb.NewBigQueryWriteClient(b.dial())
	c := fillersCall(b)
	row := varintField(nil, 1, 1)
	require.Nil(t, c.interpreted(0, defaultValue, nil, row).GetError())
	require.Nil(t, c.interpreted(1, storagepb.AppendRowsRequest_NULL_VALUE, nil, row).GetError())
	without := withTable(opt.Tables[orders].Fields[0]).Tables[orders]
	require.NoError(t, first.AlterTable(orders, without))
	again := fillers().Tables[orders]
	for _, column := range again.Fields {
		column.DefaultValueExpression = ""
	}
	require.NoError(t, first.AlterTable(orders, again))
	require.Nil(t, c.interpreted(2, storagepb.AppendRowsRequest_NULL_VALUE, nil, row).GetError()) // in the form of before
	fresh := fillersCall(b)
	fresh.ok(0, [][]byte{order(2, "b")}, 0)
	want := [][]string{{"1", "NULL", "NULL", "NULL"}, {"1", "NULL", "NULL", "NULL"}, {"1", "NULL", "NULL", "NULL"}, {"2", "b", "NULL", "NULL"}}
	require.Equal(t, want, b.texts())
	require.NoError(t, first.Close())

	b = newBench(t, Options{Data: folder, Tables: map[string]*storagepb.TableSchema{}})
	require.Equal(t, want, b.texts())
	require.NoError(t, b.srv.Close())

	opt = fillers() // and where nothing was altered, the defaults stay
	opt.Data = t.TempDir()
	first, err = Start(opt)
	require.NoError(t, err)
	b = &bench{T: t, srv: first}
	b.client = storagepb.NewBigQueryWriteClient(b.dial())
	require.Nil(t, fillersCall(b).interpreted(0, defaultValue, nil, row).GetError())
	require.NoError(t, first.Close())
	opt.Tables[orders].Fields[1].DefaultValueExpression = "'other'"
	b = newBench(t, opt)
	require.Equal(t, [][]string{{"1", "none", "1.5", "2024-02-29"}}, b.texts())
	require.Nil(t, fillersCall(b).interpreted(0, defaultValue, nil, row).GetError())
	require.Equal(t, []string{"1", "other", "1.5", "2024-02-29"}, b.texts()[1])
}

// If this failed, a row that is no message of its schema would be shown as something, or fault.
func TestContentsOfForeignRows(t *testing.T) {
	b := newBench(t, Options{})
	name := b.create()
	_, err := b.srv.AppendForeign(name, [][]byte{order(1, "a")}) // nobody wrote: of no schema
	require.NoError(t, err)
	b.open(name).ok(1, orderRows(1, 1), 1)
	_, err = b.srv.AppendForeign(name, [][]byte{order(2, "a"), {0xff}})
	require.NoError(t, err)
	c, ok := b.srv.Contents(orders)
	require.True(t, ok)
	require.Equal(t, 4, c.Len())
	for i, good := range []bool{false, true, true, false} {
		_, err := c.Row(i)
		require.Equal(t, good, err == nil, "row %d: %v", i, err)
	}
}
