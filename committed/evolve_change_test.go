package committed_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
)

// If it fails, an unknown field in the data stops a pipeline although the table has the column by now, or a
// schema that is ahead of the service's backends (cases 11, 69) stops the partition.
func TestRefreshIsAheadOfTheBackends(t *testing.T) {
	emu := emulator.Options{Propagation: emulator.Propagation{Delay: 400 * time.Millisecond}}
	inBubble(t, committed.Options{}, emu, func(t *testing.T, b *bench) {
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
	b := newBench(t, committed.Options{Events: events}, emulator.Options{Propagation: emulator.Propagation{Delay: 400 * time.Millisecond}})
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
	select {
	case err = <-unusable:
	default: // the partition has waited for the backends: it was told then
	}
	require.ErrorContains(t, err, "derive a writer schema for "+table)
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
		Propagation: emulator.Propagation{Delay: 400 * time.Millisecond},
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
