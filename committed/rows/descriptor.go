package rows

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Descriptor derives the writer schema that an Encoder's rows have: a self-contained proto2 message
// named root (docs/service-facts.md, section 7), with a field for each column in the table's order. A column
// whose name is no protocol-buffer name gets another one and the column_name annotation (case 61).
//
// It is what managedwriter/adapt derives and normalizes, byte for byte, wherever adapt can: a ledger's
// fingerprints stay the same. adapt can't describe an INTERVAL, a RECORD with such a name, or some
// such names at all, and knows nothing of TIMESTAMP(12); here an INTERVAL and a TIMESTAMP(12) are
// strings. The error names the column and is Compile's.
func Descriptor(schema *storagepb.TableSchema) (*descriptorpb.DescriptorProto, error) {
	if err := checkCompilable(schema); err != nil {
		return nil, fmt.Errorf("describe table schema: %w", err)
	}
	return describe(schema)
}

const rangeMessage = "rangemessage_range_"

// describer makes the messages of one schema.
type describer struct {
	nested   []*descriptorpb.DescriptorProto
	byFields map[string]string // the message's name by its columns, serialized
	taken    map[string]bool   // the names of messages
}

func describe(schema *storagepb.TableSchema) (*descriptorpb.DescriptorProto, error) {
	d := describer{byFields: map[string]string{}, taken: map[string]bool{"root": true}}
	root, err := d.message("root", schema.GetFields())
	if err != nil {
		return nil, err
	}
	slices.SortFunc(d.nested, func(a, b *descriptorpb.DescriptorProto) int { return strings.Compare(a.GetName(), b.GetName()) })
	root.NestedType = d.nested
	return root, nil
}

func (d *describer) message(name string, fields []*storagepb.TableFieldSchema) (*descriptorpb.DescriptorProto, error) {
	msg := &descriptorpb.DescriptorProto{Name: &name}
	names := fieldNames(fields)
	for i, f := range fields {
		field := &descriptorpb.FieldDescriptorProto{
			Name:   &names[i],
			Number: proto.Int32(int32(i + 1)),
			Label:  labels[f.GetMode()].Enum(),
			Type:   columnOf(f).form.Enum(),
		}
		switch f.GetType() {
		case storagepb.TableFieldSchema_STRUCT:
			nested, err := d.record(name+"__"+names[i], f.GetFields())
			if err != nil {
				return nil, err
			}
			field.TypeName = &nested
		case storagepb.TableFieldSchema_RANGE:
			nested := d.rangeOf(f.GetRangeElementType().GetType())
			field.TypeName = &nested
		}
		if f.GetMode() == storagepb.TableFieldSchema_REPEATED && canPack(field.GetType()) {
			field.Options = &descriptorpb.FieldOptions{Packed: proto.Bool(true)}
		}
		if names[i] != f.GetName() {
			if field.Options == nil {
				field.Options = &descriptorpb.FieldOptions{}
			}
			proto.SetExtension(field.Options, storagepb.E_ColumnName, f.GetName())
		}
		msg.Field = append(msg.Field, field)
	}
	return msg, nil
}

// record returns the name of the message for a RECORD's columns; RECORDs with equal columns share one.
func (d *describer) record(name string, fields []*storagepb.TableFieldSchema) (string, error) {
	key, err := proto.MarshalOptions{Deterministic: true}.Marshal(&storagepb.TableSchema{Fields: fields})
	if err != nil {
		return "", fmt.Errorf("serialize the columns of %s: %w", name, err)
	}
	if known, ok := d.byFields[string(key)]; ok {
		return known, nil
	}
	for d.taken[name] { // a RECORD a__b beside a RECORD b in a RECORD a
		name += "_"
	}
	d.taken[name] = true
	msg, err := d.message(name, fields)
	if err != nil {
		return "", err
	}
	d.nested = append(d.nested, msg)
	d.byFields[string(key)] = name
	return name, nil
}

// rangeOf returns the name of the message for a RANGE of element.
func (d *describer) rangeOf(element storagepb.TableFieldSchema_Type) string {
	name := rangeMessage + strings.ToLower(element.String())
	if !d.taken[name] {
		d.taken[name] = true
		msg, _ := d.message(name, rangeFields(element)) // no RECORD in it, so no error
		d.nested = append(d.nested, msg)
	}
	return name
}

func rangeFields(element storagepb.TableFieldSchema_Type) []*storagepb.TableFieldSchema {
	return []*storagepb.TableFieldSchema{
		{Name: "start", Type: element, Mode: storagepb.TableFieldSchema_NULLABLE},
		{Name: "end", Type: element, Mode: storagepb.TableFieldSchema_NULLABLE},
	}
}

var labels = map[storagepb.TableFieldSchema_Mode]descriptorpb.FieldDescriptorProto_Label{
	storagepb.TableFieldSchema_NULLABLE: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL,
	storagepb.TableFieldSchema_REQUIRED: descriptorpb.FieldDescriptorProto_LABEL_REQUIRED,
	storagepb.TableFieldSchema_REPEATED: descriptorpb.FieldDescriptorProto_LABEL_REPEATED,
}

func canPack(t descriptorpb.FieldDescriptorProto_Type) bool {
	switch t {
	case descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_BYTES, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE:
		return false
	}
	return true
}

// fieldNames gives each column's field in its message a name: the column's own if it can be one, else
// col_ and base64 of it, without what isn't allowed at the ends, or, if that is no name either,
// hexadecimal digits of it; underscores behind it set it apart.
func fieldNames(fields []*storagepb.TableFieldSchema) []string {
	names := make([]string, len(fields))
	taken := make(map[string]bool, len(fields))
	for i, f := range fields {
		if protoreflect.Name(f.GetName()).IsValid() {
			names[i] = f.GetName()
			taken[names[i]] = true
		}
	}
	for i, f := range fields {
		if names[i] != "" {
			continue
		}
		name := "col_" + strings.Trim(base64.StdEncoding.EncodeToString([]byte(f.GetName())), "+/=")
		if !protoreflect.Name(name).IsValid() {
			name = "col_" + hex.EncodeToString([]byte(f.GetName()))
		}
		for taken[name] {
			name += "_"
		}
		names[i] = name
		taken[name] = true
	}
	return names
}
