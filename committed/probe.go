package committed

import (
	"encoding/json"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/committed/rows"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The probe's row is the smallest that is valid: REQUIRED columns with something like
// zero, no others. A service that looks at rows before the offset would answer a row that
// is not valid with row errors, and say nothing of the stream's end.

// describe derives a table's writer schema and its probe.
func describe(ts *storagepb.TableSchema) (*descriptorpb.DescriptorProto, []byte, error) {
	enc, err := rows.Compile(ts)
	if err != nil {
		return nil, nil, err
	}
	text, err := json.Marshal(zeroRecord(ts.GetFields()))
	if err != nil {
		return nil, nil, err
	}
	probe, err := enc.Append(nil, text)
	return enc.Descriptor(), probe, err
}

func zeroRecord(columns []*storagepb.TableFieldSchema) map[string]any {
	record := map[string]any{}
	for _, c := range columns {
		if c.GetMode() == storagepb.TableFieldSchema_REQUIRED {
			record[c.GetName()] = zero(c)
		}
	}
	return record
}

// zero is a value of the column's type, as JSON has it.
func zero(c *storagepb.TableFieldSchema) any {
	switch c.GetType() {
	case storagepb.TableFieldSchema_STRUCT:
		return zeroRecord(c.GetFields())
	case storagepb.TableFieldSchema_STRING, storagepb.TableFieldSchema_BYTES:
		return ""
	case storagepb.TableFieldSchema_BOOL:
		return false
	case storagepb.TableFieldSchema_DATE:
		return "1970-01-01"
	case storagepb.TableFieldSchema_TIME:
		return "00:00:00"
	case storagepb.TableFieldSchema_DATETIME:
		return "1970-01-01 00:00:00"
	case storagepb.TableFieldSchema_TIMESTAMP:
		return "1970-01-01 00:00:00Z"
	case storagepb.TableFieldSchema_GEOGRAPHY:
		return "POINT(0 0)"
	case storagepb.TableFieldSchema_JSON:
		return map[string]any{}
	case storagepb.TableFieldSchema_INTERVAL:
		return "0-0 0 0:0:0"
	case storagepb.TableFieldSchema_RANGE:
		return "[UNBOUNDED, UNBOUNDED)"
	}
	return 0 // INTEGER, FLOAT, NUMERIC, BIGNUMERIC
}

// zeroMessage is the probe for a descriptor of the caller's own, of which only the kinds
// are known.
func zeroMessage(d *descriptorpb.DescriptorProto) ([]byte, error) {
	md, err := message(d)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(zeroOf(md))
}

func zeroOf(md protoreflect.MessageDescriptor) *dynamicpb.Message {
	msg := dynamicpb.NewMessage(md)
	for i := range md.Fields().Len() {
		switch f := md.Fields().Get(i); {
		case f.Cardinality() != protoreflect.Required:
		case f.Message() != nil:
			msg.Set(f, protoreflect.ValueOfMessage(zeroOf(f.Message())))
		default:
			msg.Set(f, f.Default())
		}
	}
	return msg
}
