package rows_test

import (
	"fmt"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Both spellings of each type, any case, attributes that `bq show --schema` prints. If it failed,
// a schema that BigQuery itself wrote couldn't be used.
func TestParseSchema(t *testing.T) {
	got, err := rows.ParseSchema([]byte(`[
		{"name":"a","type":"INT64"}, {"name":"b","type":"integer","mode":"required"}, {"name":"c","type":"FLOAT64"}, {"name":"d","type":"FLOAT"},
		{"name":"e","type":"BOOL"}, {"name":"f","type":"BOOLEAN"}, {"name":"g","type":"STRUCT","mode":"REPEATED","fields":[{"name":"x","type":"DATE"}]},
		{"name":"h","type":"RECORD","fields":[{"name":"x","type":"DATE","description":"a day"}]},
		{"name":"i","type":"STRING","maxLength":"10","collation":"und:ci","policyTags":{"names":["t"]}}, {"name":"j","type":"STRING","maxLength":10},
		{"name":"k","type":"NUMERIC","precision":"10","scale":"2"}, {"name":"l","type":"RANGE","rangeElementType":{"type":"DATE"}},
		{"name":"m","type":"TIMESTAMP","defaultValueExpression":"CURRENT_TIMESTAMP()","timestampPrecision":"12"}]`))
	require.NoError(t, err)
	day := func(description string) []*storagepb.TableFieldSchema {
		return []*storagepb.TableFieldSchema{{Name: "x", Type: storagepb.TableFieldSchema_DATE, Mode: storagepb.TableFieldSchema_NULLABLE, Description: description}}
	}
	nullable, required, repeated := storagepb.TableFieldSchema_NULLABLE, storagepb.TableFieldSchema_REQUIRED, storagepb.TableFieldSchema_REPEATED
	want := &storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{
		{Name: "a", Type: storagepb.TableFieldSchema_INT64, Mode: nullable}, {Name: "b", Type: storagepb.TableFieldSchema_INT64, Mode: required},
		{Name: "c", Type: storagepb.TableFieldSchema_DOUBLE, Mode: nullable}, {Name: "d", Type: storagepb.TableFieldSchema_DOUBLE, Mode: nullable},
		{Name: "e", Type: storagepb.TableFieldSchema_BOOL, Mode: nullable}, {Name: "f", Type: storagepb.TableFieldSchema_BOOL, Mode: nullable},
		{Name: "g", Type: storagepb.TableFieldSchema_STRUCT, Mode: repeated, Fields: day("")},
		{Name: "h", Type: storagepb.TableFieldSchema_STRUCT, Mode: nullable, Fields: day("a day")},
		{Name: "i", Type: storagepb.TableFieldSchema_STRING, Mode: nullable, MaxLength: 10}, {Name: "j", Type: storagepb.TableFieldSchema_STRING, Mode: nullable, MaxLength: 10},
		{Name: "k", Type: storagepb.TableFieldSchema_NUMERIC, Mode: nullable, Precision: 10, Scale: 2},
		{Name: "l", Type: storagepb.TableFieldSchema_RANGE, Mode: nullable, RangeElementType: &storagepb.TableFieldSchema_FieldElementType{Type: storagepb.TableFieldSchema_DATE}},
		{Name: "m", Type: storagepb.TableFieldSchema_TIMESTAMP, Mode: nullable, DefaultValueExpression: "CURRENT_TIMESTAMP()", TimestampPrecision: wrapperspb.Int64(12)},
	}}
	require.True(t, proto.Equal(want, got), "%v", got)
}

// nested returns a schema with records inside records, depth of them.
func nested(depth int) string {
	s := `{"name":"x","type":"DATE"}`
	for range depth {
		s = `{"name":"r","type":"RECORD","fields":[` + s + `]}`
	}
	return "[" + s + "]"
}

// A schema that BigQuery wouldn't have is refused with the field's name, before any row is read.
func TestParseSchemaRefuses(t *testing.T) {
	var many []string
	for i := range 10_001 {
		many = append(many, fmt.Sprintf(`{"name":"c%d","type":"DATE"}`, i))
	}
	for def, want := range map[string]string{
		``:                            `want a JSON list of fields`,
		`{"fields":[]}`:               `want a JSON list of fields`,
		`[] []`:                       `more text after the list`,
		`[{"name":"a","type":"INT"}]`: `field "a": unknown type "INT"`,
		`[{"name":"a"}]`:              `field "a": unknown type ""`,
		`[{"name":"a","type":"DATE","mode":"OPTIONAL"}]`:                       `field "a": unknown mode "OPTIONAL"`,
		`[{"name":"a","type":"DATE","mdoe":"REQUIRED"}]`:                       `unknown field "mdoe"`,
		`[{"name":"a","type":"STRING","maxLength":"-1"}]`:                      `not a count`,
		`[{"name":"","type":"DATE"}]`:                                          `the name is empty`,
		`[{"name":"a.b","type":"DATE"}]`:                                       `field "a.b": the name has a character`,
		`[{"name":"a\nb","type":"DATE"}]`:                                      `the name has a character`,
		`[{"name":"` + strings.Repeat("a", 301) + `","type":"DATE"}]`:          `longer than 300`,
		`[{"name":"a","type":"DATE"},{"name":"A","type":"DATE"}]`:              `field "A": the name is there twice`,
		`[{"name":"a","type":"RECORD"}]`:                                       `field "a": fields go with type RECORD`,
		`[{"name":"a","type":"DATE","fields":[{"name":"b","type":"DATE"}]}]`:   `field "a": fields go with type RECORD`,
		`[{"name":"a","type":"RECORD","fields":[{"name":"b","type":"WORD"}]}]`: `field "a.b": unknown type "WORD"`,
		`[{"name":"a","type":"RANGE","rangeElementType":{"type":"X"}}]`:        `field "a": unknown range element type "X"`,
		nested(16):                          `nested more than 15 levels deep`,
		"[" + strings.Join(many, ",") + "]": `more than 10000 fields`,
	} {
		_, err := rows.ParseSchema([]byte(def))
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "read table schema: ")
	}
	compileJSON(t, nested(15))
	compileJSON(t, "["+strings.Join(many[:10_000], ",")+"]")
}

// What BigQuery can't have says so with the column, also deep inside; a schema that didn't come from
// ParseSchema is checked as well.
func TestCompileRefuses(t *testing.T) {
	for def, want := range map[string]string{
		`{"name":"x","type":"RANGE"}`:                                    `a RANGE is of DATE, DATETIME or TIMESTAMP, not of TYPE_UNSPECIFIED`,
		`{"name":"x","type":"RANGE","rangeElementType":{"type":"TIME"}}`: `a RANGE is of DATE, DATETIME or TIMESTAMP, not of TIME`,
		`{"name":"x","type":"NUMERIC","precision":"40","scale":"2"}`:     `NUMERIC(40, 2) is no type of BigQuery`,
		`{"name":"x","type":"NUMERIC","precision":"10","scale":"10"}`:    `NUMERIC(10, 10) is no type of BigQuery`,
		`{"name":"x","type":"NUMERIC","scale":"2"}`:                      `NUMERIC(0, 2) is no type of BigQuery`,
		`{"name":"x","type":"BIGNUMERIC","precision":"39"}`:              `BIGNUMERIC(39, 0) is no type of BigQuery`,
		`{"name":"x","type":"BIGNUMERIC","precision":"9","scale":"39"}`:  `BIGNUMERIC(9, 39) is no type of BigQuery`,
	} {
		schema := parse(t, `[{"name":"r","type":"RECORD","fields":[`+def+`]}]`)
		_, err := rows.Compile(schema)
		require.EqualError(t, err, `compile table schema: column "r.x": `+want)
		_, err = rows.Descriptor(schema)
		require.EqualError(t, err, `describe table schema: column "r.x": `+want)
	}
	_, err := rows.Compile(nil)
	require.EqualError(t, err, "compile table schema: it has no columns")
	_, err = rows.Compile(&storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{{Name: "a\"b", Type: storagepb.TableFieldSchema_DATE, Mode: storagepb.TableFieldSchema_NULLABLE}}})
	require.ErrorContains(t, err, "the name has a character")
	_, err = rows.Compile(&storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{{Name: "a", Type: storagepb.TableFieldSchema_DATE}}})
	require.EqualError(t, err, `compile table schema: column "a": mode MODE_UNSPECIFIED is not known`)
}

// The descriptor is what the service accepts: self-contained, no oneofs, no proto3 optional
// (docs/service-facts.md, cases 58 and 59), one field per column, flexible names annotated (case 61).
func TestDescriptor(t *testing.T) {
	for _, folder := range []string{"flights", "earthquakes", "movies"} {
		schema := schemaOf(t, folder)
		d := compile(t, schema).Descriptor()
		require.Len(t, d.GetField(), len(schema.GetFields()))
		for _, msg := range append([]*descriptorpb.DescriptorProto{d}, d.GetNestedType()...) {
			require.Empty(t, msg.GetOneofDecl())
			for _, f := range msg.GetField() {
				require.Nil(t, f.OneofIndex)
				require.Nil(t, f.Proto3Optional)
			}
		}
		for i, f := range d.GetField() {
			if name := schema.GetFields()[i].GetName(); f.GetName() != name {
				require.Equal(t, name, proto.GetExtension(f.GetOptions(), storagepb.E_ColumnName))
			}
		}
	}
}

// RECORDs with the same fields share one message in the descriptor, at whatever level they are.
func TestSharedRecordTypes(t *testing.T) {
	schema, err := rows.ParseSchema([]byte(`[
		{"name":"a","type":"RECORD","fields":[{"name":"x","type":"DATE"}]},
		{"name":"b","type":"RECORD","mode":"REPEATED","fields":[{"name":"x","type":"DATE"}]},
		{"name":"c","type":"RECORD","fields":[{"name":"a","type":"RECORD","fields":[{"name":"x","type":"DATE"}]},{"name":"y","type":"BOOL"}]}]`))
	require.NoError(t, err)
	enc := compile(t, schema)
	requireAgrees(t, schema, enc, message(t, enc), []byte(`{"a":{"x":"2000-01-01"},"b":[{"x":"2000-01-02"},{}],"c":{"a":{"x":"2000-01-03"},"y":true}}`))
}
