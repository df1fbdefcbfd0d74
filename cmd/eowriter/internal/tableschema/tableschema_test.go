package tableschema

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

const everything = `[
  {"name": "a", "type": "STRING", "mode": "REQUIRED", "maxLength": "3", "description": "x", "defaultValueExpression": "'y'"},
  {"name": "b", "type": "INTEGER", "mode": "NULLABLE"}, {"name": "c", "type": "FLOAT", "mode": "REPEATED"},
  {"name": "d", "type": "BOOLEAN", "mode": "NULLABLE"}, {"name": "e", "type": "BYTES", "mode": "NULLABLE", "maxLength": "9"},
  {"name": "f", "type": "NUMERIC", "mode": "NULLABLE", "precision": "10", "scale": "2"}, {"name": "g", "type": "BIGNUMERIC", "mode": "NULLABLE"},
  {"name": "h", "type": "TIMESTAMP", "mode": "NULLABLE", "timestampPrecision": "12"}, {"name": "i", "type": "DATE", "mode": "NULLABLE"},
  {"name": "j", "type": "TIME", "mode": "NULLABLE"}, {"name": "k", "type": "DATETIME", "mode": "NULLABLE"},
  {"name": "l", "type": "GEOGRAPHY", "mode": "NULLABLE"}, {"name": "m", "type": "JSON", "mode": "NULLABLE"},
  {"name": "n", "type": "INTERVAL", "mode": "NULLABLE"}, {"name": "o", "type": "RANGE", "mode": "NULLABLE", "rangeElementType": {"type": "DATE"}},
  {"name": "p", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "q r", "type": "RECORD", "mode": "NULLABLE", "fields": [
    {"name": "s", "type": "INTEGER", "mode": "REQUIRED"}]}]}]`

// What schema show prints is given to load --schema: it must be the same schema.
func TestJSONIsReadBack(t *testing.T) {
	ts, err := rows.ParseSchema([]byte(everything))
	require.NoError(t, err)
	text, err := json.Marshal(JSON(ts))
	require.NoError(t, err)
	require.JSONEq(t, everything, string(text))
	again, err := rows.ParseSchema(text)
	require.NoError(t, err)
	require.True(t, proto.Equal(ts, again))

	// The service says nothing about a mode that is the default.
	require.Equal(t, []Field{{Name: "x", Type: "DATE", Mode: "NULLABLE"}}, JSON(&storagepb.TableSchema{
		Fields: []*storagepb.TableFieldSchema{{Name: "x", Type: storagepb.TableFieldSchema_DATE}},
	}))
}

// The text must say how the rows are sent, all of it.
func TestProto(t *testing.T) {
	ts, err := rows.ParseSchema([]byte(everything))
	require.NoError(t, err)
	d, err := rows.Descriptor(ts)
	require.NoError(t, err)
	want, err := os.ReadFile(filepath.Join("testdata", "everything.proto"))
	require.NoError(t, err)
	require.Equal(t, string(want), Proto(d))

	require.Equal(t, `syntax = "proto2";

message m {
  optional string s = 1 [default = "a\"b"];
  required e v = 2 [default = ONE];

  enum e {
    ONE = 1;
  }
}
`, Proto(&descriptorpb.DescriptorProto{
		Name: proto.String("m"),
		Field: []*descriptorpb.FieldDescriptorProto{
			{
				Name: proto.String("s"), Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
				Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), DefaultValue: proto.String(`a"b`),
			},
			{
				Name: proto.String("v"), Number: proto.Int32(2), Type: descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum(), TypeName: proto.String(".e"),
				Label: descriptorpb.FieldDescriptorProto_LABEL_REQUIRED.Enum(), DefaultValue: proto.String("ONE"),
			},
		},
		EnumType: []*descriptorpb.EnumDescriptorProto{{Name: proto.String("e"), Value: []*descriptorpb.EnumValueDescriptorProto{{Name: proto.String("ONE"), Number: proto.Int32(1)}}}},
	}))
}

// Whatever schema is taken must be printed as one that is the same, and that can be taken again.
func FuzzJSONIsReadBack(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte(`[{"name": "x", "type": "RANGE", "rangeElementType": {"type": "DATETIME"}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		ts, err := rows.ParseSchema(text)
		if err != nil {
			return
		}
		printed, err := json.Marshal(JSON(ts))
		require.NoError(t, err)
		again, err := rows.ParseSchema(printed)
		require.NoError(t, err, "%s", printed)
		reprinted, err := json.Marshal(JSON(again))
		require.NoError(t, err)
		require.Equal(t, string(printed), string(reprinted))
	})
}
