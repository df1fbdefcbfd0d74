package rows_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/testdata"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// lines returns the lines of a compressed file, without line ends.
func lines(t testing.TB, name string) [][]byte {
	t.Helper()
	f, err := testdata.FS.Open(name)
	require.NoError(t, err)
	defer f.Close()
	gz, err := gzip.NewReader(f)
	require.NoError(t, err)
	data, err := io.ReadAll(gz)
	require.NoError(t, err)
	return bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
}

func schemaOf(t testing.TB, folder string) *storagepb.TableSchema {
	t.Helper()
	data, err := fs.ReadFile(testdata.FS, folder+"/schema.json")
	require.NoError(t, err)
	schema, err := rows.ParseSchema(data)
	require.NoError(t, err)
	return schema
}

func compile(t testing.TB, schema *storagepb.TableSchema) *rows.Encoder {
	t.Helper()
	enc, err := rows.Compile(schema)
	require.NoError(t, err)
	return enc
}

func parse(t testing.TB, schema string) *storagepb.TableSchema {
	t.Helper()
	s, err := rows.ParseSchema([]byte(schema))
	require.NoError(t, err)
	return s
}

func compileJSON(t testing.TB, schema string) *rows.Encoder {
	t.Helper()
	return compile(t, parse(t, schema))
}

func asError(t testing.TB, err error) *rows.Error {
	t.Helper()
	var e *rows.Error
	require.ErrorAs(t, err, &e)
	return e
}

// message builds the row's message type from nothing but the descriptor that the service gets.
func message(t require.TestingT, enc *rows.Encoder) protoreflect.MessageDescriptor {
	file := &descriptorpb.FileDescriptorProto{
		Name:        proto.String("row.proto"),
		Syntax:      proto.String("proto2"),
		MessageType: []*descriptorpb.DescriptorProto{enc.Descriptor()},
	}
	fd, err := protodesc.NewFile(file, nil)
	require.NoError(t, err)
	return fd.Messages().Get(0)
}

// decode reads a row as the service does; a missing REQUIRED field is an error.
func decode(t require.TestingT, md protoreflect.MessageDescriptor, row []byte) *dynamicpb.Message {
	m := dynamicpb.NewMessage(md)
	require.NoError(t, proto.Unmarshal(row, m))
	return m
}
