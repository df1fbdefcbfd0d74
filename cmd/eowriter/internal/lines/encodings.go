package lines

import (
	"fmt"
	"slices"
	"sync"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/doubt"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Encoding is one revision of a table's schema: the writer schema with encoders for it.
type Encoding struct {
	Schema *committed.Schema
	Enc    *rows.Encoder // of rows that are read for the first time

	table *storagepb.TableSchema
	again *rows.Encoder // of rows that are read again: it counts ignored fields apart
}

// Encodings are those that the sources of one table meet, and share. Safe for concurrent use.
type Encodings struct {
	table   string
	options []rows.Option
	fixed   bool

	asking *doubt.Asking

	mu  sync.Mutex  // guards all; an encoding never changes
	all []*Encoding // by when the table was found to have it: the newest is last
}

// NewEncodings returns the encodings of a table, projects/P/datasets/D/tables/T, of which none is known yet. fixed says that
// the user has given the schema: then the service is not asked for the table's.
func NewEncodings(table string, options []rows.Option, fixed bool) *Encodings {
	return &Encodings{table: table, options: options, fixed: fixed, asking: doubt.New()}
}

// Of returns the encoding of a schema of the table, compiled once, which is the newest then. known is the partition's
// Schema, or nil: then one is made of ts.
func (e *Encodings) Of(ts *storagepb.TableSchema, known *committed.Schema) (*Encoding, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := e.find(ts)
	if at < 0 {
		made, err := e.make(ts, known)
		if err != nil {
			return nil, err
		}
		e.all = append(e.all, made)
		return made, nil
	}
	found := e.all[at]
	e.all = append(slices.Delete(e.all, at, at+1), found)
	return found, nil
}

// again returns the encoder of rows that are read again for a writer schema of the table.
func (e *Encodings) again(s *committed.Schema) (*rows.Encoder, error) {
	if s.Table() == nil {
		return nil, fmt.Errorf("table %s: the schema that the rows were encoded for is not known any more", e.table)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if at := e.find(s.Table()); at >= 0 {
		return e.all[at].again, nil
	}
	made, err := e.make(s.Table(), s)
	if err != nil {
		return nil, err
	}
	e.all = slices.Insert(e.all, 0, made) // not the newest
	return made.again, nil
}

// find returns where the encoding of a schema is, or -1; mu is held.
func (e *Encodings) find(ts *storagepb.TableSchema) int {
	return slices.IndexFunc(e.all, func(one *Encoding) bool { return proto.Equal(one.table, ts) })
}

func (e *Encodings) make(ts *storagepb.TableSchema, known *committed.Schema) (*Encoding, error) {
	enc, err := rows.Compile(ts, e.options...)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", e.table, err)
	}
	again, err := rows.Compile(ts, e.options...)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", e.table, err)
	}
	if known == nil {
		var d *descriptorpb.DescriptorProto // derived by the writer, which follows the table then
		if e.fixed {
			d = enc.Descriptor() // the same, but the user's
		}
		known, err = committed.NewSchema(e.table, ts, d)
	}
	return &Encoding{Schema: known, Enc: enc, table: ts, again: again}, err
}

// Newest returns the last encoding that was met, or nil.
func (e *Encodings) Newest() *Encoding {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.all) == 0 {
		return nil
	}
	return e.all[len(e.all)-1]
}

// Ignored returns how many fields were left out so far, by column. Those with no room have the name "".
func (e *Encodings) Ignored() map[string]int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	total := map[string]int64{}
	for _, one := range e.all {
		byColumn, others := one.Enc.Ignored()
		for name, n := range byColumn {
			total[name] += n
		}
		if others > 0 {
			total[""] += others
		}
	}
	return total
}
