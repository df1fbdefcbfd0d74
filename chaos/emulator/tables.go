package emulator

import (
	"fmt"
	"sync/atomic"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// table is a table and its streams. A table that was dropped and made again is another table: ids of streams of the
// first one stay dead.
type table struct {
	name    string
	store   *store
	opt     *Options // the server's
	schema  history
	given   *storagepb.TableSchema // by Options.Tables the last time; nil: never. Used while starting
	dropped atomic.Bool
	creates atomic.Int64 // CreateWriteStream calls: the ordinal that faults of them are keyed by

	fallback *stream   // the default stream
	streams  []*stream // application streams in the order of their creation; guarded by Server.mu
	batches  []batch   // guarded by the store's lock
}

func (t *table) newStream(name string, ordinal int64, created time.Time) *stream {
	return &stream{
		name: name, table: t, ordinal: ordinal, created: created,
		used: created, active: map[*connection]struct{}{},
	}
}

// hidden says whether the Storage Write API doesn't know the table yet.
func (t *table) hidden(now time.Time) bool {
	return now.Before(t.schema.first().at.Add(t.opt.Propagation.TableDelay))
}

// CreateTable makes an empty table, which the Storage Write API knows after Propagation.TableDelay. The name has the form
// projects/P/datasets/D/tables/T. The schema is copied.
func (s *Server) CreateTable(name string, schema *storagepb.TableSchema) error {
	return s.createTable(name, schema, now())
}

func (s *Server) createTable(name string, schema *storagepb.TableSchema, at time.Time) error {
	if !tableName.MatchString(name) {
		return fmt.Errorf("create table %q: the name must have the form projects/P/datasets/D/tables/T", name)
	}
	if err := checkSchema(schema); err != nil {
		return fmt.Errorf("create table %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables[name] != nil {
		return fmt.Errorf("create table %s: it exists", name)
	}
	if err := s.store.tableSet(name, schema, at); err != nil {
		return fmt.Errorf("create table %s: %w", name, err)
	}
	s.addTable(name, schema, at)
	return nil
}

// addTable is the change itself, also when the data folder is read back. The caller holds mu.
func (s *Server) addTable(name string, schema *storagepb.TableSchema, at time.Time) {
	t := &table{name: name, store: s.store, opt: &s.opt}
	t.schema.add(schema, at)
	t.fallback = t.newStream(name+"/streams/"+defaultID, -1, time.Time{})
	s.tables[name] = t
	s.register(t.fallback)
}

// register makes a stream known by its name and gives it its index. The caller holds mu.
func (s *Server) register(st *stream) {
	st.index = len(s.byIndex)
	s.byIndex = append(s.byIndex, st)
	s.streams[st.name] = st
}

// give makes a table that Options name, or alters it if the data folder knows it with another schema given. Otherwise it
// stays as it was altered since.
func (s *Server) give(name string, schema *storagepb.TableSchema) error {
	set := s.AlterTable
	t := s.tables[name]
	switch {
	case t == nil:
		set = func(name string, schema *storagepb.TableSchema) error {
			return s.createTable(name, schema, time.Time{})
		}
	case proto.Equal(t.given, schema):
		return nil
	}
	if err := set(name, schema); err != nil {
		return err
	}
	return s.store.tableGiven(name, schema)
}

// AlterTable replaces a table's schema, which is copied. GetWriteStream(FULL) shows it at once; Options.Propagation says
// when connections notice: new ones are matched with it, open ones are told by updated_schema and go on with the schema
// they began with, until a column is gone that theirs has. The schema that the table has is no change. The error of a
// change that BigQuery doesn't allow is ErrSchemaChange.
func (s *Server) AlterTable(name string, schema *storagepb.TableSchema) error {
	if err := checkSchema(schema); err != nil {
		return fmt.Errorf("alter table %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[name]
	if t == nil {
		return fmt.Errorf("alter table %s: no such table", name)
	}
	if proto.Equal(t.schema.Load(), schema) {
		return nil
	}
	if err := checkAlter(t.schema.Load(), schema); err != nil {
		return fmt.Errorf("alter table %s: %w", name, err)
	}
	at := now()
	if err := s.store.tableSet(name, schema, at); err != nil {
		return fmt.Errorf("alter table %s: %w", name, err)
	}
	t.schema.add(schema, at)
	return nil
}

// DropTable removes a table: its streams, also of a table made again under the name, answer NOT_FOUND (case 95), and
// its rows are forgotten.
func (s *Server) DropTable(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tables[name] == nil {
		return fmt.Errorf("drop table %s: no such table", name)
	}
	if err := s.store.tableDropped(name); err != nil {
		return fmt.Errorf("drop table %s: %w", name, err)
	}
	s.removeTable(name)
	return nil
}

func (s *Server) removeTable(name string) {
	t := s.tables[name]
	t.dropped.Store(true)
	s.store.mu.Lock()
	t.batches = nil
	s.store.mu.Unlock()
	delete(s.tables, name)
	delete(s.streams, name+"/streams/"+defaultID)
}

// createStream makes an application stream.
func (s *Server) createStream(tableName string) (*stream, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables[tableName]
	created := now()
	if t == nil || t.hidden(created) {
		return nil, errorf(codes.NotFound, "", "Requested entity was not found.") // no entity (case 4)
	}
	name := t.name + "/streams/" + newID()
	if err := s.store.streamCreated(name, created); err != nil {
		return nil, internal(tableName, err)
	}
	return s.addStream(t, name, created), nil
}

// addStream is the change itself. The caller holds mu.
func (s *Server) addStream(t *table, name string, created time.Time) *stream {
	st := t.newStream(name, int64(len(t.streams)), created)
	t.streams = append(t.streams, st)
	s.register(st)
	return st
}

// now is the time as it is kept: to the microsecond, so that the data folder doesn't change it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// lookup finds a stream by a name as a client writes it.
func (s *Server) lookup(name string) (*stream, *apiError) {
	tableName, id, ok := splitStream(name)
	if !ok {
		return nil, invalidName(name)
	}
	full := tableName + "/streams/" + id
	s.mu.Lock()
	st, exists := s.streams[full], s.tables[tableName] != nil
	s.mu.Unlock()
	switch {
	case st != nil:
		return st, nil
	case !exists:
		return nil, notFound(full, storagepb.StorageError_TABLE_NOT_FOUND)
	}
	return nil, notFound(full, storagepb.StorageError_STREAM_NOT_FOUND)
}
