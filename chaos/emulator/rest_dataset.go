package emulator

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	bq "google.golang.org/api/bigquery/v2"
)

// maxID bounds the id of a dataset or a table, in bytes.
const maxID = 1024

var datasetID = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

func projectPath(req *http.Request) string { return "projects/" + req.PathValue("project") }

func datasetPath(req *http.Request) string {
	return projectPath(req) + "/datasets/" + req.PathValue("dataset")
}

const apiAddress = "https://bigquery.googleapis.com/bigquery/v2/"

// newDataset makes a dataset known. The caller holds mu.
func (r *REST) newDataset(name string, d bq.Dataset, created time.Time) *bq.Dataset {
	project, id, _ := strings.Cut(strings.TrimPrefix(name, "projects/"), "/datasets/")
	d.Kind, d.Id, d.SelfLink, d.Type = "bigquery#dataset", spell(name), apiAddress+name, "DEFAULT"
	d.DatasetReference = &bq.DatasetReference{ProjectId: project, DatasetId: id}
	d.CreationTime = created.UnixMilli()
	d.LastModifiedTime = d.CreationTime
	if d.Location == "" {
		d.Location = r.location()
	}
	d.Etag = ""
	d.Etag = etagOf(&d)
	r.datasets[name] = &d
	return &d
}

// location is where the server's datasets are; REST writes multi-regions in capitals.
func (r *REST) location() string {
	if l := r.srv.opt.Location; l == "us" || l == "eu" {
		return strings.ToUpper(l)
	}
	return r.srv.opt.Location
}

// adopt makes the datasets known that tables were made in by other means. The caller holds mu, or has the only reference.
func (r *REST) adopt() {
	r.srv.mu.Lock()
	names := slices.Collect(maps.Keys(r.srv.tables))
	r.srv.mu.Unlock()
	for _, table := range names {
		name, _, _ := strings.Cut(table, "/tables/")
		if r.datasets[name] == nil {
			r.newDataset(name, bq.Dataset{}, r.srv.started)
		}
	}
}

// dataset finds a dataset. The caller holds mu.
func (r *REST) dataset(name string) (*bq.Dataset, error) {
	r.adopt()
	if d := r.datasets[name]; d != nil {
		return d, nil
	}
	return nil, restNotFound("Dataset", name)
}

func (r *REST) getDataset(req *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return answer(r.dataset(datasetPath(req)))
}

// answer keeps a nil pointer of a resource's type from becoming an answer.
func answer[T any](resource *T, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return resource, nil
}

func (r *REST) insertDataset(req *http.Request) (any, error) {
	var d bq.Dataset
	if err := readResource(req, nil, &d); err != nil {
		return nil, err
	}
	if d.DatasetReference == nil || d.DatasetReference.DatasetId == "" {
		return nil, restErrorf(http.StatusBadRequest, "required", "Required parameter is missing: datasetReference.datasetId")
	}
	id := d.DatasetReference.DatasetId
	if len(id) > maxID || !datasetID.MatchString(id) {
		return nil, invalid("Invalid dataset ID %q. Dataset IDs must be alphanumeric (plus underscores) and must be "+
			"at most 1024 characters long.", id)
	}
	name := projectPath(req) + "/datasets/" + id
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, _ := r.dataset(name); known != nil {
		return nil, restExists("Dataset", name)
	}
	return r.newDataset(name, d, time.Now()), nil
}

// changeDataset is patch and update.
func (r *REST) changeDataset(req *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, err := r.dataset(datasetPath(req))
	if err != nil {
		return nil, err
	}
	if !matches(req, old.Etag) {
		return nil, notMet()
	}
	var d bq.Dataset
	if err := readResource(req, old, &d); err != nil {
		return nil, err
	}
	d.Kind, d.Id, d.SelfLink, d.Type = old.Kind, old.Id, old.SelfLink, old.Type
	d.DatasetReference, d.Location, d.CreationTime = old.DatasetReference, old.Location, old.CreationTime
	d.LastModifiedTime = later(old.LastModifiedTime)
	d.Etag = ""
	d.Etag = etagOf(&d)
	r.datasets[datasetPath(req)] = &d
	return &d, nil
}

// later is now in milliseconds, but after last: two changes never carry the same time.
func later(last int64) int64 { return max(time.Now().UnixMilli(), last+1) }

func (r *REST) deleteDataset(req *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := datasetPath(req)
	if _, err := r.dataset(name); err != nil {
		return nil, err
	}
	tables := r.tablesOf(name)
	if len(tables) > 0 && req.FormValue("deleteContents") != "true" {
		return nil, restErrorf(http.StatusBadRequest, "resourceInUse", "Dataset %s is still in use", spell(name))
	}
	for _, t := range tables {
		if err := r.drop(t.name); err != nil {
			return nil, err
		}
	}
	delete(r.datasets, name)
	return nil, nil
}

func (r *REST) listDatasets(req *http.Request) (any, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.adopt()
	var all []*bq.Dataset
	for name, d := range r.datasets {
		if strings.HasPrefix(name, projectPath(req)+"/") {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b *bq.Dataset) int { return strings.Compare(a.Id, b.Id) })
	page, next, err := pageOf(req, all, maxListed)
	if err != nil {
		return nil, err
	}
	list := &bq.DatasetList{Kind: "bigquery#datasetList", NextPageToken: next}
	for _, d := range page {
		list.Datasets = append(list.Datasets, &bq.DatasetListDatasets{
			Kind: d.Kind, Id: d.Id, DatasetReference: d.DatasetReference, Location: d.Location,
			FriendlyName: d.FriendlyName, Labels: d.Labels, Type: d.Type,
		})
	}
	list.Etag = etagOf(list)
	return list, nil
}
