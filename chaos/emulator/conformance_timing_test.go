package emulator

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

const extra = storagepb.StorageError_SCHEMA_MISMATCH_EXTRA_FIELDS

// Each subtest is a case of docs/service-facts.md, with its durations on a virtual clock: if it failed, a writer that lives
// through the change here might not live through it at the service.
func TestConformanceInVirtualTime(t *testing.T) {
	for _, c := range timingCases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(newVirtualBench(t, c.opt)) })
		})
	}
}

// newVirtualBench is a bench with a listener in memory, for use in a bubble of synctest.
func newVirtualBench(t *testing.T, opt Options) *bench {
	t.Helper()
	opt.Listener = bufconn.Listen(1 << 20)
	if opt.Tables == nil {
		opt.Tables = map[string]*storagepb.TableSchema{orders: ordersSchema()}
	}
	srv, err := Start(opt)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Close()) })
	client, closeClient := googleClient(t, srv)
	t.Cleanup(closeClient)
	return &bench{T: t, srv: srv, client: client, patience: 30 * 24 * time.Hour}
}

// wider is ordersSchema with a column more.
func wider() *storagepb.TableSchema {
	s := ordersSchema()
	s.Fields = append(s.Fields, &storagepb.TableFieldSchema{Name: "more", Type: storagepb.TableFieldSchema_STRING})
	return s
}

// without is ordersSchema without the column at index i.
func without(i int) *storagepb.TableSchema {
	s := ordersSchema()
	s.Fields = append(s.Fields[:i:i], s.Fields[i+1:]...)
	return s
}

func (b *bench) alter(schema *storagepb.TableSchema) {
	b.Helper()
	require.NoError(b, b.srv.AlterTable(orders, schema))
}

func (b *bench) schemaOf(name string) *storagepb.TableSchema {
	b.Helper()
	w, err := b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{Name: name, View: storagepb.WriteStreamView_FULL})
	require.NoError(b, err)
	return w.GetTableSchema()
}

// openAs is open with another writer's schema.
func (b *bench) openAs(stream string, change func(d *descriptorpb.DescriptorProto)) *call {
	b.Helper()
	c := b.open(stream)
	change(c.desc)
	return c
}

func withMore(d *descriptorpb.DescriptorProto) {
	d.Field = append(d.Field, field("more", 8, tString))
}

func withoutName(d *descriptorpb.DescriptorProto) { d.Field = append(d.Field[:1:1], d.Field[2:]...) }

// wantExtra wants the call to end as one whose schema has a column too many.
func (c *call) wantExtra(column string) {
	c.Helper()
	c.send(noOffset, orderRows(0, 1))
	st := c.ends(codes.InvalidArgument)
	require.Equal(c, "Input schema has more fields than BigQuery schema, extra fields: '"+column+"' Entity: "+c.stream, st.Message())
	require.Equal(c, extra, storageOf(st))
}

func (b *bench) notFound(err error) {
	b.Helper()
	require.Equal(b, codes.NotFound, status.Code(err), err)
}

var timingCases = []conformanceCase{
	{"case-11 case-69 the metadata know the schema before AppendRows does", Options{Propagation: Propagation{Delay: time.Minute}}, func(b *bench) {
		name := b.create()
		b.alter(wider())
		require.True(b, proto.Equal(wider(), b.schemaOf(name)))
		require.True(b, proto.Equal(wider(), b.schemaOf(b.create())))
		b.openAs(name, withMore).wantExtra("more")
		b.open(name).ok(0, orderRows(0, 1), 0)
		time.Sleep(time.Minute - time.Second)
		b.openAs(name, withMore).wantExtra("more")
		time.Sleep(time.Second)
		b.openAs(name, withMore).ok(1, [][]byte{bytesField(order(1, "x"), 8, "new")}, 1)
		b.open(name).ok(2, orderRows(2, 1), 2) // the older writer's schema keeps working
	}},
	{"case-69 on a connection per backend", Options{Seed: 5, Propagation: Propagation{Delay: time.Second, Jitter: time.Minute}}, func(b *bench) {
		b.alter(wider())
		time.Sleep(31 * time.Second)
		refused := 0
		for range 40 {
			c := b.openAs(defaultOf, withMore)
			c.send(noOffset, orderRows(0, 1))
			if _, err := c.rpc.Recv(); err != nil {
				require.Equal(b, extra, storageOf(status.Convert(err)))
				refused++
				continue
			}
			require.NoError(b, c.rpc.CloseSend())
		}
		require.InDelta(b, 20, refused, 15)
		time.Sleep(30 * time.Second)
		for range 40 {
			require.Nil(b, b.openAs(defaultOf, withMore).append(noOffset, orderRows(0, 1)).GetError())
		}
	}},
	{"case-68 updated_schema when the backend noticed, on successes only", Options{
		Propagation: Propagation{Delay: 30 * time.Second, UpdatedSchemaDelay: 10 * time.Second},
	}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		b.alter(wider())
		young := b.open(b.create())
		young.ok(0, orderRows(4, 1), 0)
		time.Sleep(40*time.Second - time.Microsecond)
		require.Nil(b, c.ok(1, orderRows(1, 1), 1).GetUpdatedSchema())
		time.Sleep(time.Microsecond)
		require.Nil(b, c.refused(0, orderRows(0, 1), codes.AlreadyExists, exists).GetUpdatedSchema())
		require.Nil(b, c.refused(9, orderRows(0, 1), codes.OutOfRange, beyond).GetUpdatedSchema())
		require.Nil(b, c.refused(2, [][]byte{bytesField(nil, 2, "no id")}, codes.InvalidArgument, 0).GetUpdatedSchema())
		require.True(b, proto.Equal(wider(), c.ok(2, orderRows(2, 1), 2).GetUpdatedSchema()))
		require.Nil(b, c.ok(3, orderRows(3, 1), 3).GetUpdatedSchema())
		require.Nil(b, young.ok(1, orderRows(5, 1), 1).GetUpdatedSchema()) // opened after the change
	}},
	{"case-68 opened between two changes", Options{Propagation: Propagation{Delay: 30 * time.Second}}, func(b *bench) {
		b.alter(wider())
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		time.Sleep(10 * time.Second)
		widest := wider()
		widest.Fields = append(widest.Fields, &storagepb.TableFieldSchema{Name: "most", Type: storagepb.TableFieldSchema_STRING})
		b.alter(widest)
		require.Nil(b, c.ok(1, orderRows(1, 1), 1).GetUpdatedSchema())
		time.Sleep(20 * time.Second)
		require.Nil(b, c.ok(2, orderRows(2, 1), 2).GetUpdatedSchema())
		time.Sleep(10 * time.Second)
		require.True(b, proto.Equal(widest, c.ok(3, orderRows(3, 1), 3).GetUpdatedSchema()))
	}},
	{"case-68 told three times, and of the latest change only", Options{Propagation: Propagation{UpdatedSchemaTimes: 3}}, func(b *bench) {
		for _, name := range []string{b.create(), defaultOf} {
			c := b.open(name)
			require.Nil(b, c.append(noOffset, orderRows(0, 1)).GetUpdatedSchema())
			last := b.schemaOf(name)
			for range 2 {
				column := fmt.Sprintf("more%d", len(last.GetFields()))
				last.Fields = append(last.Fields, &storagepb.TableFieldSchema{Name: column, Type: storagepb.TableFieldSchema_STRING})
				b.alter(last)
			}
			for range 3 {
				require.True(b, proto.Equal(last, c.append(noOffset, orderRows(0, 1)).GetUpdatedSchema()))
			}
			require.Nil(b, c.append(noOffset, orderRows(0, 1)).GetUpdatedSchema())
		}
	}},
	{"case-70 dropped column: ignored 9 s, then rejected in-response", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		b.alter(without(1))
		require.True(b, proto.Equal(without(1), c.ok(1, orderRows(1, 1), 1).GetUpdatedSchema()))
		b.open(b.create()).wantExtra("name") // a new connection at once
		time.Sleep(9*time.Second - time.Microsecond)
		c.ok(2, orderRows(2, 1), 2)
		time.Sleep(time.Microsecond)
		for range 2 {
			resp := c.refused(3, orderRows(3, 1), codes.InvalidArgument, extra)
			require.Equal(b, "Input schema has more fields than BigQuery schema, extra fields: 'name' Entity: "+c.stream, resp.GetError().GetMessage())
			require.Nil(b, resp.GetUpdatedSchema())
			require.Empty(b, resp.GetRowErrors())
		}
		c.refused(1, orderRows(1, 1), codes.AlreadyExists, exists) // it lives on
		require.Equal(b, int64(3), b.end(c.stream))
		b.openAs(c.stream, withoutName).ok(3, [][]byte{varintField(nil, 1, 3)}, 3)
	}},
	{"case-70 with a delay and a grace of another length", Options{Propagation: Propagation{Delay: time.Minute, DropGrace: 3 * time.Second}}, func(b *bench) {
		old := b.open(b.create())
		old.ok(0, orderRows(0, 1), 0)
		b.alter(without(1))
		young := b.open(b.create()) // its backend knows the column still
		young.ok(0, orderRows(0, 1), 0)
		time.Sleep(63*time.Second - time.Microsecond)
		old.ok(1, orderRows(1, 1), 1)
		young.ok(1, orderRows(1, 1), 1)
		b.open(b.create()).wantExtra("name")
		time.Sleep(time.Microsecond)
		old.refused(2, orderRows(1, 1), codes.InvalidArgument, extra)
		young.refused(2, orderRows(1, 1), codes.InvalidArgument, extra)
	}},
	{"case-70 with rows looked at before the offset", Options{RowsFirst: true}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		b.alter(without(1))
		time.Sleep(9 * time.Second)
		c.refused(0, orderRows(0, 1), codes.InvalidArgument, extra)
		b.alter(ordersSchema()) // the column comes back
		c.refused(1, orderRows(1, 1), codes.InvalidArgument, extra)
		time.Sleep(9 * time.Second)
		c.ok(1, orderRows(1, 1), 1)
		require.Equal(b, Value{}, contents(b, b.srv, orders)[0][1]) // its old values don't
	}},
	{"case-70 without a grace; other changes don't end one", Options{Propagation: Propagation{DropGrace: -1}}, func(b *bench) {
		c := b.open(defaultOf)
		require.Nil(b, c.append(noOffset, orderRows(0, 1)).GetError())
		b.alter(wider())
		require.Nil(b, c.append(noOffset, orderRows(0, 1)).GetError())
		both := without(1)
		both.Fields = append(both.Fields, wider().GetFields()[7])
		b.alter(both)
		c.refused(noOffset, orderRows(0, 1), codes.InvalidArgument, extra)
		// The default stream takes another schema on the same connection.
		req := c.request(noOffset, [][]byte{varintField(nil, 1, 5)})
		req.WriteStream = defaultOf
		req.GetProtoRows().WriterSchema = &storagepb.ProtoSchema{ProtoDescriptor: message("Narrow", field("id", 1, tInt64))}
		require.NoError(b, c.rpc.Send(req))
		require.Nil(b, c.recv().GetError())
	}},
	{"case-71 relaxed REQUIRED: an open connection rejects, a fresh one accepts", Options{Propagation: Propagation{Delay: time.Minute}}, func(b *bench) {
		name := b.create()
		c := b.open(name)
		c.ok(0, orderRows(0, 1), 0)
		relaxed := ordersSchema()
		relaxed.Fields[0].Mode = storagepb.TableFieldSchema_NULLABLE
		b.alter(relaxed)
		missing := [][]byte{bytesField(nil, 2, "no id")}
		fresh := b.open(b.create())
		fresh.refused(0, missing, codes.InvalidArgument, 0) // before its backend knows
		time.Sleep(time.Minute)
		require.Len(b, c.refused(1, missing, codes.InvalidArgument, 0).GetRowErrors(), 1)
		c.ok(1, orderRows(1, 1), 1)
		b.open(name).ok(2, missing, 2)
		c = b.openAs(b.create(), func(d *descriptorpb.DescriptorProto) { d.Field = d.Field[1:] }) // not even in the schema
		c.ok(0, missing, 0)
	}},
	{"case-38 after a longer STRING: an open connection rejects, a fresh one accepts", Options{}, func(b *bench) {
		c := b.open(b.create())
		c.ok(0, orderRows(0, 1), 0)
		longer := ordersSchema()
		longer.Fields[1].MaxLength = 20
		b.alter(longer)
		long := [][]byte{order(1, "abcdefghijkl")}
		c.refused(1, long, codes.InvalidArgument, 0)
		b.open(c.stream).ok(1, long, 1)
	}},
	{"case-66 case-69 a schema sent on the default stream's open connection", Options{Propagation: Propagation{Delay: time.Minute}}, func(b *bench) {
		resend := func() *call {
			c := b.open(defaultOf)
			require.Nil(b, c.append(noOffset, orderRows(0, 1)).GetError())
			req := c.request(noOffset, [][]byte{bytesField(order(1, "x"), 8, "new")})
			req.WriteStream = defaultOf
			withMore(c.desc)
			req.GetProtoRows().WriterSchema = &storagepb.ProtoSchema{ProtoDescriptor: c.desc}
			require.NoError(b, c.rpc.Send(req))
			return c
		}
		b.alter(wider())
		require.Equal(b, extra, storageOf(resend().ends(codes.InvalidArgument)))
		time.Sleep(time.Minute)
		c := resend()
		require.Nil(b, c.recv().GetError())
		require.NoError(b, c.rpc.Send(c.request(noOffset, orderRows(2, 1)))) // names no stream
		c.ends(codes.InvalidArgument)
	}},
	{"case-24 with AbortFollowers", Options{AbortFollowers: true}, func(b *bench) {
		c := b.open(b.create())
		c.refused(5, orderRows(5, 1), codes.OutOfRange, beyond) // nothing failed before
		c.ok(0, orderRows(0, 1), 0)
		c.send(1, [][]byte{bytesField(nil, 2, "no id")})
		c.send(2, orderRows(2, 1))
		c.send(3, orderRows(3, 1))
		c.send(0, orderRows(0, 1))
		c.send(1, orderRows(1, 1))
		c.send(3, orderRows(3, 1))
		c.wantError(c.recv(), codes.InvalidArgument, 0)
		c.wantError(c.recv(), codes.Aborted, 0)
		c.wantError(c.recv(), codes.Aborted, 0)
		c.wantError(c.recv(), codes.AlreadyExists, exists)
		require.Nil(b, c.recv().GetError())
		c.wantError(c.recv(), codes.OutOfRange, beyond) // the failure was addressed
		require.Equal(b, []int64{0, 1}, b.ids())
	}},
	{"case-94 a stream expires after 3 days without requests", Options{IdleTimeout: 1000 * time.Hour}, func(b *bench) {
		used, unused := b.open(b.create()), b.create()
		used.ok(0, orderRows(0, 1), 0)
		time.Sleep(48 * time.Hour)
		used.refused(0, orderRows(0, 1), codes.AlreadyExists, exists) // traffic too
		time.Sleep(72*time.Hour - time.Microsecond)
		_, err := b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{Name: unused})
		b.notFound(err)
		require.Equal(b, noStream, storageOf(status.Convert(err)))
		b.schemaOf(used.stream)
		time.Sleep(time.Microsecond)
		info, ok := b.srv.Stream(used.stream)
		require.True(b, ok)
		require.True(b, info.Expired)
		used.send(1, orderRows(1, 1))
		require.Equal(b, noStream, storageOf(used.ends(codes.NotFound)))
		_, err = b.client.FinalizeWriteStream(b.context(), &storagepb.FinalizeWriteStreamRequest{Name: used.stream})
		require.Equal(b, noStream, storageOf(status.Convert(err)))
		b.schemaOf(defaultOf) // never
		require.Equal(b, []int64{0}, b.ids())
	}},
	{"case-94 with a time to live of its own, and without", Options{StreamTTL: time.Hour}, func(b *bench) {
		name := b.create()
		time.Sleep(time.Hour)
		c := b.open(name)
		c.send(0, orderRows(0, 1))
		require.Equal(b, noStream, storageOf(c.ends(codes.NotFound)))
		b = newVirtualBench(b.T, Options{StreamTTL: -1})
		name = b.create()
		time.Sleep(1000 * time.Hour)
		b.open(name).ok(0, orderRows(0, 1), 0)
	}},
	{"case-95 table made again: NOT_FOUND for a while, old ids dead", Options{Propagation: Propagation{TableDelay: 2 * time.Minute}}, func(b *bench) {
		old := b.create() // at once: the table was there from the start
		byDefault := b.open(defaultOf)
		require.Nil(b, byDefault.append(noOffset, orderRows(0, 1)).GetError())
		require.NoError(b, b.srv.DropTable(orders))
		require.NoError(b, b.srv.CreateTable(orders, ordersSchema()))
		unknown := func() {
			_, err := b.client.CreateWriteStream(b.context(), createRequest(orders))
			b.notFound(err)
			require.Equal(b, "Requested entity was not found.", status.Convert(err).Message())
			_, err = b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{Name: defaultOf})
			b.notFound(err)
			c := b.openAs(defaultOf, withMore) // no matter its schema
			c.send(noOffset, orderRows(0, 1))
			c.ends(codes.NotFound)
		}
		unknown()
		byDefault.send(noOffset, orderRows(1, 1))
		byDefault.ends(codes.NotFound)
		time.Sleep(2*time.Minute - time.Microsecond)
		unknown()
		time.Sleep(time.Microsecond)
		b.open(b.create()).ok(0, orderRows(0, 1), 0)
		_, err := b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{Name: old})
		b.notFound(err)
		c := b.open(old)
		c.send(0, orderRows(0, 1))
		c.ends(codes.NotFound)
		require.Len(b, b.ids(), 1)
	}},
}
