package emulator

import (
	"errors"
	"fmt"
	"math"
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
	if where := oneof(w.desc, w.desc.GetName()); where != "" {
		return nil, errors.New(where + ": oneof and proto3_optional are not supported.")
	}
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

// oneof finds the first field that is marked as one of a oneof or as proto3_optional, which the service refuses (case 59).
func oneof(desc *descriptorpb.DescriptorProto, path string) string {
	for _, field := range desc.GetField() {
		if field.OneofIndex != nil || field.GetProto3Optional() {
			return path + "." + field.GetName()
		}
	}
	for _, nested := range desc.GetNestedType() {
		if where := oneof(nested, path+"."+nested.GetName()); where != "" {
			return where
		}
	}
	return ""
}

// plan says how to read a row: one message of the writer's schema matched with the table's columns. It is immutable.
type plan struct {
	fields map[protowire.Number]*fieldPlan
	absent []absence // what happens when fields are missing from a row
	blank  []Value   // a row in which every field is missing: NULL, and empty lists

	// Of the table itself, not of a record.
	slots    map[string]int        // column's position by lower-case name
	inRow    []bool                // columns that the writer's schema has
	defaults map[int]columnDefault // by position
}

type fieldPlan struct {
	column string // path, as in "rec.leaf"
	slot   int    // position among the columns
	kind   protoreflect.Kind
	wire   protowire.Type
	plain  bool // nothing to check about its values
	num    protowire.Number
	list   bool
	absent int                         // index in plan.absent, or -1
	enum   protoreflect.EnumDescriptor // numbers that it lacks are unknown fields, as in proto2
	sub    *plan                       // of a message: of a record, or only to check the wire form of another one
	record bool
	conversion
}

// absence is what a missing field means: a proto2 default, or a problem unless the column has a value to be filled in.
type absence struct {
	slot    int
	value   *Value
	problem string
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
	p.defaults = map[int]columnDefault{}
	for i, c := range schema.GetFields() {
		d, err := parseDefault(c)
		if err != nil {
			return nil, unsupported(stream, err.Error())
		}
		if d.now != nil || d.value.Kind != NullValue {
			p.defaults[i] = d
		}
	}
	if len(m.extra) > 0 {
		return nil, extraFields(stream, m.extra)
	}
	return p, nil
}

func (m *matcher) message(md protoreflect.MessageDescriptor, columns []*storagepb.TableFieldSchema, prefix string) (*plan, *apiError) {
	p := &plan{fields: map[protowire.Number]*fieldPlan{}, blank: make([]Value, len(columns))}
	slots := make(map[string]int, len(columns))
	p.slots, p.inRow = slots, make([]bool, len(columns))
	for i, c := range columns {
		slots[strings.ToLower(c.GetName())] = i
		if c.GetMode() == storagepb.TableFieldSchema_REPEATED {
			p.blank[i].Kind = ListValue
		}
	}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		name := columnName(fd)
		if pseudo := strings.ToUpper(name); prefix == "" && (pseudo == "_CHANGE_TYPE" || pseudo == "_CHANGE_SEQUENCE_NUMBER") {
			return nil, unsupported(m.stream, "change data capture (the column "+name+")")
		}
		slot, known := slots[strings.ToLower(name)]
		if !known {
			m.extra = append(m.extra, prefix+name)
			continue
		}
		if p.inRow[slot] { // two names that differ in case; the service's text is not known
			return nil, errorf(codes.InvalidArgument, m.stream, "Two fields of the input schema are for the column %s.", prefix+name)
		}
		p.inRow[slot] = true
		f, err := m.field(fd, columns[slot], prefix)
		if err != nil {
			return nil, err
		}
		f.slot = slot
		p.fields[fd.Number()] = f
		p.whenAbsent(f, fd, columns[slot])
	}
	for i, c := range columns {
		if c.GetMode() == storagepb.TableFieldSchema_REQUIRED && c.GetDefaultValueExpression() == "" && !p.inRow[i] {
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
	if !accepts(column, fd) {
		return nil, errorf(codes.InvalidArgument, m.stream,
			"The proto field mismatched with BigQuery field at %s, the proto field type %s, BigQuery field type %s",
			where, fd.Kind(), typeName(column.GetType()))
	}
	f := &fieldPlan{
		column: prefix + column.GetName(), kind: fd.Kind(), wire: wireType(fd.Kind()), num: fd.Number(), list: fd.IsList(),
		absent: -1, enum: fd.Enum(),
	}
	if column.GetType() == storagepb.TableFieldSchema_STRUCT {
		var err *apiError
		f.record = true
		f.sub, err = m.message(fd.Message(), column.GetFields(), f.column+".")
		return f, err
	}
	f.conversion = conversionOf(column, f.column, fd)
	if fd.Message() != nil {
		f.sub = structural(fd.Message(), 2)
	}
	f.plain = f.sub == nil && f.check == nil && f.enum == nil
	return f, nil
}

// whenAbsent notes what it means when a row lacks the field: its proto2 default (case 48), or for a REQUIRED column an
// error (case 41).
func (p *plan) whenAbsent(f *fieldPlan, fd protoreflect.FieldDescriptor, column *storagepb.TableFieldSchema) {
	a := absence{slot: f.slot}
	switch {
	case fd.HasDefault():
		v, problem := f.value(defaultScalar(fd))
		a.value, a.problem = &v, f.on(problem)
	case column.GetMode() == storagepb.TableFieldSchema_REQUIRED:
		a.problem = "Field value of " + f.column + " cannot be empty."
	default:
		return
	}
	f.absent = len(p.absent)
	p.absent = append(p.absent, a)
}

// defaultScalar is a field's default_value as if it stood on the wire.
func defaultScalar(fd protoreflect.FieldDescriptor) scalar {
	s, v := scalar{kind: fd.Kind()}, fd.Default()
	switch fd.Kind() {
	case protoreflect.BoolKind:
		if v.Bool() {
			s.num = 1
		}
	case protoreflect.EnumKind:
		s.num = uint64(v.Enum())
	case protoreflect.StringKind:
		s.text = []byte(v.String())
	case protoreflect.BytesKind:
		s.text = v.Bytes()
	case protoreflect.FloatKind:
		s.num = uint64(math.Float32bits(float32(v.Float())))
	case protoreflect.DoubleKind:
		s.num = math.Float64bits(v.Float())
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		s.num = protowire.EncodeZigZag(v.Int())
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		s.num = v.Uint()
	default:
		s.num = uint64(v.Int())
	}
	return s
}

// structural is the plan of a message that isn't a record of the table, such as a timestamp: only the wire counts. The
// messages accepted for scalars are no deeper than a range of timestamps.
func structural(md protoreflect.MessageDescriptor, depth int) *plan {
	p := &plan{fields: map[protowire.Number]*fieldPlan{}}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := &fieldPlan{column: string(fd.Name()), kind: fd.Kind(), wire: wireType(fd.Kind()), num: fd.Number(), list: fd.IsList(), absent: -1}
		if fd.Message() != nil {
			if depth == 1 {
				continue
			}
			f.sub = structural(fd.Message(), depth-1)
		}
		f.plain = f.sub == nil
		p.fields[fd.Number()] = f
	}
	return p
}
