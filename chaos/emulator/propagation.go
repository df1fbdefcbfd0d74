package emulator

import (
	"fmt"
	"math"
	"strings"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Propagation says when AppendRows notices what GetWriteStream and Server.AlterTable show at once. Each connection
// has a backend, which learns of a change Delay, and up to Jitter more, after it was made. The zero value is a service
// that is fast: backends learn of a change at once.
type Propagation struct {
	// Delay is for how long after a change new connections are matched with the schema before it: a writer's schema
	// with a new column is refused as having extra fields until then (case 69), one that lacks a relaxed column too.
	Delay time.Duration
	// Jitter is added in part, differently for each connection, drawn from Options.Seed: a stream that is connected
	// to again may meet a backend that knows less than the one before.
	Jitter time.Duration
	// UpdatedSchemaDelay passes between a backend's learning of a change and its telling a connection that was opened
	// before the change, by updated_schema in the next success (case 68). Refused requests, duplicates too, tell
	// nothing, and connections that were opened after the change are not told.
	UpdatedSchemaDelay time.Duration
	// UpdatedSchemaTimes is how many successes of a connection tell it of one change; 0 means 1.
	UpdatedSchemaTimes int64
	// DropGrace is for how long, from its backend's learning of it, an open connection may go on to send a column that
	// was dropped: the values go nowhere. Then its requests are refused in-response as having extra fields (case 70).
	// 0 means 9 s; less than 0: no grace.
	DropGrace time.Duration
	// TableDelay is for how long after Server.CreateTable a table and its streams are NOT_FOUND to the Storage Write
	// API (cases 4, 95). Tables of Options.Tables are there from the start.
	TableDelay time.Duration
}

const defaultDropGrace = 9 * time.Second

// withDefaults replaces what the zero value stands for.
func (p Propagation) withDefaults() (Propagation, error) {
	if p.Delay < 0 || p.Jitter < 0 || p.UpdatedSchemaDelay < 0 || p.UpdatedSchemaTimes < 0 || p.TableDelay < 0 {
		return p, fmt.Errorf("propagation: a negative value in %+v", p)
	}
	if p.DropGrace == 0 {
		p.DropGrace = defaultDropGrace
	}
	p.DropGrace = max(p.DropGrace, 0)
	p.UpdatedSchemaTimes = max(p.UpdatedSchemaTimes, 1)
	return p, nil
}

// backend is what serves one connection, and what it knows of the table's schema. It belongs to the connection's worker.
type backend struct {
	lag time.Duration // how far it is behind

	told *version // what the client was told last, or could have known when it connected
	tell int64    // how often more it is to be told of that

	compared *version  // the latest version whose lack of columns the client has to know
	dropped  *apiError // what the client's schema has and that version hasn't
}

// newBackend is the backend of a connection that is opened now for the first time, the open-th on its stream.
func (s *Server) newBackend(st *stream, open int64) backend {
	p := s.opt.Propagation
	lag := p.Delay
	if p.Jitter > 0 {
		on := occasion{table: st.table.name, streamOrdinal: st.ordinal, request: open}
		lag += time.Duration(chance(s.opt.Seed, math.MaxUint64, on) * float64(p.Jitter))
	}
	return backend{lag: lag, told: st.table.schema.newest()}
}

// match matches w, which becomes the connection's writer schema, with the table's as b knows it now. Rows are checked
// against that for as long as w is in use (case 71).
func (b *backend) match(st *stream, w *writerSchema, now time.Time) (*form, *apiError) {
	base := st.table.schema.known(now.Add(-b.lag))
	f, err := newForm(st.name, w, base)
	if err == nil {
		b.compared, b.dropped = base, nil
	}
	return f, err
}

// updated returns the schema that a success at the moment now carries, nil if there is nothing to tell.
func (b *backend) updated(t *table, now time.Time) *storagepb.TableSchema {
	if t.schema.newest() != b.told { // mostly not
		p := t.opt.Propagation
		if known := t.schema.known(now.Add(-b.lag - p.UpdatedSchemaDelay)); known.number > b.told.number {
			b.told, b.tell = known, p.UpdatedSchemaTimes
		}
	}
	if b.tell == 0 {
		return nil
	}
	b.tell--
	return b.told.schema
}

// refuses returns what the client is told once the grace of a dropped column that its schema has is over.
func (b *backend) refuses(st *stream, w *writerSchema, now time.Time) *apiError {
	if st.table.schema.newest() == b.compared { // mostly
		return b.dropped
	}
	known := st.table.schema.known(now.Add(-b.lag - st.table.opt.Propagation.DropGrace))
	if known.number > b.compared.number {
		b.compared, b.dropped = known, nil
		if extra := extraColumns(w.message, known.schema.GetFields(), ""); len(extra) > 0 {
			b.dropped = extraFields(st.name, extra)
		}
	}
	return b.dropped
}

// extraColumns lists the fields of a writer's schema that have no column, by their path.
func extraColumns(md protoreflect.MessageDescriptor, columns []*storagepb.TableFieldSchema, prefix string) (extra []string) {
	byName := columnsByName(columns)
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		name := columnName(fd)
		column := byName[strings.ToLower(name)]
		switch {
		case column == nil:
			extra = append(extra, prefix+name)
		case column.GetType() == storagepb.TableFieldSchema_STRUCT && fd.Message() != nil:
			extra = append(extra, extraColumns(fd.Message(), column.GetFields(), prefix+name+".")...)
		}
	}
	return extra
}

func columnsByName(columns []*storagepb.TableFieldSchema) map[string]*storagepb.TableFieldSchema {
	byName := make(map[string]*storagepb.TableFieldSchema, len(columns))
	for _, c := range columns {
		byName[strings.ToLower(c.GetName())] = c
	}
	return byName
}
