package emulator

import (
	"fmt"
	"slices"
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
	schema  atomic.Pointer[storagepb.TableSchema] // never modified once it is stored
	dropped atomic.Bool

	versions []*storagepb.TableSchema // of the schema, oldest first; guarded by Server.mu
	fallback *stream                  // the default stream
	streams  []*stream                // application streams in the order of their creation; guarded by Server.mu
	batches  []batch                  // guarded by the store's lock
}

func (t *table) newStream(name string, ordinal int64, created time.Time) *stream {
	return &stream{
		name: name, table: t, ordinal: ordinal, created: created,
		active: map[*connection]struct{}{},
	}
}

// CreateTable makes an empty table. The name has the form projects/P/datasets/D/tables/T. The schema is copied.
func (s *Server) CreateTable(name string, schema *storagepb.TableSchema) error {
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
	if err := s.store.tableSet(name, schema); err != nil {
		return fmt.Errorf("create table %s: %w", name, err)
	}
	s.addTable(name, schema)
	return nil
}

// addTable is the change itself, also when the data folder is read back. The caller holds mu.
func (s *Server) addTable(name string, schema *storagepb.TableSchema) {
	t := &table{name: name, store: s.store}
	t.setSchema(schema)
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

// AlterTable replaces a table's schema. GetWriteStream(FULL) and new connections see it at once; an open connection
// is told by updated_schema in its next success and goes on with the schema it began with.
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
	if err := s.store.tableSet(name, schema); err != nil {
		return fmt.Errorf("alter table %s: %w", name, err)
	}
	t.setSchema(schema)
	return nil
}

// setSchema makes a copy of schema the table's newest version. The caller holds Server.mu.
func (t *table) setSchema(schema *storagepb.TableSchema) {
	schema = proto.CloneOf(schema)
	t.versions = append(t.versions, schema)
	t.schema.Store(schema)
}

// versionOf is the number of a version of a table's schema.
func (s *Server) versionOf(t *table, schema *storagepb.TableSchema) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Index(t.versions, schema)
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
	if t == nil {
		return nil, errorf(codes.NotFound, "", "Requested entity was not found.") // no entity (case 4)
	}
	name := t.name + "/streams/" + newID()
	created := time.Now().UTC().Truncate(time.Microsecond)
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
