package emulator_test

import (
	"context"
	"fmt"
	"log"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"github.com/eowriter/eowriter/chaos/emulator"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// An emulator with one table, written to by Google's own client.
func ExampleStart() {
	const table = "projects/p/datasets/d/tables/t"
	srv, err := emulator.Start(emulator.Options{
		Tables: map[string]*storagepb.TableSchema{table: {Fields: []*storagepb.TableFieldSchema{
			{Name: "id", Type: storagepb.TableFieldSchema_INT64, Mode: storagepb.TableFieldSchema_REQUIRED},
		}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	ctx := context.Background()
	client, err := managedwriter.NewClient(ctx, "p", srv.ClientOptions()...)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	stream, err := client.NewManagedStream(ctx,
		managedwriter.WithDestinationTable(table),
		managedwriter.WithType(managedwriter.CommittedStream),
		managedwriter.WithSchemaDescriptor(&descriptorpb.DescriptorProto{
			Name: proto.String("T"),
			Field: []*descriptorpb.FieldDescriptorProto{{
				Name: proto.String("id"), Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum(),
			}},
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()

	row := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 42)
	for range 2 { // the second is a duplicate
		result, err := stream.AppendRows(ctx, [][]byte{row}, managedwriter.WithOffset(0))
		if err != nil {
			log.Fatal(err)
		}
		if offset, err := result.GetResult(ctx); err != nil {
			fmt.Println("refused")
		} else {
			fmt.Println("written at", offset)
		}
	}
	for _, row := range srv.Rows(table) {
		text, err := row.JSON()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(text))
	}
	contents, _ := srv.Contents(table) // the same, as BigQuery would show it
	for i := range contents.Len() {
		values, err := contents.Row(i)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(contents.Schema.GetFields()[0].GetName(), "is", values[0].Text)
	}
	// Output:
	// written at 0
	// refused
	// {"id":42}
	// id is 42
}
