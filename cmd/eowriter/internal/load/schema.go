package load

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/doubt"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tableschema"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// encoding is one revision of the table's schema: the writer schema with encoders for it.
type encoding struct {
	table  *storagepb.TableSchema
	schema *committed.Schema
	enc    *rows.Encoder // of rows that are loaded
	again  *rows.Encoder // of rows that are read again: it counts ignored fields apart
}

// encodings are those that a load meets, shared by its files.
type encodings struct {
	table   string
	options []rows.Option
	fixed   bool // the user gave the schema: the table's is not asked for

	asking *doubt.Asking

	mu  sync.Mutex  // guards all; an encoding never changes
	all []*encoding // by when the table was found to have it: the newest is last
}

func newEncodings(opt *Options) *encodings {
	return &encodings{table: opt.Table, options: opt.Choices.Options(), fixed: opt.Schema != nil, asking: doubt.New()}
}

// first makes the encoding that the load begins with, of the schema that the user gave, or else the service.
func (l *loader) first(ctx context.Context) error {
	ts := l.opt.Schema
	if ts == nil {
		var err error
		if ts, err = l.ask(ctx, l.opt.Table); err != nil {
			return err
		}
	}
	_, err := l.encodings.of(ts, nil)
	return err
}

// ask gets a table's schema from the service. That is the first call to it: when it fails for long, it is more likely that
// the endpoint is wrong than that the service is down, and nothing is open yet that would have to be waited for.
func (l *loader) ask(ctx context.Context, table string) (*storagepb.TableSchema, error) {
	limit := cmp.Or(l.opt.contact, 30*time.Second)
	contact, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer l.display.waitFor("the service has not answered yet: it is asked for the schema of %s, for %v at most", tablename.Short(table), limit)()
	ts, err := tableschema.Get(contact, table, l.opt.ClientOptions)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return ts, err
}

// encoder is the version of the encoder and its options: what it makes of a line depends on both, and so batches of an
// earlier run with others are encoded anew.
func (opt *Options) encoder() uint32 {
	version := uint32(rows.Version) << 3
	if opt.IgnoreUnknownFields {
		version |= 1
	}
	if opt.JSONText {
		version |= 2
	}
	if opt.DefaultValues {
		version |= 4
	}
	return version
}

// of returns the encoding of a schema of the table, compiled once, which is the newest then. known is the partition's
// Schema, or nil: then one is made of ts.
func (e *encodings) of(ts *storagepb.TableSchema, known *committed.Schema) (*encoding, error) {
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
func (e *encodings) again(s *committed.Schema) (*rows.Encoder, error) {
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
func (e *encodings) find(ts *storagepb.TableSchema) int {
	return slices.IndexFunc(e.all, func(one *encoding) bool { return proto.Equal(one.table, ts) })
}

func (e *encodings) make(ts *storagepb.TableSchema, known *committed.Schema) (*encoding, error) {
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
	return &encoding{ts, known, enc, again}, err
}

// newest returns the last encoding that was met.
func (e *encodings) newest() *encoding {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.all[len(e.all)-1]
}

// ignored returns how many fields were left out so far, by column. Those with no room have the name "".
func (e *encodings) ignored() map[string]int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	total := map[string]int64{}
	for _, one := range e.all {
		byColumn, others := one.enc.Ignored()
		for name, n := range byColumn {
			total[name] += n
		}
		if others > 0 {
			total[""] += others
		}
	}
	return total
}
