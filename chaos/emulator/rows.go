package emulator

import (
	"slices"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxRowErrors bounds the list of row errors in one answer: "the list may not be complete".
const maxRowErrors = 1000

// malformedRow is what a row error says of bytes that are no message. The service's own text is not known (case 44).
const malformedRow = "The serialized row is not a valid protocol buffer message."

// checkRows returns an error for each bad row, nil when all are good. filled is a row of what is filled in for missing
// columns, nil if nothing is.
func (p *plan) checkRows(rows [][]byte, filled []Value) (bad []*storagepb.RowError) {
	for i, row := range rows {
		if problem := p.read(row, filled, nil); problem != "" {
			bad = append(bad, &storagepb.RowError{Index: int64(i), Code: storagepb.RowError_FIELDS_ERROR, Message: problem})
			if len(bad) == maxRowErrors {
				return bad
			}
		}
	}
	return bad
}

// values decodes a row that checkRows found good.
func (p *plan) values(row []byte, filled []Value) (values []Value, problem string) {
	start := p.blank
	if filled != nil {
		start = filled
	}
	values = slices.Clone(start)
	return values, p.read(row, filled, values)
}

// read is the one decoder: it says what is wrong with a serialized message, "" if nothing is, and unless out is nil
// puts its values there. Values are decoded for a check only where their type needs one. Unknown tags are ignored (case
// 43), and so are fields of another wire type than the schema's, as protocol-buffer parsers do. Of a field that occurs
// several times the last counts.
func (p *plan) read(b []byte, filled, out []Value) (problem string) {
	var few [1]uint64
	seen := few[:]
	if len(p.absent) > 64 {
		seen = make([]uint64, (len(p.absent)+63)/64)
	}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return malformedRow
		}
		size := protowire.ConsumeFieldValue(num, typ, b[n:])
		if size < 0 {
			return malformedRow
		}
		field := b[n : n+size]
		b = b[n+size:]
		f := p.fields[num]
		if f == nil {
			continue
		}
		known := typ == f.wire
		if out != nil || !known || !f.plain {
			if known, problem = f.readField(typ, field, out); problem != "" {
				return problem
			}
		}
		if known && f.absent >= 0 {
			seen[f.absent/64] |= 1 << (f.absent % 64)
		}
	}
	for i := range p.absent {
		if seen[i/64]&(1<<(i%64)) != 0 {
			continue
		}
		switch a := &p.absent[i]; {
		case a.problem == "":
			if out != nil {
				out[a.slot] = *a.value
			}
		case a.value != nil || filled == nil || filled[a.slot].Kind == NullValue:
			return a.problem
		}
	}
	return ""
}

// readField reads one field as it stands on the wire, which protowire found to be whole. known: the schema's field,
// and not an unknown one that happens to have its number.
func (f *fieldPlan) readField(typ protowire.Type, b []byte, out []Value) (known bool, problem string) {
	switch {
	case typ == f.wire:
		return f.readValue(b, out)
	case f.list && typ == protowire.BytesType: // packed (case 47)
		packed, _ := protowire.ConsumeBytes(b)
		for len(packed) > 0 {
			n := protowire.ConsumeFieldValue(f.num, f.wire, packed)
			if n < 0 {
				return true, malformedRow
			}
			if _, problem := f.readValue(packed[:n], out); problem != "" {
				return true, problem
			}
			packed = packed[n:]
		}
		return true, ""
	}
	return false, ""
}

// readValue reads one value of the field's own wire type.
func (f *fieldPlan) readValue(b []byte, out []Value) (known bool, problem string) {
	if f.plain && out == nil {
		return true, ""
	}
	s := consumeScalar(f.kind, f.wire, f.num, b)
	switch {
	case f.enum != nil && f.enum.Values().ByNumber(protoreflect.EnumNumber(s.int())) == nil:
		return false, ""
	case f.sub != nil && (out == nil || !f.record):
		if problem = f.sub.read(s.text, nil, nil); problem != "" {
			return true, problem
		}
	}
	if out == nil {
		if f.check != nil {
			problem = f.check(s)
		}
		return true, f.on(problem)
	}
	return true, f.decode(s, &out[f.slot])
}

// decode puts a value into its column.
func (f *fieldPlan) decode(s scalar, column *Value) (problem string) {
	v := Value{Kind: RecordValue}
	if f.record {
		v.Items, problem = f.sub.values(s.text, nil)
	} else {
		v, problem = f.value(s)
		problem = f.on(problem)
	}
	if f.list {
		column.Items = append(column.Items, v)
	} else {
		*column = v
	}
	return problem
}

// on adds the column to a problem, as the service's messages do.
func (f *fieldPlan) on(problem string) string {
	if problem == "" {
		return ""
	}
	return problem + " on field " + f.column + "."
}

func wireType(kind protoreflect.Kind) protowire.Type {
	switch kind {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.MessageKind:
		return protowire.BytesType
	case protoreflect.GroupKind:
		return protowire.StartGroupType
	case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
		return protowire.Fixed32Type
	case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
		return protowire.Fixed64Type
	}
	return protowire.VarintType
}
