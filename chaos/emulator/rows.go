package emulator

import (
	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxRowErrors bounds the list of row errors in one answer: "the list may not be complete".
const maxRowErrors = 1000

// malformedRow is what a row error says of bytes that are no message. The service's own text is not known (case 44).
const malformedRow = "The serialized row is not a valid protocol buffer message."

// checkRows returns an error for each bad row, nil when all are good.
func (p *plan) checkRows(rows [][]byte) (bad []*storagepb.RowError) {
	for i, row := range rows {
		if problem := p.check(row); problem != "" {
			bad = append(bad, &storagepb.RowError{Index: int64(i), Code: storagepb.RowError_FIELDS_ERROR, Message: problem})
			if len(bad) == maxRowErrors {
				return bad
			}
		}
	}
	return bad
}

// check says what is wrong with one serialized message, "" if nothing is. Unknown tags are ignored (case 43), and so
// are fields of another wire type than the schema's, as protocol-buffer parsers do.
func (p *plan) check(b []byte) string {
	var few [1]uint64
	seen := few[:]
	if len(p.required) > 64 {
		seen = make([]uint64, (len(p.required)+63)/64)
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
		known, problem := f.checkField(typ, field)
		if problem != "" {
			return problem
		}
		if known && f.required >= 0 {
			seen[f.required/64] |= 1 << (f.required % 64)
		}
	}
	for i, column := range p.required {
		if seen[i/64]&(1<<(i%64)) == 0 {
			return "Field value of " + column + " cannot be empty." // case 41
		}
	}
	return ""
}

// checkField checks one field as it stands on the wire, which protowire found to be whole. known: the schema's field,
// and not an unknown one that happens to have its number.
func (f *fieldPlan) checkField(typ protowire.Type, b []byte) (known bool, problem string) {
	want := wireType(f.kind)
	switch {
	case typ == want:
		return true, f.checkValue(b)
	case f.list && typ == protowire.BytesType: // packed (case 47)
		packed, _ := protowire.ConsumeBytes(b)
		for len(packed) > 0 {
			n := protowire.ConsumeFieldValue(1, want, packed)
			if n < 0 {
				return true, malformedRow
			}
			if problem := f.checkValue(packed[:n]); problem != "" {
				return true, problem
			}
			packed = packed[n:]
		}
		return true, ""
	}
	return false, ""
}

// checkValue checks one value of the field's own wire type.
func (f *fieldPlan) checkValue(b []byte) (problem string) {
	if f.sub == nil && f.check == nil {
		return ""
	}
	var v value
	if wireType(f.kind) == protowire.BytesType {
		v.text, _ = protowire.ConsumeBytes(b)
	} else { // checks look at no other kinds than varints
		num, _ := protowire.ConsumeVarint(b)
		v.num = int64(num)
	}
	if f.sub != nil {
		return f.sub.check(v.text)
	}
	return f.check(f.column, v)
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
