package committed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
)

// The loop of a pipeline that lives with a changing table: it follows Partition.Schema, and asks for the
// schema when a row has a field that it doesn't know.
func ExamplePartition_Schema() {
	const orders = "projects/p/datasets/d/tables/orders"
	srv, dir := service(orders)
	defer srv.Close()
	defer os.RemoveAll(dir)

	ctx := context.Background()
	led, err := ledger.Open(filepath.Join(dir, "orders.ledger"), nil)
	check(err)
	w, err := committed.Open(ctx, led, committed.Options{ClientOptions: srv.ClientOptions()})
	check(err)
	schema, err := w.TableSchema(ctx, orders)
	check(err)
	p, err := w.Partition(ctx, committed.PartitionConfig{Table: orders, Name: "orders-0", Schema: schema, Encoder: rows.Version})
	check(err)
	enc, err := rows.Compile(schema.Table())
	check(err)

	write := func(object string) {
		if s := p.Schema(); s != schema { // told by the service, or by a refresh
			schema = s
			enc, err = rows.Compile(schema.Table())
			check(err)
		}
		row, err := enc.Append(nil, []byte(object))
		if isUnknownField(err) {
			schema, err = p.Refresh(ctx)
			check(err)
			enc, err = rows.Compile(schema.Table())
			check(err)
			row, err = enc.Append(nil, []byte(object)) // still unknown: the row is wrong
		}
		check(err)
		r, err := p.Append(ctx, committed.Batch{Rows: [][]byte{row}, Schema: schema})
		check(err)
		_, err = r.Wait(ctx)
		check(err)
	}

	write(`{"id": 1, "item": "lamp"}`)
	wider := schema.Table().GetFields()
	check(srv.AlterTable(orders, &storagepb.TableSchema{Fields: append(wider, &storagepb.TableFieldSchema{
		Name: "colour", Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_NULLABLE,
	})}))
	write(`{"id": 2, "item": "vase", "colour": "blue"}`)

	for _, r := range srv.Rows(orders) {
		row, err := r.JSON()
		check(err)
		fmt.Println(string(row))
	}
	check(w.Close(ctx))
	check(led.Close())
	// Output:
	// {"id":1,"item":"lamp"}
	// {"colour":"blue","id":2,"item":"vase"}
}

func isUnknownField(err error) bool {
	var refused *rows.Error
	return errors.As(err, &refused) && refused.Kind == rows.UnknownField
}
