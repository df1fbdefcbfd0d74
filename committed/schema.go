package committed

import (
	"context"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Schema is a table's schema with the writer schema that rows are encoded with.
// It is immutable and safe for concurrent use.
type Schema struct {
	name        string
	table       *storagepb.TableSchema
	descriptor  *descriptorpb.DescriptorProto
	serialized  []byte
	fingerprint ledger.Fingerprint
	probe       []byte             // one row that is valid for the table
	revision    ledger.Fingerprint // of the table's schema: more can change there than the writer schema shows
	own         bool               // the descriptor is the caller's, not derived from the table's schema
}

// NewSchema makes a Schema of a table, projects/P/datasets/D/tables/T, and a
// self-contained descriptor as adapt.NormalizeDescriptor gives it. A nil descriptor
// is derived from the table's schema, as rows.Descriptor does. Neither may be changed afterwards. A partition
// that is opened with a descriptor of its own never changes its Schema by itself.
func NewSchema(table string, ts *storagepb.TableSchema, d *descriptorpb.DescriptorProto) (*Schema, error) {
	if err := checkTable(table); err != nil {
		return nil, err
	}
	own, probe := d != nil, []byte(nil)
	var err error
	if own {
		probe, err = zeroMessage(d)
	} else {
		d, probe, err = describe(ts)
	}
	if err != nil {
		return nil, fmt.Errorf("derive a writer schema for %s: %w", table, err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("serialize the writer schema of %s: %w", table, err)
	}
	return &Schema{
		name: table, table: ts, descriptor: d, serialized: b, fingerprint: ledger.FingerprintOf(b), probe: probe,
		revision: revisionOf(ts), own: own,
	}, nil
}

// Name returns the table, projects/P/datasets/D/tables/T.
func (s *Schema) Name() string { return s.name }

// Table returns the table's schema, nil if NewSchema got none. It must not be changed.
func (s *Schema) Table() *storagepb.TableSchema { return s.table }

// Descriptor returns the writer schema. It must not be changed.
func (s *Schema) Descriptor() *descriptorpb.DescriptorProto { return s.descriptor }

// Fingerprint identifies the writer schema. Schemas of a table that differ in what rows
// don't show, such as the longest STRING, have the same.
func (s *Schema) Fingerprint() ledger.Fingerprint { return s.fingerprint }

// TableSchema asks the service for a table's schema (case 7: GetWriteStream with
// the FULL view, on the default stream, which every table has). It tries again while the service is
// unavailable, until ctx ends.
func (w *Writer) TableSchema(ctx context.Context, table string) (*Schema, error) {
	if err := checkTable(table); err != nil {
		return nil, err
	}
	ctx, cancel := w.bind(ctx)
	defer cancel()
	var ts *storagepb.TableSchema
	err := retry.Do(ctx, w.opt.Backoff, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, w.opt.CallTimeout)
		defer cancel()
		var err error
		ts, err = w.clients.control.tableSchema(ctx, table)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get the schema of %s: %w", table, err)
	}
	return NewSchema(table, ts, nil)
}

// revisionOf identifies a table's schema with all that stands in it.
func revisionOf(ts *storagepb.TableSchema) ledger.Fingerprint {
	// What can't be serialized is not from the service and never comes back.
	b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(ts)
	return ledger.FingerprintOf(b)
}

// message resolves a self-contained descriptor.
func message(d *descriptorpb.DescriptorProto) (protoreflect.MessageDescriptor, error) {
	name := "writer.proto"
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: &name, MessageType: []*descriptorpb.DescriptorProto{d},
	}, nil)
	if err != nil {
		return nil, err
	}
	return file.Messages().Get(0), nil
}

// checkTable checks the form projects/P/datasets/D/tables/T.
func checkTable(table string) error {
	p := strings.Split(table, "/")
	if len(p) != 6 || p[0] != "projects" || p[2] != "datasets" || p[4] != "tables" || p[1] == "" || p[3] == "" || p[5] == "" {
		return fmt.Errorf("table %q is not of the form projects/P/datasets/D/tables/T", table)
	}
	return nil
}
