package emulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery"
	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/protobuf/proto"
)

// restBench is an emulator with its REST API and Google's client for it.
type restBench struct {
	*bench
	url    string
	client *bigquery.Client
}

func newRESTBench(t *testing.T, opt Options) *restBench {
	t.Helper()
	b := newBench(t, opt)
	api := httptest.NewServer(NewREST(b.srv))
	t.Cleanup(api.Close)
	client, err := bigquery.NewClient(context.Background(), "p", option.WithEndpoint(api.URL),
		option.WithoutAuthentication())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return &restBench{b, api.URL, client}
}

// call sends a request of the test's own and returns the status code and the decoded answer.
func (b *restBench) call(method, path, body string, headers ...string) (int, map[string]any) {
	b.Helper()
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	require.NoError(b, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(b, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(b, err)
	if len(text) == 0 {
		return resp.StatusCode, nil
	}
	var answer map[string]any
	require.NoError(b, json.Unmarshal(text, &answer), "%s", text)
	return resp.StatusCode, answer
}

// wantAPIError wants an error as Google's client understands it.
func wantAPIError(t *testing.T, err error, code int, reason, message string) {
	t.Helper()
	var e *googleapi.Error
	require.True(t, errors.As(err, &e), "%v", err)
	require.Equal(t, code, e.Code, e.Message)
	require.Len(t, e.Errors, 1)
	require.Equal(t, reason, e.Errors[0].Reason, e.Message)
	require.Contains(t, e.Message, message)
}

// Without this the official client could neither make, find, list nor delete datasets.
func TestRESTDatasets(t *testing.T) {
	b := newRESTBench(t, Options{})
	ctx := b.context()

	d := b.client.Dataset("new")
	_, err := d.Metadata(ctx)
	wantAPIError(t, err, 404, "notFound", "Not found: Dataset p:new")
	require.NoError(t, d.Create(ctx, &bigquery.DatasetMetadata{
		Name: "friendly", Location: "EU", DefaultTableExpiration: time.Hour, Labels: map[string]string{"a": "b"},
	}))
	wantAPIError(t, d.Create(ctx, nil), 409, "duplicate", "Already Exists: Dataset p:new")
	wantAPIError(t, b.client.Dataset("a-b").Create(ctx, nil), 400, "invalid", "Invalid dataset ID")

	md, err := d.Metadata(ctx)
	require.NoError(t, err)
	require.Equal(t, "friendly", md.Name)
	require.Equal(t, "EU", md.Location)
	require.Equal(t, "p:new", md.FullID)
	require.Equal(t, time.Hour, md.DefaultTableExpiration)
	require.WithinDuration(t, time.Now(), md.CreationTime, time.Minute)

	var change bigquery.DatasetMetadataToUpdate
	change.Description = "described"
	change.SetLabel("c", "d")
	change.DeleteLabel("a")
	changed, err := d.Update(ctx, change, md.ETag)
	require.NoError(t, err)
	require.Equal(t, "described", changed.Description)
	require.Equal(t, "friendly", changed.Name, "a patch leaves the rest")
	require.Equal(t, map[string]string{"c": "d"}, changed.Labels)
	_, err = d.Update(ctx, change, md.ETag)
	wantAPIError(t, err, 412, "conditionNotMet", "")

	var names []string
	for it := b.client.Datasets(ctx); ; {
		d, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		require.NoError(t, err)
		names = append(names, d.DatasetID)
	}
	require.Equal(t, []string{"d", "new"}, names, "d holds a table of the start")

	wantAPIError(t, b.client.Dataset("d").Delete(ctx), 400, "resourceInUse", "Dataset p:d is still in use")
	require.NoError(t, b.client.Dataset("d").DeleteWithContents(ctx))
	require.ErrorContains(t, b.srv.DropTable(orders), "no such table")
	require.NoError(t, d.Delete(ctx))
	wantAPIError(t, d.Delete(ctx), 404, "notFound", "Not found: Dataset p:new")
}

// everyType is a schema with a column of each type, some of them with everything REST says of a column.
func everyType() bigquery.Schema {
	s := bigquery.Schema{
		{Name: "id", Type: bigquery.IntegerFieldType, Required: true, Description: "the key"},
		{Name: "str", Type: bigquery.StringFieldType, MaxLength: 10, DefaultValueExpression: "'x'"},
		{Name: "num", Type: bigquery.NumericFieldType, Precision: 10, Scale: 2},
		{Name: "period", Type: bigquery.RangeFieldType, RangeElementType: &bigquery.RangeElementType{Type: bigquery.DateFieldType}},
		{Name: "secret", Type: bigquery.StringFieldType, PolicyTags: &bigquery.PolicyTagList{Names: []string{"projects/p/locations/us/taxonomies/1/policyTags/2"}}},
		{Name: "tags", Type: bigquery.StringFieldType, Repeated: true},
		{Name: "rec", Type: bigquery.RecordFieldType, Repeated: true, Schema: bigquery.Schema{
			{Name: "leaf", Type: bigquery.TimestampFieldType, Required: true},
			{Name: "deep", Type: bigquery.RecordFieldType, Schema: bigquery.Schema{{Name: "b", Type: bigquery.BytesFieldType}}},
		}},
	}
	for _, typ := range []bigquery.FieldType{bigquery.BytesFieldType, bigquery.FloatFieldType, bigquery.BooleanFieldType,
		bigquery.TimestampFieldType, bigquery.DateFieldType, bigquery.TimeFieldType, bigquery.DateTimeFieldType,
		bigquery.BigNumericFieldType, bigquery.GeographyFieldType, bigquery.JSONFieldType, bigquery.IntervalFieldType} {
		s = append(s, &bigquery.FieldSchema{Name: "a_" + strings.ToLower(string(typ)), Type: typ})
	}
	return s
}

// Without this a table made with the official client could lose a part of its schema, or not be the table that the
// Storage Write API writes to.
func TestRESTTables(t *testing.T) {
	b := newRESTBench(t, Options{})
	ctx := b.context()
	d := b.client.Dataset("d")

	table := d.Table("new")
	_, err := table.Metadata(ctx)
	wantAPIError(t, err, 404, "notFound", "Not found: Table p:d.new")
	wantAPIError(t, b.client.Dataset("none").Table("new").Create(ctx, nil), 404, "notFound", "Not found: Dataset p:none")
	require.NoError(t, table.Create(ctx, &bigquery.TableMetadata{
		Schema: everyType(), Description: "described", Labels: map[string]string{"a": "b"},
		TimePartitioning: &bigquery.TimePartitioning{Field: "a_timestamp"},
		Clustering:       &bigquery.Clustering{Fields: []string{"id"}},
	}))
	wantAPIError(t, table.Create(ctx, nil), 409, "duplicate", "Already Exists: Table p:d.new")

	md, err := table.Metadata(ctx)
	require.NoError(t, err)
	require.Equal(t, everyType(), md.Schema)
	require.Equal(t, "described", md.Description)
	require.Equal(t, "p:d.new", md.FullID)
	require.Equal(t, bigquery.RegularTable, md.Type)
	require.Equal(t, "a_timestamp", md.TimePartitioning.Field)
	require.Equal(t, []string{"id"}, md.Clustering.Fields)
	require.Equal(t, "US", md.Location)
	require.Zero(t, md.NumRows)

	w, err := b.writeClient().GetWriteStream(ctx, &storagepb.GetWriteStreamRequest{
		Name: "projects/p/datasets/d/tables/new/streams/_default", View: storagepb.WriteStreamView_FULL,
	})
	require.NoError(t, err)
	fields := w.GetTableSchema().GetFields()
	require.Len(t, fields, len(everyType()))
	require.Equal(t, int64(10), fields[1].GetMaxLength())
	require.Equal(t, "'x'", fields[1].GetDefaultValueExpression())
	require.Equal(t, []int64{10, 2}, []int64{fields[2].GetPrecision(), fields[2].GetScale()})
	require.Equal(t, storagepb.TableFieldSchema_DATE, fields[3].GetRangeElementType().GetType())
	require.Equal(t, storagepb.TableFieldSchema_REPEATED, fields[6].GetMode())
	require.Equal(t, storagepb.TableFieldSchema_BYTES, fields[6].GetFields()[1].GetFields()[0].GetType())

	for i := range 3 {
		require.NoError(t, d.Table(fmt.Sprintf("more%d", i)).Create(ctx, nil))
	}
	it := d.Tables(ctx)
	it.PageInfo().MaxSize = 2 // more than one page
	var names []string
	for {
		table, err := it.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		require.NoError(t, err)
		names = append(names, table.TableID)
	}
	require.Equal(t, []string{"more0", "more1", "more2", "new", "orders"}, names)

	require.NoError(t, table.Delete(ctx))
	wantAPIError(t, table.Delete(ctx), 404, "notFound", "Not found: Table p:d.new")
	require.Empty(t, b.srv.Streams("projects/p/datasets/d/tables/new"))
	require.NoError(t, table.Create(ctx, nil), "the name is free again")
}

func (b *restBench) writeClient() storagepb.BigQueryWriteClient { return b.bench.client }

// Without this the official client couldn't alter a schema, could alter it in ways that BigQuery refuses, or could
// overwrite another client's change.
func TestRESTUpdate(t *testing.T) {
	b := newRESTBench(t, Options{})
	ctx := b.context()
	table := b.client.Dataset("d").Table("new")
	require.NoError(t, table.Create(ctx, &bigquery.TableMetadata{Schema: everyType(), Description: "described"}))
	before, err := table.Metadata(ctx)
	require.NoError(t, err)

	// Add columns, also in a record, relax another and widen a third.
	schema := everyType()
	schema = append(schema, &bigquery.FieldSchema{Name: "added", Type: bigquery.StringFieldType})
	schema[0].Required = false
	schema[1].MaxLength = 20
	schema[6].Schema = append(schema[6].Schema, &bigquery.FieldSchema{Name: "more", Type: bigquery.DateFieldType})
	after, err := table.Update(ctx, bigquery.TableMetadataToUpdate{Schema: schema, Name: "friendly"}, before.ETag)
	require.NoError(t, err)
	require.Equal(t, schema, after.Schema)
	require.Equal(t, "described", after.Description, "a patch leaves the rest")
	require.NotEqual(t, before.ETag, after.ETag)
	require.True(t, after.LastModifiedTime.After(before.LastModifiedTime))
	require.Equal(t, before.CreationTime, after.CreationTime)

	_, err = table.Update(ctx, bigquery.TableMetadataToUpdate{Name: "too late"}, before.ETag)
	wantAPIError(t, err, 412, "conditionNotMet", "")
	again, err := table.Metadata(ctx)
	require.NoError(t, err)
	require.Equal(t, after, again)

	for _, c := range []struct {
		change  func(bigquery.Schema) bigquery.Schema
		problem string
	}{
		{func(s bigquery.Schema) bigquery.Schema { return s[1:] }, "Field id is missing in new schema"},
		{func(s bigquery.Schema) bigquery.Schema { s[1].Required = true; return s }, "Field str has changed mode from NULLABLE to REQUIRED"},
		{func(s bigquery.Schema) bigquery.Schema { s[0].Type = bigquery.FloatFieldType; return s }, "Field id has changed type from INTEGER to FLOAT"},
		{func(s bigquery.Schema) bigquery.Schema {
			return append(s, &bigquery.FieldSchema{Name: "x", Type: bigquery.StringFieldType, Required: true})
		}, "Cannot add required fields to an existing schema. (field: x)"},
		{func(s bigquery.Schema) bigquery.Schema { s[1].MaxLength = 5; return s }, "Field str"},
		{func(s bigquery.Schema) bigquery.Schema { s[2].Scale = 3; return s }, "Field num"},
		{func(s bigquery.Schema) bigquery.Schema { s[6].Schema = s[6].Schema[1:]; return s }, "Field rec.leaf is missing in new schema"},
		{func(s bigquery.Schema) bigquery.Schema {
			return append(s, &bigquery.FieldSchema{Name: "ID", Type: bigquery.StringFieldType})
		}, "already exists in schema"},
	} {
		md, err := table.Metadata(ctx)
		require.NoError(t, err)
		_, err = table.Update(ctx, bigquery.TableMetadataToUpdate{Schema: c.change(md.Schema)}, "")
		wantAPIError(t, err, 400, "invalid", c.problem)
	}
	again, err = table.Metadata(ctx)
	require.NoError(t, err)
	require.Equal(t, after, again, "what is refused changes nothing")

	// Altered by other means: the client sees that, and the etag has changed.
	contents, ok := b.srv.Contents("projects/p/datasets/d/tables/new")
	require.True(t, ok)
	fewer := proto.CloneOf(contents.Schema)
	fewer.Fields = fewer.Fields[1:]
	require.NoError(t, b.srv.AlterTable("projects/p/datasets/d/tables/new", fewer))
	_, err = table.Update(ctx, bigquery.TableMetadataToUpdate{Name: "too late"}, after.ETag)
	wantAPIError(t, err, 412, "conditionNotMet", "")
	again, err = table.Metadata(ctx)
	require.NoError(t, err)
	require.Len(t, again.Schema, len(fewer.GetFields()))
	require.Equal(t, "friendly", again.Name)
	require.True(t, again.LastModifiedTime.After(after.LastModifiedTime))
}
