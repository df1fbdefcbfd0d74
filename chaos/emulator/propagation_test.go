package emulator

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"pgregory.net/rapid"
)

// If this failed, a run with Jitter could not be repeated from its seed, or a backend would be later than Options say.
func TestJitterIsDrawnFromTheSeed(t *testing.T) {
	lags := func(seed uint64) (all []time.Duration) {
		b := newBench(t, Options{Seed: seed, Propagation: Propagation{Delay: time.Second, Jitter: time.Minute}})
		st, err := b.srv.lookup(defaultOf)
		require.Nil(t, err)
		for open := range int64(100) {
			all = append(all, b.srv.newBackend(st, open).lag)
		}
		return all
	}
	want := lags(1)
	require.Equal(t, want, lags(1))
	require.NotEqual(t, want, lags(2))
	distinct := map[time.Duration]bool{}
	for _, lag := range want {
		require.GreaterOrEqual(t, lag, time.Second)
		require.Less(t, lag, time.Minute+time.Second)
		distinct[lag] = true
	}
	require.Greater(t, len(distinct), 50)
}

// If this failed, what a backend knows could go back in time, or be of a schema that came later.
func TestHistoryKnown(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h := new(history)
		at := time.Unix(0, 0)
		var times []time.Time
		for range rapid.IntRange(1, 10).Draw(r, "versions") {
			at = at.Add(time.Duration(rapid.IntRange(0, 5).Draw(r, "gap")))
			times = append(times, at)
			h.add(&storagepb.TableSchema{}, at)
		}
		for view := range 60 {
			want := 0
			for i, at := range times {
				if !at.After(time.Unix(0, int64(view))) {
					want = i
				}
			}
			require.Equal(r, want, h.known(time.Unix(0, int64(view))).number)
		}
	})
}

// If this failed, Options that mean nothing would be taken for something.
func TestPropagationRefusesNegatives(t *testing.T) {
	for _, p := range []Propagation{{Delay: -1}, {Jitter: -1}, {UpdatedSchemaDelay: -1}, {UpdatedSchemaTimes: -1}, {TableDelay: -1}} {
		_, err := Start(Options{Propagation: p})
		require.Error(t, err)
	}
}

// If this failed, a connection might never be told of the newest schema, or the race detector would see the schema
// change under those who read it.
func TestAlterTableDuringAppends(t *testing.T) {
	b := newBench(t, Options{})
	const changes = 30
	name := func(i int) string { return fmt.Sprintf("more%d", i) }
	var appenders sync.WaitGroup
	for range 3 {
		c := b.open(b.create())
		appenders.Go(func() {
			for i := int64(0); ; i++ {
				if c.rpc.Send(c.request(i, orderRows(i, 1))) != nil {
					break
				}
				resp, err := c.rpc.Recv()
				if err != nil || resp.GetError() != nil {
					break
				}
				if columns := resp.GetUpdatedSchema().GetFields(); len(columns) == len(ordersSchema().GetFields())+changes {
					return
				}
			}
			t.Error("an append failed")
		})
	}
	schema := ordersSchema()
	for i := range changes {
		schema.Fields = append(schema.Fields, &storagepb.TableFieldSchema{Name: name(i), Type: storagepb.TableFieldSchema_STRING})
		b.alter(schema)
		require.True(t, proto.Equal(schema, b.schemaOf(defaultOf)))
	}
	appenders.Wait()
}

// If this failed, a restart would bring an old schema back, forget that backends are behind, that a stream is nearly
// expired, or that a table is not known yet.
func TestRestartKnowsSchemasAndTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := Options{Data: t.TempDir(), Propagation: Propagation{Delay: time.Minute, TableDelay: 3 * time.Minute}}
		other := orders + "2"
		b := newVirtualBench(t, opt)
		used, unused := b.create(), b.create()
		b.open(used).ok(0, orderRows(0, 1), 0)
		time.Sleep(48 * time.Hour)
		b.open(used).ok(1, orderRows(1, 1), 1)
		b.alter(wider())
		require.NoError(t, b.srv.CreateTable(other, ordersSchema()))
		require.NoError(t, b.srv.Close())

		// Given as before, the table stays as it was altered.
		b = newVirtualBench(t, opt)
		require.True(t, proto.Equal(wider(), b.schemaOf(used)))
		b.openAs(used, withMore).wantExtra("more")
		_, err := b.client.CreateWriteStream(b.context(), createRequest(other))
		require.Equal(t, codes.NotFound, status.Code(err))
		time.Sleep(3 * time.Minute)
		b.openAs(used, withMore).ok(2, orderRows(2, 1), 2)
		_, err = b.client.CreateWriteStream(b.context(), createRequest(other))
		require.NoError(t, err)
		require.NoError(t, b.srv.Close())

		// A change of what is given is a change of the table, and what isn't allowed is refused.
		gone := without(1)
		gone.Fields = append(gone.Fields, wider().GetFields()[7])
		opt.Tables = map[string]*storagepb.TableSchema{orders: gone}
		b = newVirtualBench(t, opt)
		require.True(t, proto.Equal(gone, b.schemaOf(used)))
		require.NoError(t, b.srv.Close())
		wrong := wider()
		wrong.Fields[0].Type = storagepb.TableFieldSchema_STRING
		opt.Tables = map[string]*storagepb.TableSchema{orders: wrong}
		srv, err := Start(opt)
		if err == nil {
			_ = srv.Close() // a bubble with a real listener would never end
		}
		require.ErrorIs(t, err, ErrSchemaChange)

		// 3 days since the creation of the one, not yet since the last use of the other.
		opt.Tables = nil
		time.Sleep(24 * time.Hour)
		b = newVirtualBench(t, Options{Data: opt.Data, Tables: map[string]*storagepb.TableSchema{orders: gone}})
		_, err = b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{Name: unused})
		require.Equal(t, codes.NotFound, status.Code(err))
		b.schemaOf(used)
		time.Sleep(48 * time.Hour)
		_, err = b.client.GetWriteStream(b.context(), &storagepb.GetWriteStreamRequest{Name: used})
		require.Equal(t, codes.NotFound, status.Code(err))
	})
}

// If this failed, a restart would take a stream's first use in a process for its last.
func TestRestartKnowsTheLastUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opt := Options{Data: t.TempDir()}
		b := newVirtualBench(t, opt)
		name := b.create()
		for i := range int64(3) {
			b.open(name).ok(i, orderRows(i, 1), i)
			time.Sleep(40 * time.Hour)
		}
		require.NoError(t, b.srv.Close())
		b = newVirtualBench(t, opt)
		b.open(name).ok(3, orderRows(3, 1), 3)
	})
}

// If this failed, a data folder of an earlier version could not be read, or its streams would expire at once.
func TestReplayOfLogsWithoutTimes(t *testing.T) {
	folder := t.TempDir()
	s := newStore(false, 0)
	var err error
	s.file, err = os.Create(filepath.Join(folder, "emulator.log"))
	require.NoError(t, err)
	table := func(schema *storagepb.TableSchema) {
		raw, err := proto.Marshal(schema)
		require.NoError(t, err)
		require.NoError(t, s.record(recordTable, func(p []byte) []byte {
			return append(protowire.AppendString(p, orders), raw...)
		}))
	}
	table(ordersSchema())
	table(wider())
	name := orders + "/streams/" + newID()
	require.NoError(t, s.streamCreated(name, now().Add(-1000*time.Hour)))
	require.NoError(t, s.record(recordRows, func(p []byte) []byte {
		p = protowire.AppendVarint(protowire.AppendVarint(protowire.AppendVarint(p, 1), 0), 0) // stream, offset, no writer
		return protowire.AppendBytes(p, order(0, "x"))
	}))
	require.NoError(t, s.close())

	b := newBench(t, Options{Data: folder, Tables: map[string]*storagepb.TableSchema{orders: wider()}, Propagation: Propagation{Delay: time.Hour}})
	b.openAs(name, func(d *descriptorpb.DescriptorProto) { withMore(d) }).ok(1, orderRows(1, 1), 1)
}
