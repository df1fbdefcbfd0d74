package emulator_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"

	"cloud.google.com/go/bigquery"
	"github.com/eowriter/eowriter/chaos/emulator"
	"google.golang.org/api/option"
)

// A table made, altered and read with BigQuery's own client; the Storage Write API writes to it at srv.Addr.
func ExampleNewREST() {
	srv, err := emulator.Start(emulator.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	api := httptest.NewServer(emulator.NewREST(srv))
	defer api.Close()

	ctx := context.Background()
	client, err := bigquery.NewClient(ctx, "p", option.WithEndpoint(api.URL), option.WithoutAuthentication())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := client.Dataset("d").Create(ctx, nil); err != nil {
		log.Fatal(err)
	}
	table := client.Dataset("d").Table("t")
	schema := bigquery.Schema{{Name: "id", Type: bigquery.IntegerFieldType, Required: true}}
	if err := table.Create(ctx, &bigquery.TableMetadata{Schema: schema}); err != nil {
		log.Fatal(err)
	}
	schema = append(schema, &bigquery.FieldSchema{Name: "at", Type: bigquery.TimestampFieldType})
	md, err := table.Update(ctx, bigquery.TableMetadataToUpdate{Schema: schema}, "")
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range md.Schema {
		fmt.Println(f.Name, f.Type)
	}
	// Output:
	// id INTEGER
	// at TIMESTAMP
}
