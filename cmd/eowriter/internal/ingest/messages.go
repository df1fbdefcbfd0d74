package ingest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/committed"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A producer's own message type is checked against the table before anything of it is bound: the service refuses a wrong
// one for the whole connection (cases 56 to 59 and 63), which would stop the partition for everybody.

// maxMessages are the message types that are kept for a schema.
const maxMessages = 64

// messages are the message types of producers that fit a schema.
type messages struct {
	mu    sync.Mutex // guards known
	known map[string]*message
}

// message is one of them.
type message struct {
	schema *committed.Schema
	typ    protoreflect.MessageDescriptor
}

// message returns what is needed to write messages of a type to the table.
func (e *encoding) message(d *descriptorpb.DescriptorProto, defaults bool) (*message, error) {
	key, err := proto.MarshalOptions{Deterministic: true}.Marshal(d)
	if err != nil {
		return nil, err
	}
	e.messages.mu.Lock()
	defer e.messages.mu.Unlock()
	if m := e.messages.known[string(key)]; m != nil {
		return m, nil
	}
	typ, err := resolve(d)
	if err != nil {
		return nil, err
	}
	if err := fits(typ, e.schema.Table().GetFields(), "", defaults); err != nil {
		return nil, err
	}
	s, err := committed.NewSchema(e.schema.Name(), e.schema.Table(), proto.CloneOf(d))
	if err != nil {
		return nil, err
	}
	if e.messages.known == nil || len(e.messages.known) >= maxMessages {
		e.messages.known = map[string]*message{}
	}
	m := &message{s, typ}
	e.messages.known[string(key)] = m
	return m, nil
}

// resolve reads a self-contained descriptor.
func resolve(d *descriptorpb.DescriptorProto) (protoreflect.MessageDescriptor, error) {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("rows.proto"), MessageType: []*descriptorpb.DescriptorProto{d},
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("descriptor: %w", err)
	}
	return file.Messages().Get(0), nil
}

// kinds are the kinds of fields that columns take (docs/service-facts.md, section 7), but for messages.
var kinds = map[storagepb.TableFieldSchema_Type][]protoreflect.Kind{
	storagepb.TableFieldSchema_BOOL: {protoreflect.BoolKind, protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind, protoreflect.Uint64Kind},
	storagepb.TableFieldSchema_INT64: {protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind, protoreflect.EnumKind,
		protoreflect.Sint32Kind, protoreflect.Sint64Kind, protoreflect.Sfixed32Kind, protoreflect.Sfixed64Kind, protoreflect.Fixed32Kind},
	storagepb.TableFieldSchema_DOUBLE:     {protoreflect.DoubleKind, protoreflect.FloatKind},
	storagepb.TableFieldSchema_STRING:     {protoreflect.StringKind, protoreflect.EnumKind},
	storagepb.TableFieldSchema_BYTES:      {protoreflect.BytesKind, protoreflect.StringKind},
	storagepb.TableFieldSchema_DATE:       {protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.StringKind},
	storagepb.TableFieldSchema_DATETIME:   {protoreflect.StringKind, protoreflect.Int64Kind},
	storagepb.TableFieldSchema_TIME:       {protoreflect.StringKind, protoreflect.Int64Kind},
	storagepb.TableFieldSchema_TIMESTAMP:  {protoreflect.Int64Kind, protoreflect.Int32Kind, protoreflect.Uint32Kind, protoreflect.StringKind},
	storagepb.TableFieldSchema_GEOGRAPHY:  {protoreflect.StringKind},
	storagepb.TableFieldSchema_JSON:       {protoreflect.StringKind},
	storagepb.TableFieldSchema_INTERVAL:   {protoreflect.StringKind},
	storagepb.TableFieldSchema_NUMERIC:    numbers,
	storagepb.TableFieldSchema_BIGNUMERIC: numbers,
}

var numbers = []protoreflect.Kind{protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind, protoreflect.Uint64Kind,
	protoreflect.DoubleKind, protoreflect.FloatKind, protoreflect.StringKind, protoreflect.BytesKind}

// fits says why a message type is none for these columns, or nil. It ends, also for a type that has itself
// inside, because columns do.
func fits(typ protoreflect.MessageDescriptor, columns []*storagepb.TableFieldSchema, under string, defaults bool) error {
	has := make([]bool, len(columns))
	for n := range typ.Fields().Len() {
		f := typ.Fields().Get(n)
		name := columnName(f)
		at := slices.IndexFunc(columns, func(c *storagepb.TableFieldSchema) bool { return strings.EqualFold(c.GetName(), name) })
		if at < 0 {
			return fmt.Errorf("descriptor: the table has no column %s", under+name)
		}
		if has[at] {
			return fmt.Errorf("descriptor: two fields for column %s", under+name)
		}
		has[at] = true
		if err := fitsColumn(f, columns[at], under+name, defaults); err != nil {
			return err
		}
	}
	for n, c := range columns {
		optional := defaults && under == "" && c.GetDefaultValueExpression() != ""
		if !has[n] && c.GetMode() == storagepb.TableFieldSchema_REQUIRED && !optional {
			return fmt.Errorf("descriptor: no field for column %s, which is REQUIRED", under+c.GetName())
		}
	}
	return nil
}

func fitsColumn(f protoreflect.FieldDescriptor, c *storagepb.TableFieldSchema, path string, defaults bool) error {
	repeated := c.GetMode() == storagepb.TableFieldSchema_REPEATED
	switch {
	case f.ContainingOneof() != nil:
		return fmt.Errorf("descriptor: field %s is in a oneof, or optional as proto3 has it: normalize the descriptor", path) // case 59
	case repeated != (f.Cardinality() == protoreflect.Repeated):
		return fmt.Errorf("descriptor: field and column %s are not both repeated", path)
	case f.Kind() == protoreflect.MessageKind && c.GetType() == storagepb.TableFieldSchema_STRUCT:
		return fits(f.Message(), c.GetFields(), path+".", defaults)
	case f.Kind() == protoreflect.MessageKind && c.GetType() == storagepb.TableFieldSchema_RANGE:
		return fits(f.Message(), rangeColumns(c.GetRangeElementType().GetType()), path+".", defaults)
	case !slices.Contains(kinds[c.GetType()], f.Kind()):
		return fmt.Errorf("descriptor: field %s of type %s is none for a column of type %s", path, f.Kind(), c.GetType())
	}
	return nil
}

func rangeColumns(element storagepb.TableFieldSchema_Type) []*storagepb.TableFieldSchema {
	return []*storagepb.TableFieldSchema{{Name: "start", Type: element}, {Name: "end", Type: element}}
}

// columnName is the column that a field is for: an annotated name wins (case 61).
func columnName(f protoreflect.FieldDescriptor) string {
	if name, ok := proto.GetExtension(f.Options(), storagepb.E_ColumnName).(string); ok && name != "" {
		return name
	}
	return string(f.Name())
}

// fromMessages takes the rows as they are, and returns those that are no messages of the type.
func (e *entry) fromMessages(enc *encoding, a *Append, defaults bool) (bad []refusal, err error) {
	m, err := enc.message(a.Descriptor, defaults)
	if err != nil {
		return nil, refuse(eowriterv1.Reason_REASON_INVALID, "%v", err)
	}
	e.schema = m.schema
	into := dynamicpb.NewMessage(m.typ)
	for n, row := range a.Rows {
		proto.Reset(into)
		if err := proto.Unmarshal(row, into); err != nil {
			bad = append(bad, refusal{row: n, reason: "not a message of the descriptor: " + err.Error(), err: err})
			continue
		}
		e.encoded = append(e.encoded, slices.Clone(row))
	}
	e.bytes = requestBytes(e.encoded)
	return bad, nil
}
