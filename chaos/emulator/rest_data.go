package emulator

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

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

// listRows is tabledata.list, with maxResults, pageToken, startIndex, selectedFields, and the formatOptions
// useInt64Timestamp and timestampOutputFormat.
func (r *REST) listRows(req *http.Request) (any, error) {
	name := tablePath(req)
	r.mu.Lock()
	_, resource, err := r.table(name)
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	contents, ok := r.srv.Contents(name)
	if !ok { // dropped meanwhile
		return nil, restNotFound("Table", name)
	}
	columns, err := selectColumns(contents.Schema.GetFields(), req.FormValue("selectedFields"))
	if err != nil {
		return nil, err
	}
	total := int64(contents.Len())
	from, n, err := pageRange(req, total, maxPageRows)
	if err != nil {
		return nil, err
	}
	w := rowWriter{timestamp: timestampFormat(req)}
	if w.timestamp == nil {
		return nil, invalid("Invalid value for: formatOptions.timestampOutputFormat is not a valid value")
	}
	list := &rowList{Kind: "bigquery#tableDataList", Etag: resource.Etag, TotalRows: total}
	at := from
	for ; at < from+n && w.size < maxPageBytes; at++ {
		values, err := contents.Row(int(at))
		if err != nil {
			return nil, invalid("%v", err) // not the server's failure: a client would try again for ever
		}
		list.Rows = append(list.Rows, w.record(values, columns))
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

// timestampFormat is how a request wants TIMESTAMPs to be spelt; nil: in no way that there is.
func timestampFormat(req *http.Request) func(Value) string {
	switch req.FormValue("formatOptions.timestampOutputFormat") {
	case "", "TIMESTAMP_OUTPUT_FORMAT_UNSPECIFIED":
		if req.FormValue("formatOptions.useInt64Timestamp") == "true" {
			return microseconds
		}
		return Value.Seconds
	case "FLOAT64":
		return Value.Seconds
	case "INT64":
		return microseconds
	case "ISO8601_STRING":
		return iso8601
	}
	return nil
}

func microseconds(v Value) string { return strconv.FormatInt(v.Micros, 10) }

func iso8601(v Value) string {
	if strings.HasSuffix(v.Text, "Z") { // of TIMESTAMP(12), with all its digits
		return v.Text
	}
	return time.UnixMicro(v.Micros).UTC().Format("2006-01-02T15:04:05.000000Z")
}

// rowWriter spells rows as BigQuery's JSON does, and adds up their size.
type rowWriter struct {
	timestamp func(Value) string
	size      int // bytes of values
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
	if c.element == storagepb.TableFieldSchema_TIMESTAMP {
		return w.timestamp(v)
	}
	return v.Text
}
