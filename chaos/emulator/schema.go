package emulator

import (
	"errors"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// writerSchema is a writer's descriptor, resolved. It is immutable and shared by all rows written with it.
type writerSchema struct {
	raw     []byte
	desc    *descriptorpb.DescriptorProto
	message protoreflect.MessageDescriptor
}

// parseWriterSchema resolves a descriptor as the service does: alone, as proto2, in a file named BqMessage.proto.
// Its errors are what the service says after "Invalid proto schema: BqMessage.proto: ", where that is known (case 58).
func parseWriterSchema(raw []byte) (*writerSchema, error) {
	w := &writerSchema{raw: raw, desc: new(descriptorpb.DescriptorProto)}
	if err := proto.Unmarshal(raw, w.desc); err != nil {
		return nil, err
	}
	file := &descriptorpb.FileDescriptorProto{
		Name:        proto.String("BqMessage.proto"),
		Syntax:      proto.String("proto2"),
		MessageType: []*descriptorpb.DescriptorProto{w.desc},
	}
	fd, err := protodesc.FileOptions{AllowUnresolvable: true}.New(file, nil)
	if err != nil {
		return nil, err
	}
	w.message = fd.Messages().Get(0)
	if missing := unresolved(w.message, w.desc, w.desc.GetName()); len(missing) > 0 {
		return nil, errors.New(strings.Join(missing, "\nBqMessage.proto: "))
	}
	return w, nil
}

// unresolved lists the fields of md and of the messages nested in it whose type isn't part of the descriptor.
func unresolved(md protoreflect.MessageDescriptor, desc *descriptorpb.DescriptorProto, path string) (missing []string) {
	for i, field := range desc.GetField() {
		fd := md.Fields().Get(i)
		message, enum := fd.Message(), fd.Enum()
		if message != nil && message.IsPlaceholder() || enum != nil && enum.IsPlaceholder() {
			missing = append(missing, fmt.Sprintf("%s.%s: %q is not defined.", path, field.GetName(), field.GetTypeName()))
		}
	}
	for i, nested := range desc.GetNestedType() {
		missing = append(missing, unresolved(md.Messages().Get(i), nested, path+"."+nested.GetName())...)
	}
	return missing
}

// plan says how to check the bytes of a row: one message of the writer's schema matched with the table's columns.
type plan struct {
	fields   map[protowire.Number]*fieldPlan
	required []string // paths of the columns that each row must have
}

type fieldPlan struct {
	column   string // path, as in "rec.leaf"
	kind     protoreflect.Kind
	list     bool
	required int                                 // index in plan.required, or -1
	sub      *plan                               // of a message
	check    func(column string, v value) string // what is wrong with a value; nil: anything goes
}

// matcher collects what is found while a writer's schema is matched with a table's.
type matcher struct {
	stream string
	extra  []string
}

// match compares a writer's schema with a table's and returns how to check its rows, or the error that ends the
// connection (section 7; cases 56, 57, 60 to 63).
func match(stream string, w *writerSchema, schema *storagepb.TableSchema) (*plan, *apiError) {
	m := matcher{stream: stream}
	p, err := m.message(w.message, schema.GetFields(), "")
	if err != nil {
		return nil, err
	}
	if len(m.extra) > 0 {
		return nil, extraFields(stream, m.extra)
	}
	return p, nil
}

func (m *matcher) message(md protoreflect.MessageDescriptor, columns []*storagepb.TableFieldSchema, prefix string) (*plan, *apiError) {
	byName := make(map[string]*storagepb.TableFieldSchema, len(columns))
	for _, c := range columns {
		byName[strings.ToLower(c.GetName())] = c
	}
	p := &plan{fields: map[protowire.Number]*fieldPlan{}}
	present := map[string]bool{}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		name := columnName(fd)
		if pseudo := strings.ToUpper(name); prefix == "" && (pseudo == "_CHANGE_TYPE" || pseudo == "_CHANGE_SEQUENCE_NUMBER") {
			return nil, unsupported(m.stream, "change data capture (the column "+name+")")
		}
		column := byName[strings.ToLower(name)]
		if column == nil {
			m.extra = append(m.extra, prefix+name)
			continue
		}
		present[strings.ToLower(name)] = true
		f, err := m.field(fd, column, prefix)
		if err != nil {
			return nil, err
		}
		if column.GetMode() == storagepb.TableFieldSchema_REQUIRED {
			f.required = len(p.required)
			p.required = append(p.required, f.column)
		}
		p.fields[fd.Number()] = f
	}
	for _, c := range columns {
		if c.GetMode() == storagepb.TableFieldSchema_REQUIRED && c.GetDefaultValueExpression() == "" && !present[strings.ToLower(c.GetName())] {
			return nil, errorf(codes.InvalidArgument, m.stream, "Required field %s is missing in the input schema.", prefix+c.GetName())
		}
	}
	return p, nil
}

func (m *matcher) field(fd protoreflect.FieldDescriptor, column *storagepb.TableFieldSchema, prefix string) (*fieldPlan, *apiError) {
	where := string(fd.ContainingMessage().Name()) + "." + string(fd.Name())
	if repeated := column.GetMode() == storagepb.TableFieldSchema_REPEATED; repeated != fd.IsList() {
		return nil, errorf(codes.InvalidArgument, m.stream,
			"The proto field mismatched with BigQuery field at %s, the proto field label %s, BigQuery field mode %s",
			where, fd.Cardinality(), column.GetMode())
	}
	if !accepts(column.GetType(), fd) {
		return nil, errorf(codes.InvalidArgument, m.stream,
			"The proto field mismatched with BigQuery field at %s, the proto field type %s, BigQuery field type %s",
			where, fd.Kind(), typeName(column.GetType()))
	}
	f := &fieldPlan{
		column: prefix + column.GetName(), kind: fd.Kind(), list: fd.IsList(), required: -1,
		check: valueCheck(column, fd),
	}
	var err *apiError
	switch {
	case fd.Message() == nil:
	case column.GetType() == storagepb.TableFieldSchema_STRUCT:
		f.sub, err = m.message(fd.Message(), column.GetFields(), f.column+".")
	default:
		f.sub = structural(fd.Message())
	}
	return f, err
}

// structural is the plan of a message that isn't a record of the table, such as a timestamp: only the wire counts.
func structural(md protoreflect.MessageDescriptor) *plan {
	p := &plan{fields: map[protowire.Number]*fieldPlan{}}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		if fd.Message() == nil { // the messages accepted for scalars are flat
			p.fields[fd.Number()] = &fieldPlan{column: string(fd.Name()), kind: fd.Kind(), list: fd.IsList(), required: -1}
		}
	}
	return p
}
