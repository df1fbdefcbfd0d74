package committed

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// A table's schema changes while a partition writes to it. The partition learns of that
// from an answer (case 68), from Refresh, or by asking while the service refuses a writer
// schema; the caller learns of it from Partition.Schema. Batches keep the writer schema that
// they were encoded with, whatever becomes of the table: the change is a boundary between two
// batches, drawn by the caller.

// known is what a partition knows of its table's schema; guarded by Partition.mu.
type known struct {
	newest   *Schema
	table    *storagepb.TableSchema          // as the service had it last; nil: it was not asked
	met      map[ledger.Fingerprint]struct{} // revisions that were newest once
	told     map[ledger.Fingerprint]struct{} // revisions that answers told since newest is
	writers  map[ledger.Fingerprint]*Schema  // writer schemas met in this run
	recorded map[ledger.Fingerprint]struct{} // those that the ledger has
	looking  bool                            // look is under way
}

// newKnown begins with the configured schema, which the ledger has before anything is bound.
func newKnown(s *Schema) known {
	return known{
		newest:   s,
		met:      map[ledger.Fingerprint]struct{}{s.revision: {}},
		told:     map[ledger.Fingerprint]struct{}{s.revision: {}},
		writers:  map[ledger.Fingerprint]*Schema{s.fingerprint: s},
		recorded: map[ledger.Fingerprint]struct{}{s.fingerprint: {}},
	}
}

// Schema returns the newest schema known of the table: at first the configured one. Compile
// an encoder when the pointer differs from the one before, and name the schema in the batches
// encoded so (Batch.Schema). Older writer schemas keep working, and give new columns their
// default values, until a column of theirs is dropped.
//
// If PartitionConfig.Schema has a descriptor of the caller's own, it is that, or else the last
// one that came with a batch for the first time.
func (p *Partition) Schema() *Schema {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known.newest
}

// Refresh asks the service for the table's schema (case 11) and returns it, the same pointer as
// Schema if nothing has changed: to be called when a row has a field that the schema
// doesn't know, not for every such row. It tries again while the service is unavailable, until
// ctx ends. If PartitionConfig.Schema has a descriptor of the caller's own, it returns Schema
// and asks nobody.
func (p *Partition) Refresh(ctx context.Context) (*Schema, error) {
	if p.cfg.Schema.own {
		return p.Schema(), nil
	}
	s, err := p.w.TableSchema(ctx, p.key.Table)
	if err != nil {
		return nil, fmt.Errorf("refresh the schema of partition %q: %w", p.key.Name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renew(s)
	return p.known.newest, nil
}

// told takes over a schema that came with an answer (case 68), if it is new here. Backends repeat
// themselves and are not in step: one that was newest before is either a late word or a column
// that was added and dropped again, which only the service can tell apart.
func (p *Partition) told(ts *storagepb.TableSchema) {
	revision := revisionOf(ts)
	p.mu.Lock()
	_, repeated := p.known.told[revision]
	_, before := p.known.met[revision]
	p.known.told[revision] = struct{}{}
	if before && !repeated {
		p.look()
	}
	p.mu.Unlock()
	if repeated || before || p.cfg.Schema.own {
		return
	}
	s, err := NewSchema(p.key.Table, proto.CloneOf(ts), nil) // the answer is managedwriter's
	p.mu.Lock()
	defer p.mu.Unlock()
	p.learnt(s, err)
}

// look asks the service for the table's schema: when an answer gives reason to, and while the
// partition waits for a schema to reach the backends, as perhaps a column was dropped instead. While the
// partition is being opened, that only serves to explain: the configured schema is what the caller wants to
// write. p.mu is held.
func (p *Partition) look() {
	if p.known.looking || p.cfg.Schema.own || p.closed {
		return
	}
	p.known.looking = true
	p.running++
	go func() {
		ctx, cancel := context.WithTimeout(p.ctx, p.w.opt.CallTimeout)
		ts, err := p.w.clients.control.tableSchema(ctx, p.key.Table)
		cancel()
		var s *Schema
		if err == nil {
			s, err = NewSchema(p.key.Table, ts, nil)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.known.looking = false
		p.learnt(s, err)
		p.back()
	}()
}

// learnt takes over what the partition found out by itself; p.mu is held.
func (p *Partition) learnt(s *Schema, err error) {
	switch unusable := p.w.opt.Events.SchemaUnusable; {
	case p.closed:
	case err == nil && !p.isOpened():
		p.known.table = s.table
	case err == nil:
		p.renew(s)
	case unusable != nil:
		unusable(p.key, err)
	}
}

// renew makes s the newest schema, if it is another than the present one; p.mu is held.
func (p *Partition) renew(s *Schema) {
	k := &p.known
	before := k.newest
	if !s.own {
		k.table = s.table
	}
	if s.revision == before.revision && s.fingerprint == before.fingerprint {
		return
	}
	k.newest = s
	k.met[s.revision] = struct{}{}
	k.told = map[ledger.Fingerprint]struct{}{s.revision: {}}
	k.writers[s.fingerprint] = s
	if s.fingerprint != before.fingerprint {
		p.step(recovery.Event{Kind: recovery.Renewed, Schema: s.fingerprint, Descriptor: s.serialized})
	} else {
		// The same writer schema: only a new connection lets rows be judged by the new table (case 71).
		p.step(recovery.Event{Kind: recovery.Yield})
	}
	if changed := p.w.opt.Events.SchemaChanged; changed != nil {
		changed(p.key, s)
	}
}

// schemaOf returns a batch's writer schema. The ledger takes intents only of those that it
// knows, so a new one is put there first.
func (p *Partition) schemaOf(b Batch) (*Schema, error) {
	s := b.Schema
	if s == nil || s == p.cfg.Schema {
		return p.cfg.Schema, nil
	}
	if s.name != p.key.Table {
		return nil, fmt.Errorf("the batch's schema is of another table, %s", s.name)
	}
	return s, p.keep(s)
}

// keep makes sure that the ledger has a writer schema, before the first intent of it.
func (p *Partition) keep(s *Schema) error {
	p.mu.Lock()
	_, recorded := p.known.recorded[s.fingerprint]
	p.mu.Unlock()
	if recorded {
		return nil
	}
	if err := p.putSchema(s); err != nil {
		return fmt.Errorf("record a writer schema: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known.recorded[s.fingerprint] = struct{}{}
	p.known.writers[s.fingerprint] = s
	if p.cfg.Schema.own {
		p.renew(s)
	}
	return nil
}

// putSchema waits until the ledger has a writer schema, durably.
func (p *Partition) putSchema(s *Schema) error {
	written := make(chan error, 1)
	p.w.led.PutSchema(s.serialized, func(_ ledger.Fingerprint, err error) { written <- err })
	return <-written
}

// writerSchema returns the writer schema with a fingerprint: one met in this run, or that of
// intents of an earlier one.
func (p *Partition) writerSchema(fp ledger.Fingerprint) (*Schema, error) {
	p.mu.Lock()
	s := p.known.writers[fp]
	p.mu.Unlock()
	if s != nil {
		return s, nil
	}
	s, err := p.w.recorded(p.key.Table, fp)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known.writers[fp] = s
	return s, nil
}

// recorded returns a writer schema that the ledger has.
func (w *Writer) recorded(table string, fp ledger.Fingerprint) (*Schema, error) {
	b, err := w.led.Schema(fp)
	if err != nil {
		return nil, err
	}
	d := &descriptorpb.DescriptorProto{}
	if err := proto.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("read writer schema %x: %w", fp, err)
	}
	return NewSchema(table, nil, d)
}

// explain adds to a stop what is known of the columns that the service misses; p.mu is held.
func (p *Partition) explain(c *recovery.Cause) {
	w, t := p.known.writers[c.Schema], p.known.table
	if c.Class != retry.ExtraFields || w == nil || t == nil {
		return
	}
	md, err := message(w.descriptor)
	if err != nil {
		return // the service's own words are there
	}
	if extra := extraColumns(md, t.GetFields(), ""); len(extra) > 0 {
		c.Detail += fmt.Sprintf(": the writer schema has columns that the table doesn't have: %s: give it columns of these names, open batches need them",
			strings.Join(extra, ", "))
	} else {
		c.Detail += ": the table has all columns of the writer schema, but they did not reach the service's backends in time"
	}
}

// extraColumns returns the paths of a writer schema's fields that a table has no column for. Names
// match without case (case 60); an annotated name wins (case 61).
func extraColumns(md protoreflect.MessageDescriptor, columns []*storagepb.TableFieldSchema, under string) (extra []string) {
	for i := range md.Fields().Len() {
		f := md.Fields().Get(i)
		name := string(f.Name())
		if annotated, ok := proto.GetExtension(f.Options(), storagepb.E_ColumnName).(string); ok && annotated != "" {
			name = annotated
		}
		at := slices.IndexFunc(columns, func(c *storagepb.TableFieldSchema) bool { return strings.EqualFold(c.GetName(), name) })
		switch {
		case at < 0:
			extra = append(extra, under+name)
		case columns[at].GetType() == storagepb.TableFieldSchema_STRUCT && f.Message() != nil:
			extra = append(extra, extraColumns(f.Message(), columns[at].GetFields(), under+name+".")...)
		}
	}
	return extra
}
