package deadletter

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Record is a dead letter as it is delivered: a line of the file, or a row of the table, whose columns have the names of
// the JSON fields. Ledger, PartitionID and Number identify it for ever.
type Record struct {
	Ledger      string    `json:"ledger"`       // the ledger's identifier, as ledger show --json has it
	PartitionID ledger.ID `json:"partition_id"` // never used again in this ledger, unlike the name
	Number      int64     `json:"number"`       // counts the partition's letters from 1

	Table         string `json:"table"`          // PROJECT.DATASET.TABLE that refused it
	PartitionName string `json:"partition_name"` // for a file its base name, with the prefix
	Before        string `json:"before"`         // the source's position before the row's batch
	After         string `json:"after"`          // and behind it
	Row           int64  `json:"row"`            // the row's index in its batch, counted from 0
	RefusedBy     string `json:"refused_by"`     // encoder or service
	Reason        string `json:"reason"`
	RefusedAt     string `json:"refused_at"` // RFC 3339, microseconds

	// Record is the row: its own text, if that is UTF-8. If only the encoded row was to be had, it is that as JSON, with
	// the values as they are sent: a DATE as days since 1970, a NUMERIC as bytes.
	Record *string `json:"record,omitempty"`
	// Bytes is base64 of the row's own bytes, if they are no UTF-8, or of the encoded row.
	Bytes []byte `json:"record_bytes,omitempty"`
	// Schema is not empty if the row is an encoded one: the fingerprint of its writer schema.
	Schema string `json:"schema,omitempty"`
}

// NewRecord makes the record of a letter of partition p of led.
func NewRecord(led *ledger.Ledger, p *ledger.Partition, l *ledger.Letter) (Record, error) {
	r := Record{
		Ledger: led.ID(), PartitionID: p.ID, Number: l.Number,
		Table: tablename.Short(p.Key.Table), PartitionName: source.DisplayName(p.Key.Name),
		Before: source.PositionText(l.Before), After: source.PositionText(l.After),
		Row: l.Row, RefusedBy: "encoder", Reason: l.Reason, RefusedAt: l.At.UTC().Format("2006-01-02T15:04:05.000000Z07:00"),
	}
	if l.Service {
		r.RefusedBy = "service"
	}
	if l.Dead.Schema != (ledger.Fingerprint{}) {
		return r, r.encoded(led, l)
	}
	if !utf8.Valid(l.Content) {
		r.Bytes = l.Content
		return r, nil
	}
	text := string(l.Content)
	r.Record = &text
	return r, nil
}

// encoded puts an encoded row into the record, as JSON too if it can be decoded.
func (r *Record) encoded(led *ledger.Ledger, l *ledger.Letter) error {
	r.Schema = hex.EncodeToString(l.Dead.Schema[:])
	r.Bytes = l.Content
	b, err := led.Schema(l.Dead.Schema)
	if err != nil {
		return fmt.Errorf("letter %d of partition %q: %w", r.Number, r.PartitionName, err)
	}
	if text, err := decode(b, l.Content); err == nil { // else the bytes are all there is
		r.Record = &text
	}
	return nil
}

// decode gives an encoded row as compact JSON, by its serialized writer schema.
func decode(schema, row []byte) (string, error) {
	d := &descriptorpb.DescriptorProto{}
	if err := proto.Unmarshal(schema, d); err != nil {
		return "", err
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("letter.proto"), MessageType: []*descriptorpb.DescriptorProto{d},
	}, nil)
	if err != nil {
		return "", err
	}
	msg := dynamicpb.NewMessage(file.Messages().Get(0))
	if err := (proto.UnmarshalOptions{AllowPartial: true}).Unmarshal(row, msg); err != nil {
		return "", err
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true, AllowPartial: true}.Marshal(msg)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = json.Compact(&out, text) // protojson adds white space at random
	return out.String(), err
}

// appendJSON appends the record as one line.
func (r *Record) appendJSON(b []byte) ([]byte, error) {
	buf := bytes.NewBuffer(b)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return b, fmt.Errorf("write letter %d of partition %q as JSON: %w", r.Number, r.PartitionName, err)
	}
	return buf.Bytes(), nil
}
