package tableschema

import (
	"context"
	"errors"
	"fmt"

	storage "cloud.google.com/go/bigquery/storage/apiv1"
	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/retry"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"
)

// Get asks the service for the schema of table, projects/P/datasets/D/tables/T (case 7: GetWriteStream with the FULL
// view, on the default stream, which every table has). It tries again while the service is unavailable, until ctx
// ends. It needs no ledger.
func Get(ctx context.Context, table string, opts []option.ClientOption) (ts *storagepb.TableSchema, err error) {
	client, err := storage.NewBigQueryWriteClient(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("make a BigQuery client: %w", err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	never := gax.WithRetry(func() gax.Retryer { return nil }) // the client would try for 20 minutes, past ctx's reason
	err = retry.Do(ctx, retry.DefaultPolicy(), func(ctx context.Context) error {
		ws, err := client.GetWriteStream(ctx, &storagepb.GetWriteStreamRequest{
			Name: table + "/streams/_default", View: storagepb.WriteStreamView_FULL,
		}, never)
		ts = ws.GetTableSchema()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get the schema of %s: %w", table, err)
	}
	return ts, nil
}
