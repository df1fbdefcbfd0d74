package emulator

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// batch is the rows of one request as they were written.
type batch struct {
	stream *stream
	offset int64
	count  int64
	rows   [][]byte // nil when rows are not kept
	form   *form    // nil for rows of a foreign writer on a stream that nobody else wrote to
}

// store keeps what was written: rows in memory, and with a data folder every change in one log, so that reading the
// log back makes the same state. A change is in the log (the page cache: safe from a killed process, not from a power
// cut) before it is made in memory and before anybody is told of it.
//
// The log is a sequence of records: length and CRC32C of the payload, 4 bytes each, then the payload, whose first
// byte is its kind. What a kill left behind of the last record is cut off when the log is opened.
type store struct {
	discard bool
	stamps  time.Duration // between two records of the time

	mu      sync.Mutex // guards the fields below and every table's batches; a leaf: nothing is locked under it
	file    *os.File   // nil: memory only
	size    int64      // of the whole records in file
	scratch []byte
	stamped time.Time // when the time was recorded last, by this process
	writers map[string]*writerSchema
	logged  map[*writerSchema]uint64 // number of the schema's record
	forms   map[*form]uint64         // number of the form's record
}

const (
	recordTable     = 'T' // name, schema: created or altered at an unknown time; written no more
	recordVersion   = 'V' // name, time, schema: created or altered
	recordGiven     = 'G' // name, schema: given by Options.Tables
	recordTime      = 'N' // time: what follows was written then, or up to store.stamps later
	recordDropped   = 'D' // name
	recordStream    = 'S' // name, creation time
	recordWriter    = 'W' // serialized DescriptorProto; numbered from 1 in the order of the log
	recordForm      = 'M' // stream index, number of writer, version of the table's schema, values filled in; numbered like writers
	recordRows      = 'B' // stream index, offset, number of form or 0, rows
	recordCount     = 'C' // stream index, offset, row count
	recordFinalized = 'F' // stream index
	recordExpired   = 'X' // stream index
)

const recordHeader = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newStore makes a store whose log tells when a stream was used last to a 64th of their time to live.
func newStore(discard bool, ttl time.Duration) *store {
	stamps := time.Hour
	if ttl > 0 {
		stamps = min(stamps, ttl/64)
	}
	return &store{discard: discard, stamps: stamps, writers: map[string]*writerSchema{}, logged: map[*writerSchema]uint64{},
		forms: map[*form]uint64{}}
}

// open reads the log in folder back into srv and makes the store append to it.
func (s *store) open(folder string, srv *Server) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	path := filepath.Join(folder, "emulator.log")
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("read the data folder: %w", err)
	}
	r := replay{srv: srv, store: s}
	if s.size, err = r.all(data); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the data folder: %w", err)
	}
	if err := f.Truncate(s.size); err != nil {
		_ = f.Close()
		return fmt.Errorf("cut the torn end off %s: %w", path, err)
	}
	s.file = f
	return nil
}

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// intern returns the one writerSchema of a serialized descriptor, so that rows share it.
func (s *store) intern(raw []byte) (*writerSchema, error) {
	s.mu.Lock()
	w := s.writers[string(raw)]
	s.mu.Unlock()
	if w != nil {
		return w, nil
	}
	w, err := parseWriterSchema(raw)
	if err != nil || s.discard {
		return w, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.writers[string(raw)]; known != nil {
		return known, nil
	}
	s.writers[string(raw)] = w
	return w, nil
}

// append writes a batch: to the log if there is one, then to its table.
func (s *store) append(b batch) error {
	if s.discard && !s.durable() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		if err := s.logBatch(b); err != nil {
			return err
		}
	}
	if !s.discard {
		b.stream.table.batches = append(b.stream.table.batches, b)
	}
	return nil
}

// durable says whether there is a log. The file is set before the server starts.
func (s *store) durable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file != nil
}

// logBatch logs a batch, with its writer's schema before it the first time. The caller holds mu.
func (s *store) logBatch(b batch) error {
	if at := now(); at.Sub(s.stamped) > s.stamps {
		if err := s.commit(appendTime(s.begin(recordTime), at)); err != nil {
			return err
		}
		s.stamped = at
	}
	if s.discard {
		p := s.begin(recordCount)
		p = protowire.AppendVarint(p, uint64(b.stream.index))
		p = protowire.AppendVarint(p, uint64(b.offset))
		return s.commit(protowire.AppendVarint(p, uint64(b.count)))
	}
	number, err := s.logForm(b)
	if err != nil {
		return err
	}
	p := s.begin(recordRows)
	p = protowire.AppendVarint(p, uint64(b.stream.index))
	p = protowire.AppendVarint(p, uint64(b.offset))
	p = protowire.AppendVarint(p, number)
	for _, row := range b.rows {
		p = protowire.AppendBytes(p, row)
	}
	return s.commit(p)
}

// logForm logs a batch's form, with the writer's schema before it, unless they are logged, and returns its number.
func (s *store) logForm(b batch) (uint64, error) {
	f := b.form
	if f == nil || s.forms[f] > 0 {
		return s.forms[f], nil
	}
	writer := s.logged[f.writer]
	if writer == 0 {
		if err := s.commit(append(s.begin(recordWriter), f.writer.raw...)); err != nil {
			return 0, err
		}
		writer = uint64(len(s.logged)) + 1
		s.logged[f.writer] = writer
	}
	p := protowire.AppendVarint(s.begin(recordForm), uint64(b.stream.index))
	p = protowire.AppendVarint(p, writer)
	p = protowire.AppendVarint(p, uint64(f.version))
	for slot, v := range f.filled {
		if v.Kind == ScalarValue {
			p = protowire.AppendVarint(p, uint64(slot))
			p = protowire.AppendString(p, v.Text)
			p = protowire.AppendVarint(p, uint64(v.Micros))
		}
	}
	if err := s.commit(p); err != nil {
		return 0, err
	}
	s.forms[f] = uint64(len(s.forms)) + 1
	return s.forms[f], nil
}

// appendTime appends a time in microseconds; the zero time is 0.
func appendTime(p []byte, at time.Time) []byte {
	if at.IsZero() {
		return protowire.AppendVarint(p, 0)
	}
	return protowire.AppendVarint(p, uint64(at.UnixMicro()))
}

func (s *store) tableSet(name string, schema *storagepb.TableSchema, at time.Time) error {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(schema)
	if err != nil {
		return err
	}
	return s.record(recordVersion, func(p []byte) []byte {
		return append(appendTime(protowire.AppendString(p, name), at), raw...)
	})
}

func (s *store) tableGiven(name string, schema *storagepb.TableSchema) error {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(schema)
	if err != nil {
		return err
	}
	return s.record(recordGiven, func(p []byte) []byte { return append(protowire.AppendString(p, name), raw...) })
}

func (s *store) tableDropped(name string) error {
	return s.record(recordDropped, func(p []byte) []byte { return append(p, name...) })
}

func (s *store) streamCreated(name string, created time.Time) error {
	return s.record(recordStream, func(p []byte) []byte {
		return appendTime(protowire.AppendString(p, name), created)
	})
}

func (s *store) finalized(st *stream) error {
	return s.record(recordFinalized, func(p []byte) []byte { return protowire.AppendVarint(p, uint64(st.index)) })
}

func (s *store) expired(st *stream) error {
	return s.record(recordExpired, func(p []byte) []byte { return protowire.AppendVarint(p, uint64(st.index)) })
}

func (s *store) record(kind byte, payload func([]byte) []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	return s.commit(payload(s.begin(kind)))
}

func (s *store) begin(kind byte) []byte {
	return append(append(s.scratch[:0], make([]byte, recordHeader)...), kind)
}

// commit writes one record that begin started. After an error the file ends where it ended before.
func (s *store) commit(p []byte) error {
	s.scratch = p
	payload := p[recordHeader:]
	binary.LittleEndian.PutUint32(p, uint32(len(payload)))
	binary.LittleEndian.PutUint32(p[4:], crc32.Checksum(payload, castagnoli))
	if _, err := s.file.WriteAt(p, s.size); err != nil {
		// The next record overwrites what is there, and a shorter one leaves garbage that fails its CRC.
		return fmt.Errorf("write the data folder: %w", err)
	}
	s.size += int64(len(p))
	return nil
}
