package emulator

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// replay makes a server's state from the log of its data folder, before the server starts: no locks are needed.
type replay struct {
	srv     *Server
	store   *store
	writers []*writerSchema
	forms   []*form
	now     time.Time // when the records were written that are read now, as far as is known
}

// all applies the whole records at the beginning of data and returns how many bytes they are. A record that is cut
// short or fails its CRC is the torn end; one that is whole and makes no sense is an error.
func (r *replay) all(data []byte) (int64, error) {
	at := 0
	for len(data)-at >= recordHeader {
		n := int(binary.LittleEndian.Uint32(data[at:]))
		sum := binary.LittleEndian.Uint32(data[at+4:])
		if n == 0 || len(data)-at-recordHeader < n {
			break
		}
		payload := data[at+recordHeader : at+recordHeader+n : at+recordHeader+n]
		if crc32.Checksum(payload, castagnoli) != sum {
			break
		}
		if err := r.apply(payload); err != nil {
			return 0, fmt.Errorf("record at byte %d: %w", at, err)
		}
		at += recordHeader + n
	}
	return int64(at), nil
}

func (r *replay) apply(payload []byte) error {
	f := fields{rest: payload[1:]}
	switch payload[0] {
	case recordTable:
		return r.table(f.string(), time.Time{}, f)
	case recordVersion:
		return r.table(f.string(), f.time(), f)
	case recordGiven:
		return r.given(f.string(), f)
	case recordTime:
		r.now = f.time()
		return nil
	case recordDropped:
		name := string(f.rest)
		if r.srv.tables[name] == nil {
			return fmt.Errorf("drops the unknown table %q", name)
		}
		r.srv.removeTable(name)
		return nil
	case recordStream:
		return r.stream(f.string(), f.time(), &f)
	case recordWriter:
		w, err := r.store.intern(f.rest)
		if err != nil {
			return err
		}
		r.writers = append(r.writers, w)
		r.store.logged[w] = uint64(len(r.writers))
		return nil
	case recordForm:
		return r.form(&f)
	case recordRows, recordCount:
		return r.rows(payload[0], &f)
	case recordFinalized, recordExpired:
		st, err := r.known(&f)
		if err != nil {
			return err
		}
		st.finalized = st.finalized || payload[0] == recordFinalized
		st.expired = st.expired || payload[0] == recordExpired
		return nil
	}
	return fmt.Errorf("unknown kind %q", payload[0])
}

func (r *replay) table(name string, at time.Time, f fields) error {
	schema := new(storagepb.TableSchema)
	if err := proto.Unmarshal(f.rest, schema); err != nil || f.bad {
		return fmt.Errorf("schema of table %q: %w", name, err)
	}
	if t := r.srv.tables[name]; t != nil {
		t.schema.add(schema, at)
		return nil
	}
	r.srv.addTable(name, schema, at)
	return nil
}

func (r *replay) given(name string, f fields) error {
	t, schema := r.srv.tables[name], new(storagepb.TableSchema)
	if err := proto.Unmarshal(f.rest, schema); err != nil || f.bad || t == nil {
		return fmt.Errorf("given schema of table %q: %w", name, err)
	}
	t.given = schema
	return nil
}

func (r *replay) stream(name string, created time.Time, f *fields) error {
	tableName, _, ok := splitStream(name)
	t := r.srv.tables[tableName]
	if !ok || t == nil || f.bad {
		return fmt.Errorf("stream %q belongs to no table", name)
	}
	r.srv.addStream(t, name, created)
	return nil
}

func (r *replay) rows(kind byte, f *fields) error {
	st, err := r.known(f)
	if err != nil {
		return err
	}
	b := batch{stream: st, offset: int64(f.varint())}
	if b.offset != st.end {
		return fmt.Errorf("rows at offset %d of %s, which ends at %d", b.offset, st.name, st.end)
	}
	if kind == recordCount {
		b.count = int64(f.varint())
	} else {
		number := f.varint()
		if number > uint64(len(r.forms)) {
			return fmt.Errorf("unknown form %d", number)
		}
		if number > 0 {
			b.form = r.forms[number-1]
		}
		for len(f.rest) > 0 && !f.bad {
			b.rows = append(b.rows, f.bytes())
		}
		b.count = int64(len(b.rows))
	}
	if f.bad || b.count <= 0 {
		return fmt.Errorf("malformed rows of %s", st.name)
	}
	if kind == recordRows && !r.store.discard {
		st.table.batches = append(st.table.batches, b)
	}
	st.advance(b.count)
	st.form = b.form
	st.used = r.now
	if r.now.IsZero() { // written when logs didn't tell the time
		st.used = now()
	}
	return nil
}

func (r *replay) form(f *fields) error {
	st, err := r.known(f)
	if err != nil {
		return err
	}
	writer, number := f.varint(), f.varint()
	versions := st.table.schema.all()
	if writer == 0 || writer > uint64(len(r.writers)) || number >= uint64(len(versions)) {
		return fmt.Errorf("form of the unknown writer schema %d or version %d", writer, number)
	}
	form, mismatch := newForm(st.name, r.writers[writer-1], versions[number])
	if mismatch != nil {
		return mismatch
	}
	for len(f.rest) > 0 && !f.bad {
		slot, v := f.varint(), Value{Kind: ScalarValue, Text: f.string(), Micros: int64(f.varint())}
		if f.bad || slot >= uint64(len(form.plan.blank)) {
			return fmt.Errorf("malformed form of %s", st.name)
		}
		form.fill(int(slot), v)
	}
	r.forms = append(r.forms, form)
	r.store.forms[form] = uint64(len(r.forms))
	return nil
}

func (r *replay) known(f *fields) (*stream, error) {
	index := f.varint()
	if f.bad || index >= uint64(len(r.srv.byIndex)) {
		return nil, fmt.Errorf("unknown stream %d", index)
	}
	return r.srv.byIndex[index], nil
}

// fields takes values off the front of a payload; bad stays set after the first that isn't there.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) take(n int) {
	if n < 0 {
		f.bad, n = true, len(f.rest)
	}
	f.rest = f.rest[n:]
}

func (f *fields) varint() uint64 {
	v, n := protowire.ConsumeVarint(f.rest)
	f.take(n)
	return v
}

func (f *fields) time() time.Time {
	if micros := f.varint(); micros != 0 {
		return time.UnixMicro(int64(micros)).UTC()
	}
	return time.Time{}
}

func (f *fields) bytes() []byte {
	b, n := protowire.ConsumeBytes(f.rest)
	f.take(n)
	return b
}

func (f *fields) string() string { return string(f.bytes()) }
