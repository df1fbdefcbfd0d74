package rows_test

import (
	"strings"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter/adapt"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"pgregory.net/rapid"
)

// adapted is the client library's descriptor of schema; an error if it can't make one.
func adapted(schema *storagepb.TableSchema) (*descriptorpb.DescriptorProto, error) {
	d, err := adapt.StorageSchemaToProto2Descriptor(schema, "root")
	if err != nil {
		return nil, err
	}
	return adapt.NormalizeDescriptor(d.(protoreflect.MessageDescriptor))
}

func requireAdapted(t require.TestingT, want, got *descriptorpb.DescriptorProto) {
	if !proto.Equal(want, got) {
		require.Equal(t, prototext.Format(want), prototext.Format(got))
	}
}

// Descriptor is what adapt makes wherever adapt can, so that rows written with a descriptor of either
// have one fingerprint. If it failed, partitions of an existing ledger would see another writer schema.
func TestDescriptorIsAdapts(t *testing.T) {
	same := 0
	rapid.Check(t, func(t *rapid.T) {
		schema := &storagepb.TableSchema{Fields: drawFields(t, 0)}
		withoutPicos(schema.GetFields())
		want, err := adapted(schema)
		if err != nil {
			return
		}
		got, err := rows.Descriptor(schema)
		require.NoError(t, err)
		requireAdapted(t, want, got)
		same++
	})
	require.Positive(t, same)
	for _, folder := range []string{"flights", "earthquakes", "movies"} {
		schema := schemaOf(t, folder)
		want, err := adapted(schema)
		require.NoError(t, err)
		requireAdapted(t, want, compile(t, schema).Descriptor())
	}
}

func withoutPicos(fields []*storagepb.TableFieldSchema) {
	for _, f := range fields {
		f.TimestampPrecision = nil
		withoutPicos(f.GetFields())
	}
}

// What adapt can't describe: each of these is a valid message type, takes a row, and has the names of
// the columns in its annotations (case 61).
func TestDescriptorBeyondAdapt(t *testing.T) {
	for def, object := range map[string]string{
		`[{"name":"x","type":"INTERVAL"}]`: `{"x":"1-2 3 4:5:6"}`,
		`[{"name":"größe","type":"RECORD","fields":[{"name":"ä","type":"RECORD","fields":[{"name":"ö","type":"DATE"}]}]}]`:                                                                   `{"größe":{"ä":{"ö":1}}}`,
		`[{"name":"ÿÿÿ","type":"DATE"},{"name":"ÿÿ","type":"DATE"}]`:                                                                                                                         `{"ÿÿÿ":1,"ÿÿ":2}`,
		`[{"name":"ä","type":"DATE"},{"name":"col_w6Q","type":"DATE"},{"name":"col_c3a4","type":"DATE"}]`:                                                                                    `{"ä":1,"col_w6Q":2,"col_c3a4":3}`,
		`[{"name":"a__b","type":"RECORD","fields":[{"name":"x","type":"DATE"}]},{"name":"a","type":"RECORD","fields":[{"name":"b","type":"RECORD","fields":[{"name":"y","type":"DATE"}]}]}]`: `{"a__b":{"x":1},"a":{"b":{"y":1}}}`,
	} {
		schema := parse(t, def)
		_, err := adapted(schema)
		require.Error(t, err, "adapt can describe %s by now", def)
		enc := compile(t, schema)
		requireAgrees(t, schema, enc, message(t, enc), []byte(object))
		requireNames(t, schema.GetFields(), enc.Descriptor(), enc.Descriptor())
	}
}

func requireNames(t *testing.T, fields []*storagepb.TableFieldSchema, msg, root *descriptorpb.DescriptorProto) {
	for i, f := range fields {
		d := msg.GetField()[i]
		name := d.GetName()
		if annotated := proto.GetExtension(d.GetOptions(), storagepb.E_ColumnName).(string); annotated != "" {
			name = annotated
		}
		require.Equal(t, f.GetName(), name)
		for _, nested := range root.GetNestedType() {
			if nested.GetName() == d.GetTypeName() {
				requireNames(t, f.GetFields(), nested, root)
			}
		}
	}
}

// The writer takes each type's descriptor and can make a message from it for its probe.
func TestDescriptorForWriter(t *testing.T) {
	// Also with a REQUIRED column of each type, so that the probe has a value for it.
	required := strings.ReplaceAll(everything, `"mode":"REPEATED"`, `"mode":"REQUIRED"`)
	for _, def := range []string{everything, required} {
		schema := parse(t, def)
		s, err := committed.NewSchema("projects/p/datasets/d/tables/t", schema, compile(t, schema).Descriptor())
		require.NoError(t, err)
		requireAdapted(t, compile(t, schema).Descriptor(), s.Descriptor())
	}
}
