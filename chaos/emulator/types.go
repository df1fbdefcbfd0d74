package emulator

import (
	"slices"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// typeName is the type as the service's messages call it.
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

// acceptedKinds is the table in section 7 of docs/service-facts.md: the scalar proto types a column takes.
var acceptedKinds = map[storagepb.TableFieldSchema_Type][]protoreflect.Kind{
	storagepb.TableFieldSchema_BOOL: {protoreflect.BoolKind, protoreflect.Int32Kind, protoreflect.Int64Kind,
		protoreflect.Uint32Kind, protoreflect.Uint64Kind},
	storagepb.TableFieldSchema_BYTES:     {protoreflect.BytesKind, protoreflect.StringKind},
	storagepb.TableFieldSchema_DATE:      {protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.StringKind},
	storagepb.TableFieldSchema_DATETIME:  {protoreflect.StringKind, protoreflect.Int64Kind},
	storagepb.TableFieldSchema_TIME:      {protoreflect.StringKind, protoreflect.Int64Kind},
	storagepb.TableFieldSchema_DOUBLE:    {protoreflect.DoubleKind, protoreflect.FloatKind},
	storagepb.TableFieldSchema_GEOGRAPHY: {protoreflect.StringKind},
	storagepb.TableFieldSchema_INT64: {protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind,
		protoreflect.EnumKind, protoreflect.Sint32Kind, protoreflect.Sint64Kind, protoreflect.Sfixed32Kind,
		protoreflect.Sfixed64Kind, protoreflect.Fixed32Kind},
	storagepb.TableFieldSchema_JSON:       {protoreflect.StringKind},
	storagepb.TableFieldSchema_NUMERIC:    numericKinds,
	storagepb.TableFieldSchema_BIGNUMERIC: numericKinds,
	storagepb.TableFieldSchema_STRING:     {protoreflect.StringKind, protoreflect.EnumKind},
	storagepb.TableFieldSchema_TIMESTAMP: {protoreflect.Int64Kind, protoreflect.Int32Kind, protoreflect.Uint32Kind,
		protoreflect.StringKind},
	storagepb.TableFieldSchema_INTERVAL: {protoreflect.StringKind},
}

var numericKinds = []protoreflect.Kind{protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind,
	protoreflect.Uint64Kind, protoreflect.DoubleKind, protoreflect.FloatKind, protoreflect.StringKind, protoreflect.BytesKind}

// acceptedMessages is the same for messages, by the end of their name: a nested type is flattened to a name like
// google_protobuf_Timestamp.
var acceptedMessages = map[storagepb.TableFieldSchema_Type][]string{
	storagepb.TableFieldSchema_BOOL:       {"BoolValue"},
	storagepb.TableFieldSchema_BYTES:      {"BytesValue"},
	storagepb.TableFieldSchema_DOUBLE:     {"DoubleValue", "FloatValue"},
	storagepb.TableFieldSchema_INT64:      {"Int32Value", "Int64Value", "UInt32Value"},
	storagepb.TableFieldSchema_NUMERIC:    {"BytesValue"},
	storagepb.TableFieldSchema_BIGNUMERIC: {"BytesValue"},
	storagepb.TableFieldSchema_STRING:     {"StringValue"},
	storagepb.TableFieldSchema_TIMESTAMP:  {"Timestamp"},
	storagepb.TableFieldSchema_INTERVAL:   {"Duration"},
}

// accepts says whether a column takes a field's type.
func accepts(column *storagepb.TableFieldSchema, fd protoreflect.FieldDescriptor) bool {
	t, md := column.GetType(), fd.Message()
	if md == nil {
		return slices.Contains(acceptedKinds[t], fd.Kind())
	}
	switch t {
	case storagepb.TableFieldSchema_STRUCT:
		return true
	case storagepb.TableFieldSchema_RANGE:
		start, end := md.Fields().ByName("start"), md.Fields().ByName("end")
		bound := func(fd protoreflect.FieldDescriptor) bool {
			return fd == nil || !fd.IsList() && accepts(elementOf(column), fd)
		}
		return (start != nil || end != nil) && bound(start) && bound(end)
	case storagepb.TableFieldSchema_TIMESTAMP: // flattened under any name (case 72)
		part := md.Fields().ByName("nanos")
		if part == nil {
			part = md.Fields().ByName("picoseconds")
		}
		return isInteger(md.Fields().ByName("seconds")) && (part == nil || isInteger(part))
	case storagepb.TableFieldSchema_INTERVAL:
		return hasSuffix(md, acceptedMessages[t]) && isInteger(md.Fields().ByName("seconds")) && isInteger(md.Fields().ByName("nanos"))
	}
	value := md.Fields().ByName("value")
	return hasSuffix(md, acceptedMessages[t]) && value != nil && !value.IsList() &&
		value.Kind() != protoreflect.EnumKind && slices.Contains(acceptedKinds[t], value.Kind())
}

func isInteger(fd protoreflect.FieldDescriptor) bool {
	return fd != nil && !fd.IsList() && (fd.Kind() == protoreflect.Int64Kind || fd.Kind() == protoreflect.Int32Kind)
}

func hasSuffix(md protoreflect.MessageDescriptor, suffixes []string) bool {
	return slices.ContainsFunc(suffixes, func(suffix string) bool { return strings.HasSuffix(string(md.Name()), suffix) })
}
