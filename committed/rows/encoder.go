package rows

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter/adapt"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Encoder encodes the rows of one table schema. It never changes after Compile: safe for
// concurrent use.
type Encoder struct {
	root       *record
	descriptor *descriptorpb.DescriptorProto
}

// Compile plans the encoding of rows for schema, which it doesn't keep. The error names the column
// if its type isn't supported yet (everything but STRING, INTEGER, FLOAT, BOOL, TIMESTAMP, DATE and
// RECORD), if its name isn't (a RECORD's must be letters, digits and underscores), or if names, depth
// or number of columns are not as BigQuery allows.
func Compile(schema *storagepb.TableSchema) (*Encoder, error) {
	if len(schema.GetFields()) == 0 {
		return nil, errors.New("compile table schema: it has no columns")
	}
	if err := checkSchema(schema); err != nil {
		return nil, fmt.Errorf("compile table schema: %w", err)
	}
	if err := checkSupported(schema.GetFields(), ""); err != nil {
		return nil, fmt.Errorf("compile table schema: %w", err)
	}
	d, err := describe(schema)
	if err != nil {
		return nil, fmt.Errorf("compile table schema: describe the row message: %w", err)
	}
	nested := make(map[string]*descriptorpb.DescriptorProto, len(d.GetNestedType()))
	for _, n := range d.GetNestedType() {
		nested[n.GetName()] = n
	}
	root, err := plan(schema.GetFields(), d, nested, "")
	if err != nil {
		return nil, fmt.Errorf("compile table schema: %w", err)
	}
	return &Encoder{root: root, descriptor: d}, nil
}

// checkSupported comes before describe, whose errors about types it can't map are less clear.
func checkSupported(fields []*storagepb.TableFieldSchema, under string) error {
	for _, f := range fields {
		path := under + f.GetName()
		if _, ok := columns[f.GetType()]; !ok {
			return fmt.Errorf("column %q: type %s is not supported yet", path, f.GetType())
		}
		switch f.GetMode() {
		case storagepb.TableFieldSchema_NULLABLE, storagepb.TableFieldSchema_REQUIRED, storagepb.TableFieldSchema_REPEATED:
		default:
			return fmt.Errorf("column %q: mode %s is not supported", path, f.GetMode())
		}
		if !describable(f) {
			return fmt.Errorf("column %q: this name is not supported yet: the client library can't describe it", path)
		}
		if err := checkSupported(f.GetFields(), path+"."); err != nil {
			return err
		}
	}
	return nil
}

// describable reports whether the client library can name f in a descriptor. What isn't a protocol
// buffer name becomes col_ and its base64, which may have characters that are not allowed either, and
// for a RECORD the library uses the name as it is.
func describable(f *storagepb.TableFieldSchema) bool {
	if protoreflect.Name(f.GetName()).IsValid() {
		return true
	}
	encoded := strings.Trim(base64.StdEncoding.EncodeToString([]byte(f.GetName())), "+/=")
	return f.GetType() != storagepb.TableFieldSchema_STRUCT && !strings.ContainsAny(encoded, "+/")
}

// describe makes the self-contained proto2 descriptor that the service wants (server-facts,
// section 7), by the client library's own mapping.
func describe(schema *storagepb.TableSchema) (*descriptorpb.DescriptorProto, error) {
	d, err := adapt.StorageSchemaToProto2Descriptor(schema, "root")
	if err != nil {
		return nil, err
	}
	md, ok := d.(protoreflect.MessageDescriptor)
	if !ok {
		return nil, fmt.Errorf("want a message, got %T", d)
	}
	return adapt.NormalizeDescriptor(md)
}

// Descriptor returns the normalized descriptor of the rows, to be sent as the writer schema. The
// caller must not change it.
func (e *Encoder) Descriptor() *descriptorpb.DescriptorProto { return e.descriptor }

// Append appends to dst the row that object, one JSON object with optional white space around it,
// stands for, and returns the extended slice. The row is a message without any framing; fields
// come in the order of the JSON. dst and object must not overlap, and neither is kept.
//
// If object is no row of the table, dst comes back with its old length and the error is an *Error
// without a line. Append allocates nothing but what dst needs to grow, except for errors and for
// names that lookup has to fold beyond ASCII.
func (e *Encoder) Append(dst, object []byte) ([]byte, error) {
	p := parser{in: object}
	out, err := p.row(dst, e.root)
	if err != nil {
		return out[:len(dst)], err
	}
	return out, nil
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
