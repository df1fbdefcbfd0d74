package rows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// BigQuery's limits on a table's schema.
const (
	maxDepth  = 15     // RECORD within RECORD
	maxFields = 10_000 // columns, those inside RECORDs included
	maxName   = 300    // characters of a column's name
)

// jsonField is one column of BigQuery's JSON schema format. The raw ones are known and don't matter
// to a row; a name that isn't listed here is an error, because a misspelt "mode" would otherwise
// make a REQUIRED column NULLABLE.
type jsonField struct {
	Name               string      `json:"name"`
	Type               string      `json:"type"`
	Mode               string      `json:"mode"`
	Description        string      `json:"description"`
	Fields             []jsonField `json:"fields"`
	MaxLength          count       `json:"maxLength"`
	Precision          count       `json:"precision"`
	Scale              count       `json:"scale"`
	Default            string      `json:"defaultValueExpression"`
	TimestampPrecision count       `json:"timestampPrecision"`
	RangeElementType   *struct {
		Type string `json:"type"`
	} `json:"rangeElementType"`

	PolicyTags            json.RawMessage `json:"policyTags"`
	DataPolicies          json.RawMessage `json:"dataPolicies"`
	Collation             json.RawMessage `json:"collation"`
	RoundingMode          json.RawMessage `json:"roundingMode"`
	Categories            json.RawMessage `json:"categories"`
	ForeignTypeDefinition json.RawMessage `json:"foreignTypeDefinition"`
}

// count is a non-negative number that BigQuery writes as a string and people write as a number.
type count int64

func (c *count) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseInt(strings.Trim(string(data), `"`), 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%s is not a count", excerpt(data))
	}
	*c = count(n)
	return nil
}

var typeByName = map[string]storagepb.TableFieldSchema_Type{
	"STRING":  storagepb.TableFieldSchema_STRING,
	"INTEGER": storagepb.TableFieldSchema_INT64, "INT64": storagepb.TableFieldSchema_INT64,
	"FLOAT": storagepb.TableFieldSchema_DOUBLE, "FLOAT64": storagepb.TableFieldSchema_DOUBLE,
	"BOOL": storagepb.TableFieldSchema_BOOL, "BOOLEAN": storagepb.TableFieldSchema_BOOL,
	"RECORD": storagepb.TableFieldSchema_STRUCT, "STRUCT": storagepb.TableFieldSchema_STRUCT,
	"TIMESTAMP": storagepb.TableFieldSchema_TIMESTAMP,
	"DATE":      storagepb.TableFieldSchema_DATE,
	"TIME":      storagepb.TableFieldSchema_TIME,
	"DATETIME":  storagepb.TableFieldSchema_DATETIME,
	"BYTES":     storagepb.TableFieldSchema_BYTES,
	"NUMERIC":   storagepb.TableFieldSchema_NUMERIC, "DECIMAL": storagepb.TableFieldSchema_NUMERIC,
	"BIGNUMERIC": storagepb.TableFieldSchema_BIGNUMERIC, "BIGDECIMAL": storagepb.TableFieldSchema_BIGNUMERIC,
	"GEOGRAPHY": storagepb.TableFieldSchema_GEOGRAPHY,
	"JSON":      storagepb.TableFieldSchema_JSON,
	"INTERVAL":  storagepb.TableFieldSchema_INTERVAL,
	"RANGE":     storagepb.TableFieldSchema_RANGE,
}

var modeByName = map[string]storagepb.TableFieldSchema_Mode{
	"":         storagepb.TableFieldSchema_NULLABLE,
	"NULLABLE": storagepb.TableFieldSchema_NULLABLE,
	"REQUIRED": storagepb.TableFieldSchema_REQUIRED,
	"REPEATED": storagepb.TableFieldSchema_REPEATED,
}

// ParseSchema reads a table's schema in BigQuery's JSON format, as `bq show --schema` prints it: a
// list of {"name", "type", "mode", "fields", "description", ...}. Types go by their standard and
// their legacy names, in any case; a missing mode is NULLABLE.
//
// The error names the field: an unknown type, mode or attribute, a bad or repeated name, a RECORD
// without fields, or more columns or levels than BigQuery allows.
func ParseSchema(data []byte) (*storagepb.TableSchema, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var list []jsonField
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("read table schema: want a JSON list of fields: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read table schema: more text after the list of fields")
	}
	fields, err := convertFields(list, "")
	if err != nil {
		return nil, fmt.Errorf("read table schema: %w", err)
	}
	schema := &storagepb.TableSchema{Fields: fields}
	if err := checkSchema(schema); err != nil {
		return nil, fmt.Errorf("read table schema: %w", err)
	}
	return schema, nil
}

// convertFields needs no limit on depth: encoding/json has one.
func convertFields(list []jsonField, under string) ([]*storagepb.TableFieldSchema, error) {
	var out []*storagepb.TableFieldSchema
	for _, f := range list {
		path := under + f.Name
		typ, ok := typeByName[strings.ToUpper(f.Type)]
		if !ok {
			return nil, fmt.Errorf("field %q: unknown type %q", path, f.Type)
		}
		mode, ok := modeByName[strings.ToUpper(f.Mode)]
		if !ok {
			return nil, fmt.Errorf("field %q: unknown mode %q", path, f.Mode)
		}
		sub, err := convertFields(f.Fields, path+".")
		if err != nil {
			return nil, err
		}
		field := &storagepb.TableFieldSchema{
			Name: f.Name, Type: typ, Mode: mode, Description: f.Description, Fields: sub,
			MaxLength: int64(f.MaxLength), Precision: int64(f.Precision), Scale: int64(f.Scale),
			DefaultValueExpression: f.Default,
		}
		if f.TimestampPrecision > 0 {
			field.TimestampPrecision = wrapperspb.Int64(int64(f.TimestampPrecision))
		}
		if f.RangeElementType != nil {
			element, ok := typeByName[strings.ToUpper(f.RangeElementType.Type)]
			if !ok {
				return nil, fmt.Errorf("field %q: unknown range element type %q", path, f.RangeElementType.Type)
			}
			field.RangeElementType = &storagepb.TableFieldSchema_FieldElementType{Type: element}
		}
		out = append(out, field)
	}
	return out, nil
}

// checkSchema holds a schema, from whatever source, against what BigQuery allows and Append relies
// on: names that can stand in JSON unescaped, and no two that differ only in case.
func checkSchema(schema *storagepb.TableSchema) error {
	left := maxFields
	return checkFields(schema.GetFields(), "", 0, &left)
}

func checkFields(fields []*storagepb.TableFieldSchema, under string, depth int, left *int) error {
	if depth > maxDepth && len(fields) > 0 {
		return fmt.Errorf("field %q: nested more than %d levels deep", strings.TrimSuffix(under, "."), maxDepth)
	}
	seen := make(map[string]bool, len(fields))
	for _, f := range fields {
		path := under + f.GetName()
		if err := checkName(f.GetName()); err != nil {
			return fmt.Errorf("field %q: %w", path, err)
		}
		if folded := strings.ToLower(f.GetName()); seen[folded] {
			return fmt.Errorf("field %q: the name is there twice (upper and lower case are the same)", path)
		} else {
			seen[folded] = true
		}
		if *left--; *left < 0 {
			return fmt.Errorf("field %q: more than %d fields", path, maxFields)
		}
		record := f.GetType() == storagepb.TableFieldSchema_STRUCT
		if record != (len(f.GetFields()) > 0) {
			return fmt.Errorf("field %q: fields go with type RECORD, and a RECORD needs some", path)
		}
		if f.GetMaxLength() < 0 {
			return fmt.Errorf("field %q: max length %d is negative", path, f.GetMaxLength())
		}
		if err := checkFields(f.GetFields(), path+".", depth+1, left); err != nil {
			return err
		}
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case !utf8.ValidString(name):
		return errors.New("the name is not valid UTF-8")
	case utf8.RuneCountInString(name) > maxName:
		return fmt.Errorf("the name is longer than %d characters", maxName)
	case strings.ContainsAny(name, "!\"$()*,./;?@[\\]^`{}~") || strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("the name has a character that BigQuery doesn't allow")
	}
	return nil
}
