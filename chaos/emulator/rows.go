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
		known, problem := f.readField(typ, field, out)
		if problem != "" {
			return problem
		}
		if known && f.absent >= 0 {
			seen[f.absent/64] |= 1 << (f.absent % 64)
		}
	}
	for i, a := range p.absent {
		switch {
		case seen[i/64]&(1<<(i%64)) != 0:
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
	want := wireType(f.kind)
	switch {
	case typ == want:
		return f.readValue(b, out)
	case f.list && typ == protowire.BytesType: // packed (case 47)
		packed, _ := protowire.ConsumeBytes(b)
		for len(packed) > 0 {
			n := protowire.ConsumeFieldValue(f.num, want, packed)
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
	if out == nil && f.sub == nil && f.check == nil && f.enum == nil {
		return true, ""
	}
	s := consumeScalar(f.kind, f.num, b)
	if f.enum != nil && f.enum.Values().ByNumber(protoreflect.EnumNumber(s.int())) == nil {
		return false, ""
	}
	var v Value
	switch {
	case f.record && out != nil:
		v.Kind = RecordValue
		v.Items, problem = f.sub.values(s.text, nil)
		if problem != "" {
			return true, problem
		}
	case f.sub != nil:
		if problem := f.sub.read(s.text, nil, nil); problem != "" {
			return true, problem
		}
	}
	if !f.record {
		if v, problem = f.convert(s, out != nil); problem != "" {
			return true, f.on(problem)
		}
	}
	switch {
	case out == nil:
	case f.list:
		out[f.slot].Items = append(out[f.slot].Items, v)
	default:
		out[f.slot] = v
	}
	return true, ""
}

// convert checks a value, and decodes it if it is wanted.
func (f *fieldPlan) convert(s scalar, wanted bool) (v Value, problem string) {
	switch {
	case wanted:
		return f.value(s)
	case f.check != nil:
		return v, f.check(s)
	}
	return v, ""
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
