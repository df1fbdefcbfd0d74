package committed_test

import (
	"context"
	"errors"
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
	"github.com/eowriter/eowriter/recovery"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
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
		f.schema = s
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
		from := f.next
		for range 50 {
			f.append(note)
		}
		all := f.landed()
		b.requireNotes(all, from)
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

// If it fails, an unknown field in the data stops a pipeline although the table has the column by now, or a
// schema that is ahead of the service's backends (cases 11, 69) stops the partition.
func TestRefreshIsAheadOfTheBackends(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{Propagation: emulator.Propagation{Delay: 100 * time.Millisecond}})
	f := b.follow("a", true)
	f.append(note)
	same, err := f.p.Refresh(b.ctx())
	require.NoError(t, err)
	require.Same(t, f.p.Schema(), same)
	require.NoError(t, b.srv.AlterTable(table, wideSchema()))
	fresh, err := f.p.Refresh(b.ctx())
	require.NoError(t, err)
	require.NotSame(t, same, fresh)
	require.Same(t, f.p.Schema(), fresh)
	from := f.next
	f.append(note)
	b.requireNotes(f.landed(), from)
	waits := b.take().waits
	require.NotEmpty(t, waits)
	for _, w := range waits {
		require.Equal(t, recovery.Propagation, w)
	}
	require.NoError(t, b.w.Close(b.ctx()))
	_, err = f.p.Refresh(b.ctx())
	require.ErrorIs(t, err, committed.ErrClosed)
}

// If it fails, a crash in the middle of a change leaves batches that are sent under the wrong writer
// schema, or not at all.
func TestCrashWithOpenBatchesOfTwoSchemas(t *testing.T) {
	for _, c := range []struct{ frozen, wide bool }{{false, false}, {false, true}, {true, false}, {true, true}} {
		t.Run(fmt.Sprintf("frozen %v, opened with the new one %v", c.frozen, c.wide), func(t *testing.T) {
			b := newBench(t, committed.Options{Backoff: slow()}, emulator.Options{Faults: []emulator.Fault{{Kind: emulator.CloseBefore, After: 2}}})
			f := b.follow("a", c.frozen)
			f.append(note) // lands
			b.requireLanded(f.sent)
			f.append(note)
			f.append(note)
			require.NoError(t, b.srv.AlterTable(table, wideSchema()))
			_, err := f.p.Refresh(b.ctx())
			require.NoError(t, err)
			from := f.next
			f.append(note)
			f.append(note)
			for _, r := range f.sent {
				require.NoError(t, r.Stored(b.ctx()))
			}
			b.close()
			b.srv.ClearFaults()
			b.opt.Backoff.Initial, b.opt.Backoff.Max = time.Millisecond, time.Millisecond
			b.open()
			cfg := b.config("a", c.frozen)
			if c.wide {
				cfg.Schema = b.schema(wideSchema())
			}
			if !c.frozen {
				cfg.Replay = noted(from).replay
			}
			f.p, err = b.w.Partition(b.ctx(), cfg)
			require.NoError(t, err)
			require.Len(t, f.p.Found(), 4)
			if !c.wide {
				_, err = f.p.Refresh(b.ctx())
				require.NoError(t, err)
			}
			f.sent, f.schema = nil, nil
			f.append(note)
			b.requireNotes(f.landed(), from)
			b.requireSound()
		})
	}
}

// noted is a source whose rows have a note from one on.
func noted(from int64) *source {
	return &source{spoil: func(r *committed.Replayed) error {
		for i, row := range r.Rows {
			if id := rowIDOf(row); id >= from {
				r.Rows[i] = protowire.AppendString(protowire.AppendTag(row, 2, protowire.BytesType), fmt.Sprintf("n%d", id))
			}
		}
		return nil
	}}
}

func rowIDOf(row []byte) int64 {
	_, _, n := protowire.ConsumeTag(row)
	v, _ := protowire.ConsumeVarint(row[n:])
	return int64(v)
}

// If it fails, a dropped column stops a caller who follows the schema.
func TestDroppedColumnIsFollowed(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{
		Tables:      map[string]*storagepb.TableSchema{table: wideSchema()},
		Propagation: emulator.Propagation{DropGrace: time.Hour},
	})
	cfg := b.config("a", true)
	cfg.Schema = b.schema(wideSchema())
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	f := &follower{b: b, p: p}
	f.append(note)
	b.requireLanded(f.sent)
	require.NoError(t, b.srv.AlterTable(table, idSchema()))
	f.append(note) // its values go nowhere: the service's grace
	b.requireLanded(f.sent)
	require.False(t, has(p.Schema(), "note"))
	f.append(note)
	all := f.landed()
	require.NotContains(t, all[20], "note")
	require.EqualValues(t, 2, b.srv.Stats().CallsEver)
}

// If it fails, a column that is dropped soon after it was added is written to until the service refuses.
func TestColumnAddedAndDropped(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{Propagation: emulator.Propagation{DropGrace: time.Hour}})
	f := b.follow("a", true)
	for _, to := range []*storagepb.TableSchema{wideSchema(), idSchema()} {
		require.NoError(t, b.srv.AlterTable(table, to))
		eventually(t, "the service tells", func() bool {
			f.append(note)
			b.requireLanded(f.sent)
			return proto.Equal(to, f.p.Schema().Table())
		})
		f.append(note) // on a connection of the new schema
		b.requireLanded(f.sent)
	}
	require.NotContains(t, f.landed()[f.next-1], "note")
	got := b.take()
	require.Len(t, got.schemas, 2)
	require.Empty(t, got.waits)
}

// If it fails, batches with a dropped column are waited for without end (case 70), are lost,
// or nobody is told which column it is.
func TestDroppedColumnInTheData(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{
		Tables:      map[string]*storagepb.TableSchema{table: wideSchema()},
		Propagation: emulator.Propagation{DropGrace: -1},
	})
	cfg := b.config("a", true)
	cfg.Schema = b.schema(wideSchema())
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	f := &follower{b: b, p: p}
	f.append(note)
	b.requireLanded(f.sent)
	require.NoError(t, b.srv.AlterTable(table, idSchema()))
	f.append(note)
	e := b.requireStopped(p, committed.ErrBlocked)
	require.Contains(t, e.Error(), "columns that the table doesn't have: note: give it columns of these names")
	require.EqualValues(t, 10, e.Offset)
	b.values(10)
	waits := len(b.take().waits)
	require.True(t, waits >= 40 && waits <= 45, "%d: the bound begins anew with a new schema", waits)
	require.False(t, has(p.Schema(), "note"), "the partition looked while it waited")

	// Everything is kept: the next start finds the batch, and the same reason.
	b.reopen()
	p = b.partition("a", true)
	require.Len(t, p.Found(), 1)
	require.Contains(t, b.requireStopped(p, committed.ErrBlocked).Error(), "columns that the table doesn't have: note")
	b.requireSound()
}

// If it fails, a stream that is replaced after a column was dropped is probed under the old schema for
// ever, or with a row of one schema under another: id has the dropped column's place on the wire.
func TestProbeAfterDroppedColumn(t *testing.T) {
	before := idSchema()
	before.Fields = append([]*storagepb.TableFieldSchema{{
		Name: "note", Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_REQUIRED,
	}}, before.Fields...)
	var probes []int64 // bytes of the probes' rows
	emu := emulator.Options{Tables: map[string]*storagepb.TableSchema{table: before}, OnAppend: func(r emulator.Request) {
		if r.Offset == 1<<62 {
			probes = append(probes, r.Bytes)
		}
	}}
	inBubble(t, committed.Options{StreamAge: time.Hour}, emu, func(t *testing.T, b *bench) {
		cfg := b.config("a", true)
		cfg.Schema = b.schema(before)
		p, err := b.w.Partition(b.ctx(), cfg)
		require.NoError(t, err)
		f := &follower{b: b, p: p}
		f.append(note)
		b.requireLanded(f.sent)
		time.Sleep(30 * time.Minute) // nobody is connected any more
		require.NoError(t, b.srv.AlterTable(table, idSchema()))
		time.Sleep(time.Hour)
		require.EqualValues(t, 1, b.srv.Stats().Finalizes)
		require.Equal(t, []recovery.WaitKind{recovery.Propagation}, b.take().waits)
		require.False(t, has(p.Schema(), "note"))
		require.NoError(t, p.Err())
		f.append(note)
		require.NotContains(t, f.landed()[10], "note")
		require.Equal(t, []int64{4, 2, 2}, probes, "both columns at first, then id alone")
	})
}

// If it fails, a table's schema that no writer schema can be made from stops a partition that could go on
// with the old one, or nobody hears of it.
func TestUnusableSchema(t *testing.T) {
	strange := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, next grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := next(ctx, method, req, reply, cc, opts...)
		if ws, ok := reply.(*storagepb.WriteStream); ok && ws.GetTableSchema() != nil {
			ws.TableSchema.Fields[0].Type = 99
		}
		return err
	}
	unusable := make(chan error, 100)
	events := committed.Events{SchemaUnusable: func(_ ledger.Key, err error) { unusable <- err }}
	b := newBench(t, committed.Options{Events: events}, emulator.Options{Propagation: emulator.Propagation{Delay: 100 * time.Millisecond}})
	b.close()
	b.opt.ClientOptions = append(b.opt.ClientOptions, option.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(strange)))
	b.open()
	p := b.partition("a", true)
	first := p.Schema()
	_, err := p.Refresh(b.ctx())
	require.ErrorContains(t, err, "derive a writer schema for "+table)
	require.NoError(t, b.srv.AlterTable(table, wideSchema()))
	next := batch(0, 10)
	next.Schema = b.schema(wideSchema()) // not known to the backends yet
	r, err := p.Append(b.ctx(), next)
	require.NoError(t, err)
	b.requireLanded([]*committed.Result{r})
	require.ErrorContains(t, <-unusable, "derive a writer schema for "+table)
	require.Same(t, first, p.Schema())
	b.requireRows(10)
}

// If it fails, one of the changes that a table allows needs a restart.
func TestSchemaChangesThatAreFollowed(t *testing.T) {
	column := func(name string, typ storagepb.TableFieldSchema_Type, mode storagepb.TableFieldSchema_Mode, fields ...*storagepb.TableFieldSchema) *storagepb.TableFieldSchema {
		return &storagepb.TableFieldSchema{Name: name, Type: typ, Mode: mode, Fields: fields}
	}
	with := func(c *storagepb.TableFieldSchema) *storagepb.TableSchema {
		s := idSchema()
		s.Fields = append(s.Fields, c)
		return s
	}
	const str, nullable, required = storagepb.TableFieldSchema_STRING, storagepb.TableFieldSchema_NULLABLE, storagepb.TableFieldSchema_REQUIRED
	short, long := column("s", str, nullable), column("s", str, nullable)
	short.MaxLength, long.MaxLength = 3, 10
	for _, c := range []struct {
		name          string
		before, after *storagepb.TableFieldSchema
		old, new      string // the column's JSON
		want          any    // its value after the change
	}{
		{"a field of a record", column("r", storagepb.TableFieldSchema_STRUCT, nullable, column("a", str, nullable)),
			column("r", storagepb.TableFieldSchema_STRUCT, nullable, column("a", str, nullable), column("b", str, nullable)),
			`, "r": {"a": "x"}`, `, "r": {"b": "y"}`, map[string]any{"b": "y"}},
		{"a relaxed column", column("s", str, required), column("s", str, nullable), `, "s": "x"`, "", nil},
		{"a longer string", short, long, `, "s": "abc"`, `, "s": "abcdefgh"`, "abcdefgh"},
		{"a repeated column", nil, column("l", str, storagepb.TableFieldSchema_REPEATED), "", `, "l": ["x"]`, []any{"x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := idSchema()
			if c.before != nil {
				before = with(c.before)
			}
			b := newBench(t, committed.Options{}, emulator.Options{
				Tables:      map[string]*storagepb.TableSchema{table: before},
				Propagation: emulator.Propagation{Delay: 50 * time.Millisecond},
			})
			cfg := b.config("a", true)
			cfg.Schema = b.schema(before)
			p, err := b.w.Partition(b.ctx(), cfg)
			require.NoError(t, err)
			f := &follower{b: b, p: p}
			old := func(*committed.Schema, int64) string { return c.old }
			f.append(old)
			b.requireLanded(f.sent)
			require.NoError(t, b.srv.AlterTable(table, with(c.after)))
			first := p.Schema()
			eventually(t, "the service tells", func() bool {
				f.append(old)
				b.requireLanded(f.sent)
				return p.Schema() != first
			})
			require.Empty(t, b.take().waits)
			from := f.next
			f.append(func(*committed.Schema, int64) string { return c.new })
			require.Equal(t, c.want, f.landed()[from][c.after.Name])
			require.EqualValues(t, 2, b.srv.Stats().CallsEver, "each goes over a connection that began with the new schema")
		})
	}
}

// If it fails, a widened type that the backends don't know yet stops the partition (case 57), or one that
// is plainly wrong is waited for.
func TestWidenedType(t *testing.T) {
	number := func(typ storagepb.TableFieldSchema_Type) *storagepb.TableSchema {
		s := idSchema()
		s.Fields = append(s.Fields, &storagepb.TableFieldSchema{Name: "n", Type: typ, Mode: storagepb.TableFieldSchema_NULLABLE})
		return s
	}
	b := newBench(t, committed.Options{}, emulator.Options{
		Tables:      map[string]*storagepb.TableSchema{table: number(storagepb.TableFieldSchema_INT64)},
		Propagation: emulator.Propagation{Delay: 100 * time.Millisecond},
	})
	cfg := b.config("a", true)
	cfg.Schema = b.schema(number(storagepb.TableFieldSchema_INT64))
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	require.NoError(t, b.srv.AlterTable(table, number(storagepb.TableFieldSchema_NUMERIC)))
	wide, err := p.Refresh(b.ctx())
	require.NoError(t, err)
	next := batch(0, 10)
	next.Schema = wide
	for i := range next.Rows { // 1 is 10^9 units
		next.Rows[i] = protowire.AppendBytes(protowire.AppendTag(next.Rows[i], 2, protowire.BytesType), []byte{0, 0xca, 0x9a, 0x3b})
	}
	r, err := p.Append(b.ctx(), next)
	require.NoError(t, err)
	b.requireLanded([]*committed.Result{r})
	require.NotEmpty(t, b.take().waits)

	cfg.Name = "b"
	cfg.Schema = b.schema(number(storagepb.TableFieldSchema_BOOL))
	_, err = b.w.Partition(b.ctx(), cfg)
	require.ErrorIs(t, err, committed.ErrBlocked)
	require.ErrorContains(t, err, "mismatched with BigQuery field at root.n")
	require.Empty(t, b.take().waits)
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

// If it fails, a caller's own descriptor is replaced by one that it doesn't encode with.
func TestOwnDescriptorIsNeverChanged(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	cfg := b.config("a", true)
	own, err := committed.NewSchema(table, idSchema(), cfg.Schema.Descriptor())
	require.NoError(t, err)
	cfg.Schema = own
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	require.NoError(t, b.srv.AlterTable(table, wideSchema()))
	b.requireLanded(b.append(p, 0, 3))
	require.Same(t, own, p.Schema())
	got, err := p.Refresh(b.ctx())
	require.NoError(t, err)
	require.Same(t, own, got)
	require.Empty(t, b.take().schemas)

	// The caller changes it with a batch.
	wide, err := committed.NewSchema(table, nil, b.schema(wideSchema()).Descriptor())
	require.NoError(t, err)
	next := batch(30, 40)
	next.Schema = wide
	r, err := p.Append(b.ctx(), next)
	require.NoError(t, err)
	b.requireLanded([]*committed.Result{r})
	require.Same(t, wide, p.Schema())
	b.requireRows(40)
}

// If it fails, a batch is bound to a schema that is not its table's, or grows past the service's limit with it.
func TestBatchSchemaIsChecked(t *testing.T) {
	b := newBench(t, committed.Options{MaxRequestBytes: 1000}, emulator.Options{Tables: map[string]*storagepb.TableSchema{table: wideSchema()}})
	p := b.partition("a", true)
	other, err := committed.NewSchema(table+"2", idSchema(), nil)
	require.NoError(t, err)
	one := batch(0, 1)
	one.Schema = other
	_, err = p.Append(b.ctx(), one)
	require.ErrorContains(t, err, "the batch's schema is of another table, "+table+"2")

	// What just fits with the short descriptor doesn't with the long one.
	fits := committed.Batch{Position: position(1), Rows: [][]byte{nil}}
	for {
		fits.Rows[0] = append(fits.Rows[0], row(1)...)
		if _, err = p.Append(b.ctx(), committed.Batch{After: position(9), Position: position(10), Rows: fits.Rows}); err != nil && !errors.Is(err, committed.ErrOutOfOrder) {
			break
		}
	}
	require.ErrorIs(t, err, committed.ErrTooLarge)
	fits.Rows[0] = fits.Rows[0][2:]
	fits.Schema = b.schema(wideSchema())
	_, err = p.Append(b.ctx(), fits)
	require.ErrorIs(t, err, committed.ErrTooLarge)
	fits.Schema = nil
	r, err := p.Append(b.ctx(), fits)
	require.NoError(t, err)
	b.requireLanded([]*committed.Result{r})
}

// If it fails, a source whose table lost a column while batches were open can't write any more, or its rows go
// under the writer schema that they were bound with: values in wrong columns.
func TestReplayWithThePresentEncoder(t *testing.T) {
	column := func(name string) *storagepb.TableFieldSchema {
		return &storagepb.TableFieldSchema{Name: name, Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_NULLABLE}
	}
	before, after := idSchema(), idSchema()
	before.Fields = append(before.Fields, column("gone"), column("note"))
	after.Fields = append(after.Fields, column("note")) // where gone was on the wire
	b := newBench(t, committed.Options{Backoff: slow()}, emulator.Options{
		Tables: map[string]*storagepb.TableSchema{table: before},
		Faults: []emulator.Fault{{Kind: emulator.CloseBefore, After: 2}},
	})
	// encode is the source's encoder: what it reads stays the same.
	encode := func(s *committed.Schema, from, to int64) committed.Batch {
		enc, err := rows.Compile(s.Table())
		require.NoError(t, err)
		batch := committed.Batch{After: position(from), Position: position(to), Schema: s}
		var read [][]byte
		for id := from; id < to; id++ {
			gone := ""
			if has(s, "gone") {
				gone = `, "gone": "x"`
			}
			row, err := enc.Append(nil, fmt.Appendf(nil, `{"id": %d, "note": "n%d"%s}`, id, id, gone))
			require.NoError(t, err)
			batch.Rows, read = append(batch.Rows, row), append(read, position(id))
		}
		batch.Digest = ledger.DigestOf(read)
		return batch
	}
	cfg := b.config("a", false)
	cfg.Schema = b.schema(before)
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	var results []*committed.Result
	for i := int64(0); i < 40; i += 10 {
		r, err := p.Append(b.ctx(), encode(cfg.Schema, i, i+10))
		require.NoError(t, err)
		require.NoError(t, r.Stored(b.ctx()))
		results = append(results, r)
	}
	b.requireLanded(results[:1])
	b.close()
	b.srv.ClearFaults()
	require.NoError(t, b.srv.AlterTable(table, after))
	b.opt.Backoff.Initial, b.opt.Backoff.Max = time.Millisecond, time.Millisecond
	b.open()

	bound := cfg.Schema.Fingerprint()
	cfg.Schema = b.schema(after)
	cfg.Replay = func(_ context.Context, r committed.Range) (committed.Replayed, error) {
		if r.Schema != bound {
			t.Errorf("asked for rows of writer schema %x", r.Schema)
		}
		again := encode(cfg.Schema, at(r.Before), at(r.After))
		return committed.Replayed{Rows: again.Rows, Digest: again.Digest, Schema: again.Schema}, nil
	}
	p, err = b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	r, err := p.Append(b.ctx(), encode(cfg.Schema, 40, 50))
	require.NoError(t, err)
	b.requireLanded([]*committed.Result{r})
	all := b.values(50)
	b.requireNotes(all, 0)
	require.Equal(t, "x", all[9]["gone"])
	require.NotContains(t, all[10], "gone")
	require.Empty(t, b.take().waits[1:], "but for the one before the crash")
	require.Len(t, b.srv.Streams(table)[1:], 1)
	b.requireSound()
}
