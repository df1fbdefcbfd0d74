package rows

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/descriptorpb"
)

// record is the plan for one message: the table's row, a RECORD or a RANGE. It never changes once
// built.
type record struct {
	path     string // of its columns: empty or with a dot at the end
	fields   []field
	exact    map[string]int // by the schema's spelling
	folded   map[string]int // by the name in lower case
	required bitset
}

// field is the plan for one column.
type field struct {
	name      string
	quoted    string // the name and the colon, as compact JSON spells them
	column    column
	tag       uint64 // number and wire type, as protowire encodes them
	repeated  bool
	packed    bool
	required  bool
	maxLength int          // characters of a STRING, bytes of BYTES, 0: no limit
	numeric   *numericType // of NUMERIC and BIGNUMERIC
	record    *record      // of RECORD and RANGE
}

// plan builds the record for columns that checkCompilable has seen, which msg describes on the wire.
// nested holds the other messages by name.
func plan(fields []*storagepb.TableFieldSchema, msg *descriptorpb.DescriptorProto, nested map[string]*descriptorpb.DescriptorProto, path string) *record {
	r := &record{
		path:     path,
		fields:   make([]field, len(fields)),
		exact:    make(map[string]int, len(fields)),
		folded:   make(map[string]int, len(fields)),
		required: make(bitset, bitsetWords(len(fields))),
	}
	for i, s := range fields {
		d := msg.GetField()[i]
		f := field{
			name:      s.GetName(),
			quoted:    `"` + s.GetName() + `":`,
			column:    columnOf(s),
			repeated:  s.GetMode() == storagepb.TableFieldSchema_REPEATED,
			packed:    d.GetOptions().GetPacked(),
			required:  s.GetMode() == storagepb.TableFieldSchema_REQUIRED,
			maxLength: int(s.GetMaxLength()),
		}
		wire := f.column.wire
		if f.packed {
			wire = protowire.BytesType
		}
		f.tag = protowire.EncodeTag(protowire.Number(d.GetNumber()), wire)
		switch f.column.kind {
		case kindNumeric:
			f.numeric, _ = numericOf(s) // checkCompilable has seen the error
		case kindRecord:
			f.record = plan(s.GetFields(), nested[d.GetTypeName()], nested, path+f.name+".")
		case kindRange:
			f.record = plan(rangeFields(s.GetRangeElementType().GetType()), nested[d.GetTypeName()], nested, path+f.name+".")
		}
		if f.required {
			r.required.set(i)
		}
		r.fields[i] = f
		r.exact[f.name] = i
		r.folded[strings.ToLower(f.name)] = i
	}
	return r
}

// lookup finds a column by name. It allocates only for a name that is longer than 64 bytes or not
// ASCII and that isn't spelt as the schema spells it.
func (r *record) lookup(name []byte) (int, bool) {
	if i, ok := r.exact[string(name)]; ok {
		return i, true
	}
	var buf [64]byte
	if len(name) > len(buf) {
		i, ok := r.folded[string(bytes.ToLower(name))]
		return i, ok
	}
	for i, c := range name {
		if c >= utf8.RuneSelf {
			i, ok := r.folded[string(bytes.ToLower(name))]
			return i, ok
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	i, ok := r.folded[string(buf[:len(name)])]
	return i, ok
}

// bitset has one bit per field of a record.
type bitset []uint64

func bitsetWords(n int) int { return (n + 63) / 64 }

func (b bitset) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b bitset) set(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) clear(i int)    { b[i/64] &^= 1 << (i % 64) }
