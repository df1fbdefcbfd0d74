package emulator

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	bq "google.golang.org/api/bigquery/v2"
	"google.golang.org/protobuf/proto"
)

// tableID is what BigQuery allows: letters, marks, numbers, connectors, dashes and spaces.
var tableID = regexp.MustCompile(`^[\pL\pM\pN\p{Pc}\p{Pd}\p{Zs}]+$`)

// described is what the REST API knows of a table besides what the server knows.
type described struct {
	table    *table                 // not another one of the same name
	schema   *storagepb.TableSchema // as last seen here
	resource *bq.Table              // never modified; its schema is only for what schema doesn't hold
}

func tablePath(req *http.Request) string {
	return datasetPath(req) + "/tables/" + req.PathValue("table")
}

// table finds a table's resource. The caller holds mu.
func (r *REST) table(name string) (*table, *bq.Table, error) {
	r.srv.mu.Lock()
	t := r.srv.tables[name]
	r.srv.mu.Unlock()
	if t == nil {
		dataset, _, _ := strings.Cut(name, "/tables/")
		if _, err := r.dataset(dataset); err != nil {
			return nil, nil, err
		}
		return nil, nil, restNotFound("Table", name)
	}
	schema := t.schema.Load()
	d := r.tables[name]
	switch {
	case d.table != t: // made by other means
		d = described{t, schema, r.newTable(name, bq.Table{}, r.srv.started)}
	case d.schema != schema: // altered by other means
		changed := *d.resource
		changed.LastModifiedTime = uint64(later(int64(changed.LastModifiedTime)))
		d.schema, d.resource = schema, &changed
	}
	r.tables[name] = d
	return t, present(d), nil
}

// newTable fills in what a new table's resource says of itself.
func (r *REST) newTable(name string, t bq.Table, created time.Time) *bq.Table {
	project, rest, _ := strings.Cut(strings.TrimPrefix(name, "projects/"), "/datasets/")
	dataset, id, _ := strings.Cut(rest, "/tables/")
	t.Kind, t.Id, t.SelfLink, t.Type = "bigquery#table", spell(name), apiAddress+name, "TABLE"
	t.TableReference = &bq.TableReference{ProjectId: project, DatasetId: dataset, TableId: id}
	t.CreationTime = created.UnixMilli()
	t.LastModifiedTime = uint64(t.CreationTime)
	t.Location = r.location()
	return &t
}

// present is a table's resource at this moment, for the caller to keep.
func present(d described) *bq.Table {
	t := *d.resource
	t.Schema = schemaToREST(d.schema, t.Schema)
	t.Etag, t.NumRows = "", 0
	t.Etag = etagOf(&t)
	t.NumRows = uint64(d.table.count())
	t.ForceSendFields = []string{"NumRows"}
	return &t
}

// count is the number of rows that the table keeps.
func (t *table) count() (n int64) {
	t.store.mu.Lock()
	defer t.store.mu.Unlock()
	for _, b := range t.batches {
		n += b.count
	}
	return n
}

// tablesOf are a dataset's tables, by name.
func (r *REST) tablesOf(dataset string) []*table {
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	var all []*table
	for name, t := range r.srv.tables {
		if strings.HasPrefix(name, dataset+"/tables/") {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *table) int { return strings.Compare(a.name, b.name) })
	return all
}

func (r *REST) getTable(req *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, t, err := r.table(tablePath(req))
	return answer(t, err)
}

func (r *REST) insertTable(req *http.Request) (any, error) {
	var t bq.Table
	if err := readResource(req, nil, &t); err != nil {
		return nil, err
	}
	if t.TableReference == nil || t.TableReference.TableId == "" {
		return nil, restErrorf(http.StatusBadRequest, "required", "Required parameter is missing: tableReference.tableId")
	}
	id := t.TableReference.TableId
	if len(id) > maxID || !tableID.MatchString(id) {
		return nil, invalid("Invalid table ID %q.", id)
	}
	if err := onlyTables(&t); err != nil {
		return nil, err
	}
	schema, err := schemaFromREST(t.Schema)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.dataset(datasetPath(req)); err != nil {
		return nil, err
	}
	name := datasetPath(req) + "/tables/" + id
	if _, known, _ := r.table(name); known != nil {
		return nil, restExists("Table", name)
	}
	if err := r.srv.CreateTable(name, schema); err != nil {
		return nil, err
	}
	return answer(r.describe(name, r.newTable(name, t, time.Now())))
}

// onlyTables refuses what isn't a plain table.
func onlyTables(t *bq.Table) error {
	if t.View != nil || t.MaterializedView != nil || t.ExternalDataConfiguration != nil || t.SnapshotDefinition != nil ||
		t.CloneDefinition != nil || t.Model != nil || t.BiglakeConfiguration != nil {
		return restErrorf(http.StatusNotImplemented, "notImplemented", "This emulator does not support views, external tables, "+
			"snapshots, clones and models: only tables.")
	}
	return nil
}

// describe stores what a request said of a table whose schema has been set. The caller holds mu.
func (r *REST) describe(name string, resource *bq.Table) (*bq.Table, error) {
	r.srv.mu.Lock()
	t := r.srv.tables[name]
	r.srv.mu.Unlock()
	if t == nil { // dropped meanwhile
		return nil, restNotFound("Table", name)
	}
	d := described{t, t.schema.Load(), resource}
	r.tables[name] = d
	return present(d), nil
}

// changeTable is patch and update.
func (r *REST) changeTable(req *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := tablePath(req)
	_, old, err := r.table(name)
	if err != nil {
		return nil, err
	}
	if !matches(req, old.Etag) {
		return nil, notMet()
	}
	var t bq.Table
	if err := readResource(req, old, &t); err != nil {
		return nil, err
	}
	if err := onlyTables(&t); err != nil {
		return nil, err
	}
	if t.Schema == nil {
		t.Schema = old.Schema
	}
	if err := r.alter(name, old.Schema, t.Schema); err != nil {
		return nil, err
	}
	t.Kind, t.Id, t.SelfLink, t.Type = old.Kind, old.Id, old.SelfLink, old.Type
	t.TableReference, t.Location, t.CreationTime = old.TableReference, old.Location, old.CreationTime
	t.LastModifiedTime = uint64(later(int64(old.LastModifiedTime)))
	return answer(r.describe(name, &t))
}

// alter changes a table's schema, if it is to change.
func (r *REST) alter(name string, old, wanted *bq.TableSchema) error {
	before, err := schemaFromREST(old)
	if err != nil {
		return err
	}
	after, err := schemaFromREST(wanted)
	if err != nil {
		return err
	}
	if proto.Equal(before, after) {
		return nil
	}
	if problem := mayBecome(before.GetFields(), after.GetFields(), ""); problem != "" {
		return invalid("Provided Schema does not match Table %s. %s", spell(name), problem)
	}
	return r.srv.AlterTable(name, after)
}

func (r *REST) deleteTable(req *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, _, err := r.table(tablePath(req)); err != nil {
		return nil, err
	}
	return nil, r.drop(tablePath(req))
}

// drop drops a table. The caller holds mu.
func (r *REST) drop(name string) error {
	if err := r.srv.DropTable(name); err != nil {
		return err
	}
	delete(r.tables, name)
	return nil
}

func (r *REST) listTables(req *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.dataset(datasetPath(req)); err != nil {
		return nil, err
	}
	all := r.tablesOf(datasetPath(req))
	page, next, err := pageOf(req, all, maxListed)
	if err != nil {
		return nil, err
	}
	list := &bq.TableList{Kind: "bigquery#tableList", NextPageToken: next, TotalItems: int64(len(all)), ForceSendFields: []string{"TotalItems"}}
	for _, known := range page {
		_, t, err := r.table(known.name)
		if err != nil {
			continue // dropped meanwhile
		}
		list.Tables = append(list.Tables, &bq.TableListTables{
			Kind: t.Kind, Id: t.Id, TableReference: t.TableReference, Type: t.Type, CreationTime: t.CreationTime,
			ExpirationTime: t.ExpirationTime, FriendlyName: t.FriendlyName, Labels: t.Labels, Clustering: t.Clustering,
			TimePartitioning: t.TimePartitioning, RangePartitioning: t.RangePartitioning,
			RequirePartitionFilter: t.RequirePartitionFilter,
		})
	}
	list.Etag = etagOf(list)
	return list, nil
}
