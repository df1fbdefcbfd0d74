package ingest

import (
	"testing"

	"github.com/eowriter/eowriter/chaos/emulator"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

type (
	descriptor = descriptorpb.DescriptorProto
	field      = descriptorpb.FieldDescriptorProto
)

func newField(number int32, name string, kind descriptorpb.FieldDescriptorProto_Type) *field {
	return &field{Name: &name, Number: &number, Type: &kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
}

// rowType is a producer's own message for the test's table, with other numbers than ours and without a column.
func rowType() *descriptor {
	return &descriptor{Name: proto.String("Row"), Field: []*field{
		newField(7, "N", descriptorpb.FieldDescriptorProto_TYPE_INT32), newField(9, "p", descriptorpb.FieldDescriptorProto_TYPE_STRING),
	}}
}

func rowMessage(n uint64, p string) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 7, protowire.VarintType), n)
	return protowire.AppendString(protowire.AppendTag(b, 9, protowire.BytesType), p)
}

// If it fails, a producer's own messages land wrong, or a wrong message type stops the partition for everybody.
func TestMessages(t *testing.T) {
	g := newRig(t, testOptions(), emulator.Options{})
	g.append(span("a", 0, 1))
	a := span("a", 1, 3)
	a.Descriptor, a.Rows = rowType(), [][]byte{rowMessage(1, "a"), rowMessage(2, "a")}
	g.append(a)
	require.True(t, g.append(a).Duplicate)
	g.append(span("a", 3, 4))
	require.Equal(t, upTo(4), g.table("a"))

	next := span("a", 4, 6)
	next.Descriptor, next.Rows = rowType(), [][]byte{rowMessage(4, "a"), {7<<3 | 2, 200}}
	bad := g.refused(next, eowriterv1.Reason_REASON_BAD_ROWS)
	require.EqualValues(t, 1, bad.Rows[0].Row)
	next.DeadLetters = true
	require.EqualValues(t, 1, g.append(next).DeadRows)
	part, _, err := g.led.Partition(testKey("a"))
	require.NoError(t, err)
	letters, err := g.led.Letters(part.ID, 0, 1<<20)
	require.NoError(t, err)
	require.NotZero(t, letters[0].Schema, "its content is no JSON")

	last := span("a", 6, 7)
	last.Descriptor = rowType()
	last.Descriptor.Field[0].Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	require.Contains(t, g.refused(last, eowriterv1.Reason_REASON_INVALID).Message, "field N of type string is none for a column of type INT64")
	require.Equal(t, upTo(5), g.table("a"))
}

// If it fails, the service is the first to see that a message type is none for the table.
func TestFits(t *testing.T) {
	columns := parse(t, `[{"name": "n", "type": "INTEGER", "mode": "REQUIRED"}, {"name": "tags", "type": "STRING", "mode": "REPEATED"},
		{"name": "r", "type": "RECORD", "fields": [{"name": "x", "type": "DATE"}]}, {"name": "span", "type": "RANGE", "rangeElementType": {"type": "DATE"}},
		{"name": "d", "type": "INTEGER", "mode": "REQUIRED", "defaultValueExpression": "1"}]`)
	own, err := rows.Descriptor(columns)
	require.NoError(t, err)
	check := func(d *descriptor, defaults bool) error {
		typ, err := resolve(d)
		if err != nil {
			return err
		}
		return fits(typ, columns.GetFields(), "", defaults)
	}
	require.NoError(t, check(own, false), "what we derive fits")
	for want, change := range map[string]func(d *descriptor){
		"no column other":       func(d *descriptor) { d.Field[0].Name = proto.String("other") },
		"no field for column n": func(d *descriptor) { d.Field = d.Field[1:] },
		"two fields for column N": func(d *descriptor) {
			d.Field = append(d.Field, newField(99, "N", descriptorpb.FieldDescriptorProto_TYPE_INT64))
		},
		"tags are not both repeated": func(d *descriptor) { d.Field[1].Label = descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum() },
		"n of type uint64 is none":   func(d *descriptor) { d.Field[0].Type = descriptorpb.FieldDescriptorProto_TYPE_UINT64.Enum() },
		"r of type bytes is none": func(d *descriptor) {
			d.Field[2].Type, d.Field[2].TypeName = descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum(), nil
		},
		"no column r.n": func(d *descriptor) {
			d.Field[2].TypeName = proto.String(".root")
			d.Field = []*field{d.Field[0], d.Field[2], d.Field[4]}
		},
		"is in a oneof": func(d *descriptor) {
			d.OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: proto.String("o")}}
			d.Field[2].OneofIndex = proto.Int32(0)
		},
		"no field for column d": func(d *descriptor) { d.Field = d.Field[:4] },
		"descriptor":            func(d *descriptor) { d.Field[2].TypeName = proto.String(".nowhere") },
	} {
		d := proto.CloneOf(own)
		change(d)
		require.ErrorContains(t, check(d, false), want)
	}
	d := proto.CloneOf(own)
	d.Field = d.Field[:4]
	require.NoError(t, check(d, true), "its default value is there")
}
