package emulator

import (
	"strings"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/descriptorpb"
)

// If this failed, a writer would learn of a mismatch only from the service, or be refused by the emulator alone
// (cases 57, 72, 73).
func TestAcceptedProtoTypes(t *testing.T) {
	wrappers := map[string]kind{"BoolValue": tBool, "BytesValue": tBytes, "DoubleValue": tDouble, "FloatValue": tFloat, "Int32Value": tInt32,
		"Int64Value": tInt64, "UInt32Value": tUint32, "UInt64Value": tUint64, "StringValue": tString}
	for column, accepted := range map[storagepb.TableFieldSchema_Type]string{
		storagepb.TableFieldSchema_BOOL:       "bool int32 int64 uint32 uint64 BoolValue",
		storagepb.TableFieldSchema_BYTES:      "bytes string BytesValue",
		storagepb.TableFieldSchema_DATE:       "int32 int64 string",
		storagepb.TableFieldSchema_DATETIME:   "int64 string",
		storagepb.TableFieldSchema_TIME:       "int64 string",
		storagepb.TableFieldSchema_DOUBLE:     "double float DoubleValue FloatValue",
		storagepb.TableFieldSchema_GEOGRAPHY:  "string",
		storagepb.TableFieldSchema_INT64:      "int32 int64 uint32 enum sint32 sint64 sfixed32 sfixed64 fixed32 Int32Value Int64Value UInt32Value",
		storagepb.TableFieldSchema_JSON:       "string",
		storagepb.TableFieldSchema_NUMERIC:    "int32 int64 uint32 uint64 double float string bytes BytesValue",
		storagepb.TableFieldSchema_BIGNUMERIC: "int32 int64 uint32 uint64 double float string bytes BytesValue",
		storagepb.TableFieldSchema_STRING:     "string enum StringValue",
		storagepb.TableFieldSchema_TIMESTAMP:  "int64 int32 uint32 string Timestamp",
		storagepb.TableFieldSchema_INTERVAL:   "string Duration",
	} {
		want := map[string]bool{}
		for _, name := range strings.Fields(accepted) {
			want[name] = true
		}
		try := func(name string, d *descriptorpb.DescriptorProto) {
			require.Equal(t, want[name], planOf(t, d, typed(column)) != nil, "%s into %s", name, column)
			delete(want, name)
		}
		for _, k := range []kind{tBool, tBytes, tDouble, tFloat, tInt32, tInt64, tUint32, tUint64, tSint32, tSint64, tFixed32, tFixed64, tSfixed32, tSfixed64, tString} {
			try(strings.ToLower(strings.TrimPrefix(k.String(), "TYPE_")), single(k))
		}
		try("enum", single(tEnum, colours))
		for name, k := range wrappers {
			try(name, single(tMessage, wrapper(name, k)))
		}
		if column != storagepb.TableFieldSchema_INTERVAL { // of the same shape as a Duration by another name
			try("Timestamp", single(tMessage, stampMessage))
		}
		if column != storagepb.TableFieldSchema_TIMESTAMP { // which takes the shape under any name
			try("Duration", single(tMessage, durationMsg))
		}
		require.Empty(t, want, "not tried")
	}
}
