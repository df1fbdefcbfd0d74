package rows

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/descriptorpb"
)

// kind is how a column's JSON is read and written.
type kind uint8

const (
	kindString kind = iota
	kindInteger
	kindFloat
	kindBool
	kindTimestamp
	kindDate
	kindRecord
)

// column says what a BigQuery type is here: its kind, its name in messages, and the wire form that
// Append writes. Compile compares the form with the descriptor that is sent to the service.
type column struct {
	kind kind
	name string
	form descriptorpb.FieldDescriptorProto_Type
	wire protowire.Type
}

var columns = map[storagepb.TableFieldSchema_Type]column{
	storagepb.TableFieldSchema_STRING:    {kindString, "STRING", descriptorpb.FieldDescriptorProto_TYPE_STRING, protowire.BytesType},
	storagepb.TableFieldSchema_INT64:     {kindInteger, "INTEGER", descriptorpb.FieldDescriptorProto_TYPE_INT64, protowire.VarintType},
	storagepb.TableFieldSchema_DOUBLE:    {kindFloat, "FLOAT", descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, protowire.Fixed64Type},
	storagepb.TableFieldSchema_BOOL:      {kindBool, "BOOL", descriptorpb.FieldDescriptorProto_TYPE_BOOL, protowire.VarintType},
	storagepb.TableFieldSchema_TIMESTAMP: {kindTimestamp, "TIMESTAMP", descriptorpb.FieldDescriptorProto_TYPE_INT64, protowire.VarintType},
	storagepb.TableFieldSchema_DATE:      {kindDate, "DATE", descriptorpb.FieldDescriptorProto_TYPE_INT32, protowire.VarintType},
	storagepb.TableFieldSchema_STRUCT:    {kindRecord, "RECORD", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, protowire.BytesType},
}

// record is the plan for one message: the table's row or a RECORD. It never changes once built.
type record struct {
	fields   []field
	exact    map[string]int // by the schema's spelling
	folded   map[string]int // by the name in lower case
	required bitset
}

// field is the plan for one column.
type field struct {
	name      string
	quoted    string // the name as compact JSON spells it
	column    column
	tag       uint64 // number and wire type, as protowire encodes them
	repeated  bool
	packed    bool
	required  bool
	maxLength int // characters of a STRING, 0: no limit
	record    *record
}

// plan builds the record for fields, all of supported types, which msg describes on the wire. root
// holds the nested messages by name.
func plan(fields []*storagepb.TableFieldSchema, msg *descriptorpb.DescriptorProto, root map[string]*descriptorpb.DescriptorProto, under string) (*record, error) {
	r := &record{
		fields:   make([]field, len(fields)),
		exact:    make(map[string]int, len(fields)),
		folded:   make(map[string]int, len(fields)),
		required: make(bitset, bitsetWords(len(fields))),
	}
	if len(msg.GetField()) != len(fields) {
		return nil, fmt.Errorf("the descriptor has %d fields, the schema %d", len(msg.GetField()), len(fields))
	}
	for i, s := range fields {
		path := under + s.GetName()
		col := columns[s.GetType()]
		d := msg.GetField()[i]
		if d.GetType() != col.form {
			return nil, fmt.Errorf("column %q: the descriptor has %s for %s, rows are encoded as %s", path, d.GetType(), col.name, col.form)
		}
		f := field{
			name:      s.GetName(),
			quoted:    `"` + s.GetName() + `"`,
			column:    col,
			repeated:  s.GetMode() == storagepb.TableFieldSchema_REPEATED,
			packed:    d.GetOptions().GetPacked(),
			required:  s.GetMode() == storagepb.TableFieldSchema_REQUIRED,
			maxLength: int(s.GetMaxLength()),
		}
		wire := col.wire
		if f.packed {
			wire = protowire.BytesType
		}
		f.tag = protowire.EncodeTag(protowire.Number(d.GetNumber()), wire)
		if col.kind == kindRecord {
			nested, ok := root[strings.TrimPrefix(d.GetTypeName(), ".")]
			if !ok {
				return nil, fmt.Errorf("column %q: the descriptor lacks message %q", path, d.GetTypeName())
			}
			sub, err := plan(s.GetFields(), nested, root, path+".")
			if err != nil {
				return nil, err
			}
			f.record = sub
		}
		if f.required {
			r.required.set(i)
		}
		r.fields[i] = f
		r.exact[f.name] = i
		r.folded[strings.ToLower(f.name)] = i
	}
	return r, nil
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
