package emulator

import (
	"net/http"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
)

// The bounds of a page of rows. The second is BigQuery's own, roughly: bytes of values.
const (
	maxPageRows  = 100000
	maxPageBytes = 10 << 20
)

// rowList is the answer of tabledata.list. The generated type leaves out NULLs and the total of an empty table, which
// the service doesn't.
type rowList struct {
	Kind      string    `json:"kind"`
	Etag      string    `json:"etag"`
	TotalRows int64     `json:"totalRows,string"`
	PageToken string    `json:"pageToken,omitempty"`
	Rows      []rowJSON `json:"rows,omitempty"`
}

type rowJSON struct {
	F []cellJSON `json:"f"`
}

type cellJSON struct {
	V any `json:"v"` // nil, string, []cellJSON or rowJSON
}

// listRows is tabledata.list, with maxResults, pageToken, startIndex, selectedFields and
// formatOptions.useInt64Timestamp.
func (r *REST) listRows(req *http.Request) (any, error) {
	name := tablePath(req)
	r.mu.Lock()
	_, resource, err := r.table(name)
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	schema, rows, err := r.srv.Values(name)
	if err != nil {
		return nil, err
	}
	columns, err := selectColumns(schema.GetFields(), req.FormValue("selectedFields"))
	if err != nil {
		return nil, err
	}
	total := int64(len(rows))
	from, n, err := pageRange(req, total, maxPageRows)
	if err != nil {
		return nil, err
	}
	w := rowWriter{seconds: req.FormValue("formatOptions.useInt64Timestamp") != "true"}
	list := &rowList{Kind: "bigquery#tableDataList", Etag: resource.Etag, TotalRows: total}
	at := from
	for ; at < from+n && w.size < maxPageBytes; at++ {
		list.Rows = append(list.Rows, w.record(rows[at], columns))
	}
	if at < total {
		list.PageToken = pageToken(at)
	}
	return list, nil
}

// selected is a column of an answer: its place in the table or record, and those below it.
type selected struct {
	slot    int
	element storagepb.TableFieldSchema_Type
	fields  []selected
}

// selectColumns picks the columns that a comma-separated list of paths names, in the schema's order; no list: all.
func selectColumns(fields []*storagepb.TableFieldSchema, list string) ([]selected, error) {
	var paths []string
	if list != "" {
		paths = strings.Split(strings.ToLower(list), ",")
	}
	columns, unknown := pickColumns(fields, paths)
	if unknown != "" {
		return nil, invalid("No such field: %s.", unknown)
	}
	return columns, nil
}

// pickColumns is selectColumns for one level, with paths split up and in lower case.
func pickColumns(fields []*storagepb.TableFieldSchema, paths []string) (columns []selected, unknown string) {
	below := map[string][]string{} // by name; empty: all
	whole := map[string]bool{}
	for _, path := range paths {
		name, rest, nested := strings.Cut(strings.TrimSpace(path), ".")
		if !slices.ContainsFunc(fields, func(f *storagepb.TableFieldSchema) bool { return strings.ToLower(f.GetName()) == name }) {
			return nil, path
		}
		if nested {
			below[name] = append(below[name], rest)
		} else {
			whole[name] = true
		}
	}
	for slot, f := range fields {
		name := strings.ToLower(f.GetName())
		if len(paths) > 0 && !whole[name] && below[name] == nil {
			continue
		}
		c := selected{slot: slot, element: f.GetRangeElementType().GetType()}
		if c.element == 0 {
			c.element = f.GetType()
		}
		sub := below[name]
		if whole[name] {
			sub = nil
		}
		if c.fields, unknown = pickColumns(f.GetFields(), sub); unknown != "" {
			return nil, f.GetName() + "." + unknown
		}
		columns = append(columns, c)
	}
	return columns, ""
}

// rowWriter spells rows as BigQuery's JSON does, and adds up their size.
type rowWriter struct {
	seconds bool // TIMESTAMP as seconds with a fraction, not as microseconds
	size    int
}

func (w *rowWriter) record(values []Value, columns []selected) rowJSON {
	row := rowJSON{F: make([]cellJSON, len(columns))}
	for i, c := range columns {
		row.F[i] = cellJSON{w.value(values[c.slot], c)}
	}
	return row
}

func (w *rowWriter) value(v Value, c selected) any {
	w.size += len(v.Text)
	switch v.Kind {
	case NullValue:
		return nil
	case ListValue:
		items := make([]cellJSON, len(v.Items))
		for i, item := range v.Items {
			items[i] = cellJSON{w.value(item, c)}
		}
		return items
	case RecordValue:
		return w.record(v.Items, c.fields)
	case RangeValue:
		return "[" + w.bound(v.Items[0], c) + ", " + w.bound(v.Items[1], c) + ")"
	}
	return w.scalar(v, c)
}

func (w *rowWriter) bound(v Value, c selected) string {
	if v.Kind == NullValue {
		return "UNBOUNDED"
	}
	return w.scalar(v, c)
}

func (w *rowWriter) scalar(v Value, c selected) string {
	if w.seconds && c.element == storagepb.TableFieldSchema_TIMESTAMP {
		return v.Seconds()
	}
	return v.Text
}
