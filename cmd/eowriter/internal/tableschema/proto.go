package tableschema

import (
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Proto returns a writer schema in the syntax of .proto files: what the service reads the rows by. A field whose
// column has another name says so in a comment.
func Proto(d *descriptorpb.DescriptorProto) string {
	var p printer
	p.line(`syntax = "proto2";`)
	p.line("")
	p.message(d)
	return p.b.String()
}

type printer struct {
	b     strings.Builder
	depth int
}

func (p *printer) line(format string, args ...any) {
	if format != "" {
		p.b.WriteString(strings.Repeat("  ", p.depth))
		fmt.Fprintf(&p.b, format, args...)
	}
	p.b.WriteByte('\n')
}

func (p *printer) message(d *descriptorpb.DescriptorProto) {
	p.line("message %s {", d.GetName())
	p.depth++
	for _, f := range d.GetField() {
		p.field(f)
	}
	for _, e := range d.GetEnumType() {
		p.line("")
		p.enum(e)
	}
	for _, n := range d.GetNestedType() {
		p.line("")
		p.message(n)
	}
	p.depth--
	p.line("}")
}

func (p *printer) field(f *descriptorpb.FieldDescriptorProto) {
	typ := strings.TrimPrefix(f.GetTypeName(), ".")
	if typ == "" {
		typ = strings.ToLower(strings.TrimPrefix(f.GetType().String(), "TYPE_"))
	}
	text := fmt.Sprintf("%s %s %s = %d", strings.ToLower(strings.TrimPrefix(f.GetLabel().String(), "LABEL_")), typ, f.GetName(), f.GetNumber())
	var options []string
	if f.DefaultValue != nil {
		options = append(options, "default = "+defaultText(f))
	}
	if f.GetOptions().GetPacked() {
		options = append(options, "packed = true")
	}
	if len(options) > 0 {
		text += " [" + strings.Join(options, ", ") + "]"
	}
	text += ";"
	if column, ok := proto.GetExtension(f.GetOptions(), storagepb.E_ColumnName).(string); ok && column != "" {
		text += fmt.Sprintf(" // column %q", column)
	}
	p.line("%s", text)
}

func defaultText(f *descriptorpb.FieldDescriptorProto) string {
	if f.GetType() == descriptorpb.FieldDescriptorProto_TYPE_STRING {
		return fmt.Sprintf("%q", f.GetDefaultValue())
	}
	return f.GetDefaultValue()
}

func (p *printer) enum(e *descriptorpb.EnumDescriptorProto) {
	p.line("enum %s {", e.GetName())
	p.depth++
	for _, v := range e.GetValue() {
		p.line("%s = %d;", v.GetName(), v.GetNumber())
	}
	p.depth--
	p.line("}")
}
