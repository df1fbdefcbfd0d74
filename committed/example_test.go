package committed_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
)

// Orders go from a source that can't be read twice into a table, each exactly once.
func ExampleOpen() {
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
	enc, err := rows.Compile(schema.Table())
	check(err)
	p, err := w.Partition(ctx, committed.PartitionConfig{Table: orders, Name: "orders-0", Schema: schema})
	check(err)

	row, err := enc.Append(nil, []byte(`{"id": 1, "item": "lamp"}`))
	check(err)
	r, err := p.Append(ctx, committed.Batch{Rows: [][]byte{row}, Position: []byte("1")})
	check(err)
	check(r.Stored(ctx)) // it lands now, even if this program dies
	ack, err := r.Wait(ctx)
	check(err) // it has landed
	fmt.Printf("%d row at offset %d, resume after %s\n", ack.Rows, ack.Offset, p.Position())

	check(w.Close(ctx))
	check(led.Close())
	// Output: 1 row at offset 0, resume after 1
}

// service is an emulator with a table of orders, and a folder for the ledger.
func service(table string) (*emulator.Server, string) {
	srv, err := emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{table: {
		Fields: []*storagepb.TableFieldSchema{
			{Name: "id", Type: storagepb.TableFieldSchema_INT64, Mode: storagepb.TableFieldSchema_REQUIRED},
			{Name: "item", Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_NULLABLE},
		},
	}}})
	check(err)
	dir, err := os.MkdirTemp("", "ledger")
	check(err)
	return srv, dir
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
