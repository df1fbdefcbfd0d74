package committed_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter/adapt"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/protobuf/proto"
)

// Rows that are messages of a compiled .proto already need no encoder: the message's descriptor,
// normalized, is the writer schema, and proto.Marshal makes the rows. storagepb.RowError stands for a
// message of one's own; its fields are named like the table's columns, and its enum goes into an
// INTEGER column. The same holds for messages of any other origin, as long as their descriptor comes
// with them.
func ExampleNewSchema_proto() {
	const table = "projects/p/datasets/d/tables/row_errors"
	srv, err := emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{table: {
		Fields: []*storagepb.TableFieldSchema{
			{Name: "index", Type: storagepb.TableFieldSchema_INT64, Mode: storagepb.TableFieldSchema_NULLABLE},
			{Name: "code", Type: storagepb.TableFieldSchema_INT64, Mode: storagepb.TableFieldSchema_NULLABLE},
			{Name: "message", Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_NULLABLE},
		},
	}}})
	check(err)
	defer srv.Close()
	dir, err := os.MkdirTemp("", "ledger")
	check(err)
	defer os.RemoveAll(dir)

	ctx := context.Background()
	led, err := ledger.Open(filepath.Join(dir, "errors.ledger"), nil)
	check(err)
	w, err := committed.Open(ctx, led, committed.Options{ClientOptions: srv.ClientOptions()})
	check(err)

	descriptor, err := adapt.NormalizeDescriptor((*storagepb.RowError)(nil).ProtoReflect().Descriptor())
	check(err)
	schema, err := committed.NewSchema(table, nil, descriptor)
	check(err)
	p, err := w.Partition(ctx, committed.PartitionConfig{Table: table, Name: "errors-0", Schema: schema})
	check(err)

	row, err := proto.Marshal(&storagepb.RowError{Index: 7, Code: storagepb.RowError_FIELDS_ERROR, Message: "too long"})
	check(err)
	r, err := p.Append(ctx, committed.Batch{Rows: [][]byte{row}, Position: []byte("1")})
	check(err)
	ack, err := r.Wait(ctx)
	check(err)
	fmt.Printf("%d row at offset %d\n", ack.Rows, ack.Offset)

	check(w.Close(ctx))
	check(led.Close())
	// Output: 1 row at offset 0
}
