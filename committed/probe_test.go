package committed

import (
	"testing"

	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/testdata"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The probe is valid and has nothing but REQUIRED fields, all of them zero: an invalid one would
// be answered with row errors by a service that checks rows first, and say nothing of the end.
func TestProbeRow(t *testing.T) {
	require.JSONEq(t, `{"s": "", "i": "0", "f": 0, "b": false, "t": "0", "d": 0, "r": {"x": 0}}`, probeOf(t, `[
		{"name":"s","type":"STRING","mode":"REQUIRED"},{"name":"i","type":"INTEGER","mode":"REQUIRED"},{"name":"f","type":"FLOAT","mode":"REQUIRED"},
		{"name":"b","type":"BOOL","mode":"REQUIRED"},{"name":"t","type":"TIMESTAMP","mode":"REQUIRED"},{"name":"d","type":"DATE","mode":"REQUIRED"},
		{"name":"n","type":"STRING"},{"name":"l","type":"DATE","mode":"REPEATED"},
		{"name":"r","type":"RECORD","mode":"REQUIRED","fields":[{"name":"x","type":"FLOAT","mode":"REQUIRED"},{"name":"y","type":"DATE"}]},
		{"name":"o","type":"RECORD","fields":[{"name":"x","type":"FLOAT","mode":"REQUIRED"}]}]`))
	require.JSONEq(t, `{}`, probeOf(t, `[{"name":"n","type":"STRING"},{"name":"l","type":"DATE","mode":"REPEATED"}]`))
	for _, folder := range []string{"flights", "earthquakes", "movies"} {
		text, err := testdata.FS.ReadFile(folder + "/schema.json")
		require.NoError(t, err)
		require.NotEqual(t, `{}`, probeOf(t, string(text)))
	}
}

// probeOf decodes the probe of a table with this schema; a missing REQUIRED field is an error.
func probeOf(t *testing.T, schema string) string {
	ts, err := rows.ParseSchema([]byte(schema))
	require.NoError(t, err)
	s, err := NewSchema("projects/p/datasets/d/tables/t", ts, nil)
	require.NoError(t, err)
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("test.proto"), MessageType: []*descriptorpb.DescriptorProto{s.Descriptor()},
	}, nil)
	require.NoError(t, err)
	row := dynamicpb.NewMessage(file.Messages().Get(0))
	require.NoError(t, proto.Unmarshal(s.probe, row))
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(row)
	require.NoError(t, err)
	return string(text)
}
