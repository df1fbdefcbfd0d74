package emulator

import (
	"encoding/json"
	"fmt"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Row is one row as it was written. Data and Descriptor are shared with the emulator and must not be modified.
type Row struct {
	Stream     string
	Offset     int64                         // of the row in its stream
	Data       []byte                        // the serialized message as it was sent
	Descriptor *descriptorpb.DescriptorProto // as it was sent; rows written with the same one share it; may be nil for AppendForeign

	writer *writerSchema
}

// Rows returns a table's rows in the order of their arrival: none for an unknown table and with Options.Discard.
func (s *Server) Rows(tableName string) []Row {
	s.mu.Lock()
	t := s.tables[tableName]
	s.mu.Unlock()
	if t == nil {
		return nil
	}
	s.store.mu.Lock()
	batches := t.batches
	s.store.mu.Unlock()

	var n int64
	for _, b := range batches {
		n += b.count
	}
	rows := make([]Row, 0, n)
	for _, b := range batches {
		for i, data := range b.rows {
			row := Row{Stream: b.stream.name, Offset: b.offset + int64(i), Data: data}
			if b.form != nil {
				row.writer, row.Descriptor = b.form.writer, b.form.writer.desc
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// Values decodes the row: column name to bool, int64, uint64, float64, string, []byte, map[string]any (a record) or
// []any (a repeated column). Columns that are absent on the wire are absent here. An enum value is its number.
func (r Row) Values() (map[string]any, error) {
	w := r.writer
	if w == nil {
		if r.Descriptor == nil {
			return nil, fmt.Errorf("decode row %d of %s: it has no descriptor", r.Offset, r.Stream)
		}
		raw, err := proto.Marshal(r.Descriptor)
		if err != nil {
			return nil, fmt.Errorf("decode row %d of %s: %w", r.Offset, r.Stream, err)
		}
		if w, err = parseWriterSchema(raw); err != nil {
			return nil, fmt.Errorf("decode row %d of %s: %w", r.Offset, r.Stream, err)
		}
	}
	msg := dynamicpb.NewMessage(w.message)
	if err := proto.Unmarshal(r.Data, msg); err != nil {
		return nil, fmt.Errorf("decode row %d of %s: %w", r.Offset, r.Stream, err)
	}
	return messageValues(msg), nil
}

// JSON is Values as JSON with sorted keys, so that rows of equal content are equal texts. Bytes are base64; numbers
// are numbers. It fails for a double that JSON can't hold (NaN, Inf).
func (r Row) JSON() ([]byte, error) {
	values, err := r.Values()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("decode row %d of %s: %w", r.Offset, r.Stream, err)
	}
	return text, nil
}

func messageValues(msg protoreflect.Message) map[string]any {
	values := map[string]any{}
	msg.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !fd.IsList() {
			values[columnName(fd)] = plainValue(fd, v)
			return true
		}
		list := v.List()
		all := make([]any, list.Len())
		for i := range all {
			all[i] = plainValue(fd, list.Get(i))
		}
		values[columnName(fd)] = all
		return true
	})
	return values
}

func plainValue(fd protoreflect.FieldDescriptor, v protoreflect.Value) any {
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return messageValues(v.Message())
	case protoreflect.EnumKind:
		return int64(v.Enum())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind,
		protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return v.Int()
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return v.Uint()
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return v.Float()
	}
	return v.Interface() // bool, string, []byte
}

// columnName is the column a field is for: its column_name annotation, or else its own name (case 61).
func columnName(fd protoreflect.FieldDescriptor) string {
	if opts, ok := fd.Options().(*descriptorpb.FieldOptions); ok && opts != nil && proto.HasExtension(opts, storagepb.E_ColumnName) {
		if name, ok := proto.GetExtension(opts, storagepb.E_ColumnName).(string); ok && name != "" {
			return name
		}
	}
	return string(fd.Name())
}

// Streams lists a table's streams in the order of their creation: the default stream first, then those that
// applications created.
func (s *Server) Streams(tableName string) []StreamInfo {
	s.mu.Lock()
	t := s.tables[tableName]
	var all []*stream
	if t != nil {
		all = append(append(all, t.fallback), t.streams...)
	}
	s.mu.Unlock()
	infos := make([]StreamInfo, len(all))
	for i, st := range all {
		infos[i] = st.info()
	}
	return infos
}

// Stream describes one stream, also an expired one; false: there is no such stream.
func (s *Server) Stream(name string) (StreamInfo, bool) {
	st, err := s.lookup(name)
	if err != nil {
		return StreamInfo{}, false
	}
	return st.info(), true
}
