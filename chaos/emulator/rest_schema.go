package emulator

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	bq "google.golang.org/api/bigquery/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// BigQuery's limits of a schema.
const (
	maxColumns    = 10000
	maxColumnName = 300
)

// restTypes are the names of types that the REST API takes: the standard and the legacy ones.
var restTypes = map[string]storagepb.TableFieldSchema_Type{
	"STRING": storagepb.TableFieldSchema_STRING, "BYTES": storagepb.TableFieldSchema_BYTES,
	"INTEGER": storagepb.TableFieldSchema_INT64, "INT64": storagepb.TableFieldSchema_INT64,
	"FLOAT": storagepb.TableFieldSchema_DOUBLE, "FLOAT64": storagepb.TableFieldSchema_DOUBLE,
	"BOOLEAN": storagepb.TableFieldSchema_BOOL, "BOOL": storagepb.TableFieldSchema_BOOL,
	"TIMESTAMP": storagepb.TableFieldSchema_TIMESTAMP, "DATE": storagepb.TableFieldSchema_DATE,
	"TIME": storagepb.TableFieldSchema_TIME, "DATETIME": storagepb.TableFieldSchema_DATETIME,
	"GEOGRAPHY": storagepb.TableFieldSchema_GEOGRAPHY, "NUMERIC": storagepb.TableFieldSchema_NUMERIC,
	"DECIMAL": storagepb.TableFieldSchema_NUMERIC, "BIGNUMERIC": storagepb.TableFieldSchema_BIGNUMERIC,
	"BIGDECIMAL": storagepb.TableFieldSchema_BIGNUMERIC, "JSON": storagepb.TableFieldSchema_JSON,
	"INTERVAL": storagepb.TableFieldSchema_INTERVAL, "RANGE": storagepb.TableFieldSchema_RANGE,
	"RECORD": storagepb.TableFieldSchema_STRUCT, "STRUCT": storagepb.TableFieldSchema_STRUCT,
}

var restModes = map[string]storagepb.TableFieldSchema_Mode{
	"": storagepb.TableFieldSchema_NULLABLE, "NULLABLE": storagepb.TableFieldSchema_NULLABLE,
	"REQUIRED": storagepb.TableFieldSchema_REQUIRED, "REPEATED": storagepb.TableFieldSchema_REPEATED,
}

// schemaFromREST checks a schema and converts it. No schema is one without columns.
func schemaFromREST(schema *bq.TableSchema) (*storagepb.TableSchema, error) {
	if schema == nil {
		return &storagepb.TableSchema{}, nil
	}
	left := maxColumns
	fields, err := fieldsFromREST(schema.Fields, "", &left)
	if err != nil {
		return nil, err
	}
	out := &storagepb.TableSchema{Fields: fields}
	if err := checkSchema(out); err != nil {
		return nil, invalid("%v", err)
	}
	return out, nil
}

// fieldsFromREST converts the fields of a table or record, at most left. It needs no limit on depth: encoding/json has
// one, and checkSchema a tighter one.
func fieldsFromREST(list []*bq.TableFieldSchema, under string, left *int) ([]*storagepb.TableFieldSchema, error) {
	seen := map[string]bool{}
	var out []*storagepb.TableFieldSchema
	for _, f := range list {
		if f == nil {
			return nil, invalid("A field of the schema is null")
		}
		path := under + f.Name
		if !goodColumnName(f.Name) {
			return nil, invalid("Invalid field name %q. A name has 1 to %d characters, and none of !\"$()*,./;?@[\\]^`{}~", path, maxColumnName)
		}
		if folded := strings.ToLower(f.Name); seen[folded] {
			return nil, invalid("Field %s already exists in schema", path)
		} else {
			seen[folded] = true
		}
		if *left--; *left < 0 {
			return nil, invalid("Too many columns: more than %d", maxColumns)
		}
		field, err := fieldFromREST(f, path)
		if err != nil {
			return nil, err
		}
		if field.Fields, err = fieldsFromREST(f.Fields, path+".", left); err != nil {
			return nil, err
		}
		out = append(out, field)
	}
	return out, nil
}

// fieldFromREST converts a field without those below it.
func fieldFromREST(f *bq.TableFieldSchema, path string) (*storagepb.TableFieldSchema, error) {
	typ, ok := restTypes[strings.ToUpper(f.Type)]
	if !ok {
		return nil, invalid("Field %s: %q is not a valid type", path, f.Type)
	}
	mode, ok := restModes[strings.ToUpper(f.Mode)]
	if !ok {
		return nil, invalid("Field %s: %q is not a valid mode", path, f.Mode)
	}
	record := typ == storagepb.TableFieldSchema_STRUCT
	if record && len(f.Fields) == 0 {
		return nil, invalid("Field %s is type RECORD but has no schema", path)
	}
	if !record && len(f.Fields) > 0 {
		return nil, invalid("Field %s has fields and is not of type RECORD", path)
	}
	out := &storagepb.TableFieldSchema{
		Name: f.Name, Type: typ, Mode: mode, Description: f.Description, MaxLength: f.MaxLength,
		Precision: f.Precision, Scale: f.Scale, DefaultValueExpression: f.DefaultValueExpression,
	}
	if f.TimestampPrecision != nil {
		out.TimestampPrecision = wrapperspb.Int64(*f.TimestampPrecision)
	}
	if f.RangeElementType != nil {
		element, ok := restTypes[strings.ToUpper(f.RangeElementType.Type)]
		if !ok {
			return nil, invalid("Field %s: %q is not a valid range element type", path, f.RangeElementType.Type)
		}
		out.RangeElementType = &storagepb.TableFieldSchema_FieldElementType{Type: element}
	}
	return out, nil
}

func goodColumnName(name string) bool {
	return name != "" && utf8.ValidString(name) && utf8.RuneCountInString(name) <= maxColumnName &&
		!strings.ContainsAny(name, "!\"$()*,./;?@[\\]^`{}~") && !strings.ContainsFunc(name, unicode.IsControl)
}

// schemaToREST converts a schema, with policy tags and the like, which only REST knows, from what was said there.
func schemaToREST(schema *storagepb.TableSchema, said *bq.TableSchema) *bq.TableSchema {
	if len(schema.GetFields()) == 0 {
		return nil
	}
	var known []*bq.TableFieldSchema
	out := &bq.TableSchema{}
	if said != nil {
		*out = *said
		known = said.Fields
	}
	out.Fields = fieldsToREST(schema.GetFields(), known)
	return out
}

func fieldsToREST(fields []*storagepb.TableFieldSchema, said []*bq.TableFieldSchema) []*bq.TableFieldSchema {
	known := make(map[string]*bq.TableFieldSchema, len(said))
	for _, f := range said {
		known[strings.ToLower(f.Name)] = f
	}
	var out []*bq.TableFieldSchema
	for _, f := range fields {
		var to bq.TableFieldSchema
		if said := known[strings.ToLower(f.GetName())]; said != nil {
			to = *said
		}
		to.Name, to.Type, to.Mode, to.Description = f.GetName(), typeName(f.GetType()), f.GetMode().String(), f.GetDescription()
		if f.GetMode() == storagepb.TableFieldSchema_MODE_UNSPECIFIED {
			to.Mode = "NULLABLE"
		}
		to.MaxLength, to.Precision, to.Scale = f.GetMaxLength(), f.GetPrecision(), f.GetScale()
		to.DefaultValueExpression = f.GetDefaultValueExpression()
		to.TimestampPrecision, to.RangeElementType = nil, nil
		if p := f.GetTimestampPrecision(); p != nil {
			to.TimestampPrecision = proto.Int64(p.GetValue())
		}
		if e := f.GetRangeElementType(); e != nil {
			to.RangeElementType = &bq.TableFieldSchemaRangeElementType{Type: typeName(e.GetType())}
		}
		to.Fields = fieldsToREST(f.GetFields(), to.Fields)
		out = append(out, &to)
	}
	return out
}

// mayBecome says why the columns of a table can't become others over REST, "" if they can: columns may be added
// but not REQUIRED ones, REQUIRED may be relaxed, lengths and precisions may grow.
func mayBecome(old, wanted []*storagepb.TableFieldSchema, under string) string {
	byName := map[string]*storagepb.TableFieldSchema{}
	for _, f := range wanted {
		byName[strings.ToLower(f.GetName())] = f
	}
	for _, was := range old {
		name := strings.ToLower(was.GetName())
		f := byName[name]
		delete(byName, name)
		path := under + was.GetName()
		switch {
		case f == nil:
			return fmt.Sprintf("Field %s is missing in new schema", path)
		case f.GetType() != was.GetType() || f.GetRangeElementType().GetType() != was.GetRangeElementType().GetType():
			return fmt.Sprintf("Field %s has changed type from %s to %s", path, typeName(was.GetType()), typeName(f.GetType()))
		case f.GetMode() != was.GetMode() &&
			(was.GetMode() != storagepb.TableFieldSchema_REQUIRED || f.GetMode() != storagepb.TableFieldSchema_NULLABLE):
			return fmt.Sprintf("Field %s has changed mode from %s to %s", path, was.GetMode(), f.GetMode())
		case narrower(was, f):
			return fmt.Sprintf("Field %s has become narrower", path)
		}
		if problem := mayBecome(was.GetFields(), f.GetFields(), path+"."); problem != "" {
			return problem
		}
	}
	for _, f := range wanted {
		if byName[strings.ToLower(f.GetName())] != nil && f.GetMode() == storagepb.TableFieldSchema_REQUIRED {
			return fmt.Sprintf("Cannot add required fields to an existing schema. (field: %s)", under+f.GetName())
		}
	}
	return ""
}

// narrower: values that fitted the parameters of the type may not fit the new ones.
func narrower(was, is *storagepb.TableFieldSchema) bool {
	shrinks := func(was, is int64) bool { return is != 0 && (was == 0 || is < was) } // 0: as wide as the type
	return shrinks(was.GetMaxLength(), is.GetMaxLength()) ||
		is.GetPrecision() != 0 && (was.GetPrecision() == 0 || is.GetScale() < was.GetScale() ||
			is.GetPrecision()-is.GetScale() < was.GetPrecision()-was.GetScale())
}
