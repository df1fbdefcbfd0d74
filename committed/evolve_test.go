package committed_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// follower writes rows {"id": i, ...} as a caller does that lives with a changing table: it asks for the
// schema before each batch, and names the one that it encoded with.
type follower struct {
	b      *bench
	p      *committed.Partition
	schema *committed.Schema
	enc    *rows.Encoder
	next   int64
	from   int64 // the first row under schema
	sent   []*committed.Result
}

// extra gives a row its columns besides id, under the schema that it is encoded with.
type extra func(s *committed.Schema, id int64) string

// note fills the column note where there is one.
func note(s *committed.Schema, id int64) string {
	if has(s, "note") {
		return fmt.Sprintf(`, "note": "n%d"`, id)
	}
	return ""
}

func has(s *committed.Schema, column string) bool {
	return slices.ContainsFunc(s.Table().GetFields(), func(f *storagepb.TableFieldSchema) bool { return f.Name == column })
}

// append hands over one batch of ten rows.
func (f *follower) append(columns extra) {
	f.b.t.Helper()
	if s := f.p.Schema(); s != f.schema {
		var err error
		f.enc, err = rows.Compile(s.Table())
		require.NoError(f.b.t, err)
		f.schema, f.from = s, f.next
	}
	batch := committed.Batch{After: position(f.next), Position: position(f.next + 10), Schema: f.schema}
	for id := f.next; id < f.next+10; id++ {
		row, err := f.enc.Append(nil, fmt.Appendf(nil, `{"id": %d%s}`, id, columns(f.schema, id)))
		require.NoError(f.b.t, err)
		batch.Rows = append(batch.Rows, row)
	}
	r, err := f.p.Append(f.b.ctx(), batch)
	require.NoError(f.b.t, err)
	f.next += 10
	f.sent = append(f.sent, r)
}

// landed waits for everything, and returns the decoded rows after checking their ids.
func (f *follower) landed() []map[string]any {
	f.b.t.Helper()
	f.b.requireLanded(f.sent)
	return f.b.values(f.next)
}

// values returns the table's rows, each decoded under the writer schema that it was sent with.
func (b *bench) values(n int64) []map[string]any {
	b.t.Helper()
	var all []map[string]any
	for i, r := range b.srv.Rows(table) {
		v, err := r.Values()
		require.NoError(b.t, err)
		require.EqualValues(b.t, i, v["id"], "row %d", i)
		all = append(all, v)
	}
	require.Len(b.t, all, int(n))
	return all
}

// requireNotes checks that the rows have a note from one on, and none before.
func (b *bench) requireNotes(all []map[string]any, from int64) {
	b.t.Helper()
	for i, v := range all {
		if int64(i) < from {
			require.NotContains(b.t, v, "note", "row %d", i)
		} else {
			require.Equal(b.t, fmt.Sprintf("n%d", i), v["note"], "row %d", i)
		}
	}
}

func (b *bench) follow(name string, frozen bool) *follower {
	return &follower{b: b, p: b.partition(name, frozen)}
}

func (b *bench) schema(ts *storagepb.TableSchema) *committed.Schema {
	s, err := committed.NewSchema(table, ts, nil)
	require.NoError(b.t, err)
	return s
}

// If it fails, a new column needs a restart, or costs rows, duplicates, or a connection for every word of it.
func TestNewColumnWhileWriting(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		// Every success tells of the change, for ever.
		b := newBench(t, committed.Options{}, emulator.Options{Propagation: emulator.Propagation{UpdatedSchemaTimes: 1 << 30}})
		f := b.follow("a", frozen)
		first := f.p.Schema()
		for range 5 {
			f.append(note)
		}
		require.NoError(t, b.srv.AlterTable(table, wideSchema()))
		for f.p.Schema() == first {
			f.append(note)
		}
		for range 50 {
			f.append(note)
		}
		b.requireNotes(f.landed(), f.from)
		require.True(t, proto.Equal(wideSchema(), f.p.Schema().Table()))
		require.Equal(t, b.schema(wideSchema()).Fingerprint(), f.p.Schema().Fingerprint())
		got := b.take()
		require.Equal(t, []*committed.Schema{f.p.Schema()}, got.schemas)
		require.Empty(t, got.waits)
		require.Empty(t, got.again)
		require.EqualValues(t, 2, b.srv.Stats().CallsEver, "one connection for each writer schema")
		require.Len(t, b.srv.Streams(table)[1:], 1)
		b.requireSound()
	}
}

// If it fails, a caller that doesn't follow the schema has its rows sent under another one than they
// were encoded with as soon as the table changes: values in wrong columns.
func TestBatchWithoutSchemaHasTheConfiguredOne(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	p := b.partition("a", true)
	require.NoError(t, b.srv.AlterTable(table, wideSchema()))
	b.requireLanded(b.append(p, 0, 3))
	require.True(t, has(p.Schema(), "note"))
	b.requireLanded(b.append(p, 3, 6))
	b.requireRows(60)
	require.EqualValues(t, 1, b.srv.Stats().CallsEver)
	for _, r := range b.srv.Rows(table) {
		require.True(t, proto.Equal(b.schema(idSchema()).Descriptor(), r.Descriptor))
	}
}

// If it fails, partitions on one table lose rows or order when it changes under all of them at once.
func TestManyPartitionsOnAChangingTable(t *testing.T) {
	b := newBench(t, committed.Options{MaxConnections: 8}, emulator.Options{
		Propagation: emulator.Propagation{Delay: 20 * time.Millisecond, Jitter: 50 * time.Millisecond}, Seed: 7,
	})
	const partitions, batches = 16, 30
	var all sync.WaitGroup
	half := make(chan struct{}, partitions)
	for n := range partitions {
		f := b.follow(fmt.Sprint(n), n%2 == 0)
		all.Go(func() {
			for i := range batches {
				if i == batches/2 {
					half <- struct{}{}
				}
				if i == batches-5 { // as on an unknown field
					for !has(f.p.Schema(), "note") {
						if _, err := f.p.Refresh(b.ctx()); err != nil {
							t.Error(err)
							return
						}
					}
				}
				f.append(note)
			}
			b.requireLanded(f.sent)
		})
	}
	<-half
	require.NoError(t, b.srv.AlterTable(table, wideSchema()))
	all.Wait()
	next := map[string]int64{}
	with := map[string]int{}
	for _, r := range b.srv.Rows(table) {
		v, err := r.Values()
		require.NoError(t, err)
		require.EqualValues(t, next[r.Stream], v["id"])
		next[r.Stream]++
		if v["note"] != nil {
			with[r.Stream]++
		}
	}
	require.Len(t, next, partitions)
	for stream, n := range next {
		require.EqualValues(t, batches*10, n)
		require.GreaterOrEqual(t, with[stream], 50)
	}
	b.requireSound()
}

// If it fails, a change in the middle of a rotation loses what is bound anew, or sends it under the wrong schema.
func TestSchemaChangesDuringARotation(t *testing.T) {
	var b *bench
	sealed := make(chan struct{}, 100)
	opt := committed.Options{Events: committed.Events{Sealed: func(ledger.Key, uint64, ledger.Seal) { sealed <- struct{}{} }}}
	b = newBench(t, opt, emulator.Options{SoftLimit: 400})
	f := b.follow("a", true)
	f.append(note)
	b.requireLanded(f.sent)
	require.NoError(t, b.srv.AlterTable(table, wideSchema()))
	big := batch(10, 210) // too large: replaced and split, again and again
	r, err := f.p.Append(b.ctx(), big)
	require.NoError(t, err)
	f.next, f.sent = 210, append(f.sent, r)
	<-sealed
	_, err = f.p.Refresh(b.ctx())
	require.NoError(t, err)
	f.append(note)
	b.requireNotes(f.landed(), 210)
	require.True(t, has(f.p.Schema(), "note"))
	b.requireSound()
}
