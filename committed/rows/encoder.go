package rows

import (
	"fmt"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Encoder encodes the rows of one table schema. What it makes of a row never changes after Compile;
// it only counts what it leaves out. Safe for concurrent use.
type Encoder struct {
	root       *record
	descriptor *descriptorpb.DescriptorProto
	options    options
	ignored    ignored
	zones      zones
}

// Compile plans the encoding of rows for schema, which it doesn't keep. The error names the column
// if its type, mode or parameters are none that BigQuery has, or if names, depth or number of columns
// are not as BigQuery allows.
func Compile(schema *storagepb.TableSchema, opts ...Option) (*Encoder, error) {
	if err := checkCompilable(schema); err != nil {
		return nil, fmt.Errorf("compile table schema: %w", err)
	}
	d, err := describe(schema)
	if err != nil {
		return nil, fmt.Errorf("compile table schema: %w", err)
	}
	nested := make(map[string]*descriptorpb.DescriptorProto, len(d.GetNestedType()))
	for _, n := range d.GetNestedType() {
		nested[n.GetName()] = n
	}
	e := &Encoder{root: plan(schema.GetFields(), d, nested, ""), descriptor: d}
	for _, set := range opts {
		set(&e.options)
	}
	if e.options.defaults {
		for i, column := range schema.GetFields() { // only top-level columns have default values
			if column.GetDefaultValueExpression() != "" {
				e.root.required.clear(i)
			}
		}
	}
	return e, nil
}

// Descriptor returns the descriptor of the rows, to be sent as the writer schema: what the function
// of this name derives. The caller must not change it.
func (e *Encoder) Descriptor() *descriptorpb.DescriptorProto { return e.descriptor }

// Append appends to dst the row that object, one JSON object with optional white space around it,
// stands for, and returns the extended slice. The row is a message without any framing; fields
// come in the order of the JSON. dst and object must not overlap, and neither is kept.
//
// If object is no row of the table, dst comes back with its old length and the error is an *Error
// without a line. Append allocates nothing but what dst needs to grow, except for errors, for names
// that lookup has to fold beyond ASCII, and for time zones and ignored fields seen the first time.
func (e *Encoder) Append(dst, object []byte) ([]byte, error) {
	p := parser{in: object, enc: e, weight: 1}
	out, err := p.row(dst, e.root)
	if err == nil {
		return out, nil
	}
	if p.ignored { // the row is refused, fields and all: the same walk takes back what it counted
		again := parser{in: object, enc: e, weight: -1}
		_, _ = again.row(out[:len(dst)], e.root)
	}
	return out[:len(dst)], err
}

// appendVarint is protowire's, with the case of one byte inlined: most tags and lengths have one.
func appendVarint(dst []byte, v uint64) []byte {
	if v < 1<<7 {
		return append(dst, byte(v))
	}
	return protowire.AppendVarint(dst, v)
}

// closeLength makes what follows dst[start], a byte kept free, a length-delimited value: it puts the
// length there and moves the value if the length takes more than that byte.
func closeLength(dst []byte, start int) []byte {
	n := len(dst) - start - 1
	if n < 1<<7 {
		dst[start] = byte(n)
		return dst
	}
	size := protowire.SizeVarint(uint64(n))
	for range size - 1 {
		dst = append(dst, 0)
	}
	copy(dst[start+size:], dst[start+1:start+1+n])
	protowire.AppendVarint(dst[:start], uint64(n))
	return dst
}
