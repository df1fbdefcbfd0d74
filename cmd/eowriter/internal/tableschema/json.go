package tableschema

import (
	"strconv"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
)

// Field is a column in BigQuery's JSON form, as bq show --schema prints it and rows.ParseSchema reads it.
type Field struct {
	Name               string   `json:"name"`
	Type               string   `json:"type"`
	Mode               string   `json:"mode"`
	Description        string   `json:"description,omitempty"`
	Fields             []Field  `json:"fields,omitempty"`
	MaxLength          string   `json:"maxLength,omitempty"` // BigQuery writes numbers as strings
	Precision          string   `json:"precision,omitempty"`
	Scale              string   `json:"scale,omitempty"`
	Default            string   `json:"defaultValueExpression,omitempty"`
	TimestampPrecision string   `json:"timestampPrecision,omitempty"`
	RangeElementType   *Element `json:"rangeElementType,omitempty"`
}

// Element is the type of a RANGE's ends.
type Element struct {
	Type string `json:"type"`
}

// JSON returns the columns of ts in BigQuery's JSON form.
func JSON(ts *storagepb.TableSchema) []Field { return fields(ts.GetFields()) }

func fields(list []*storagepb.TableFieldSchema) []Field {
	out := make([]Field, len(list))
	for i, f := range list {
		out[i] = Field{
			Name: f.GetName(), Type: typeName(f.GetType()), Mode: f.GetMode().String(), Description: f.GetDescription(),
			MaxLength: number(f.GetMaxLength()), Precision: number(f.GetPrecision()), Scale: number(f.GetScale()),
			Default: f.GetDefaultValueExpression(), TimestampPrecision: number(f.GetTimestampPrecision().GetValue()),
		}
		if f.GetMode() == storagepb.TableFieldSchema_MODE_UNSPECIFIED {
			out[i].Mode = storagepb.TableFieldSchema_NULLABLE.String()
		}
		if len(f.GetFields()) > 0 {
			out[i].Fields = fields(f.GetFields())
		}
		if e := f.GetRangeElementType(); e != nil {
			out[i].RangeElementType = &Element{typeName(e.GetType())}
		}
	}
	return out
}

// typeName is the name that BigQuery's REST API gives a type.
func typeName(t storagepb.TableFieldSchema_Type) string {
	switch t {
	case storagepb.TableFieldSchema_INT64:
		return "INTEGER"
	case storagepb.TableFieldSchema_DOUBLE:
		return "FLOAT"
	case storagepb.TableFieldSchema_BOOL:
		return "BOOLEAN"
	case storagepb.TableFieldSchema_STRUCT:
		return "RECORD"
	}
	return t.String()
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
