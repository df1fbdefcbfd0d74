package committed_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// withOpen leaves a replayable partition with the batches [0, n) bound, of which the
// service has the first landed ones without the ledger knowing.
func withOpen(t *testing.T, n, landed int64) *bench {
	b := newBench(t, committed.Options{Backoff: slow()}, emulator.Options{Faults: []emulator.Fault{{Kind: emulator.CloseBefore, After: 1 + landed}}})
	p := b.partition("a", false)
	results := b.append(p, 0, n)
	for _, r := range results {
		require.NoError(t, r.Stored(b.ctx()))
	}
	b.requireLanded(results[:landed])
	b.close()
	// What this writer had sent must meet the fault, and not come late and land.
	require.Eventually(t, func() bool { return b.srv.Stats().Calls == 0 }, 10*time.Second, time.Millisecond)
	b.srv.ClearFaults()
	b.opt.Backoff.Initial = time.Millisecond
	b.opt.Backoff.Max = time.Millisecond
	b.take()
	b.open()
	return b
}

// source is a replayable source that notes what it is asked for.
type source struct {
	numbers
	mu    sync.Mutex // guards asked
	asked []committed.Range
	spoil func(*committed.Replayed) error
}

func (s *source) replay(ctx context.Context, r committed.Range) (committed.Replayed, error) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	s.mu.Unlock()
	got, err := s.numbers.replay(ctx, r)
	if err == nil && s.spoil != nil {
		err = s.spoil(&got)
	}
	return got, err
}

// If it fails, rows of a source that changed are appended to offsets bound to others,
// or an unreadable source is taken for the end of it.
func TestReplayOfAChangedSource(t *testing.T) {
	gone := errors.New("file is gone")
	for name, spoil := range map[string]func(*committed.Replayed) error{
		"another row":       func(r *committed.Replayed) error { r.Rows[3] = row(7777); return nil },
		"a row less":        func(r *committed.Replayed) error { r.Rows = r.Rows[:9]; return nil },
		"a row more":        func(r *committed.Replayed) error { r.Rows = append(r.Rows, row(1)); return nil },
		"no rows":           func(r *committed.Replayed) error { r.Rows = nil; return nil },
		"another order":     func(r *committed.Replayed) error { r.Rows[0], r.Rows[1] = r.Rows[1], r.Rows[0]; return nil },
		"another digest":    func(r *committed.Replayed) error { r.Digest = ledger.Digest{1}; return nil },
		"right digest, few": func(r *committed.Replayed) error { r.Digest, r.Rows = ledger.DigestOf(r.Rows), r.Rows[:9]; return nil },
		"an error":          func(*committed.Replayed) error { return gone },
	} {
		t.Run(name, func(t *testing.T) {
			want := committed.ErrChanged
			if name == "an error" {
				want = committed.ErrSource
			}
			b := withOpen(t, 5, 2)
			src := &source{spoil: spoil}
			cfg := b.config("a", false)
			cfg.Replay = src.replay
			p, err := b.w.Partition(b.ctx(), cfg)
			if err == nil { // it may stop right after the probe, or a little later
				require.ErrorIs(t, p.Drain(b.ctx()), want)
				b.requireStopped(p, want)
				err = p.Err()
				_, refused := p.Append(b.ctx(), batch(50, 60))
				require.ErrorIs(t, refused, want)
			}
			require.ErrorIs(t, err, want)
			var e *committed.Error
			require.ErrorAs(t, err, &e)
			require.EqualValues(t, 20, e.Offset)
			require.Equal(t, name == "an error", errors.Is(e, gone))
			require.Len(t, src.asked, 1)
			b.requireRows(20)
			// With the source as it was everything lands.
			b.reopen()
			require.NoError(t, b.partition("a", false).Drain(b.ctx()))
			b.requireRows(50)
		})
	}
}

// If it fails, a replay asks for rows that have landed, or skips some that have not.
func TestReplayOfExactlyWhatHasNotLanded(t *testing.T) {
	b := withOpen(t, 8, 2)
	// Three more land, unknown to the ledger: those of an append that was on its way.
	late := batch(20, 50).Rows
	for i := 0; i < 30; i += 10 {
		_, err := b.srv.AppendForeign(b.stream(0).Name, late[i:i+10])
		require.NoError(t, err)
	}
	src := &source{}
	cfg := b.config("a", false)
	cfg.Replay = src.replay
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	require.NoError(t, p.Drain(b.ctx()))
	b.requireRows(80)
	require.Equal(t, []committed.Range{
		{Before: position(50), After: position(60), Rows: 10, Schema: cfg.Schema},
		{Before: position(60), After: position(70), Rows: 10, Schema: cfg.Schema},
		{Before: position(70), After: position(80), Rows: 10, Schema: cfg.Schema},
	}, src.asked)
	got := b.take()
	require.Equal(t, []int64{50, 60, 70}, got.again)
	require.Len(t, got.landed, 6)
	for i, ack := range got.landed {
		require.Equal(t, i < 3, ack.Duplicate)
	}
}

// If it fails, a source's own digest, which a newer encoder keeps, isn't honoured.
func TestReplayWithTheSourcesOwnDigest(t *testing.T) {
	b := newBench(t, committed.Options{Backoff: slow()}, emulator.Options{Faults: []emulator.Fault{{Kind: emulator.CloseBefore, After: 1}}})
	p := b.partition("a", false)
	own := ledger.Digest{1, 2, 3}
	one := batch(0, 10)
	one.Digest = own
	r, err := p.Append(b.ctx(), one)
	require.NoError(t, err)
	require.NoError(t, r.Stored(b.ctx()))
	b.close()
	b.srv.ClearFaults()
	b.open()
	src := &source{spoil: func(r *committed.Replayed) error {
		r.Digest = own
		for i := range r.Rows { // encoded otherwise
			r.Rows[i] = padded(committed.Batch{Rows: r.Rows[i : i+1]}, 1).Rows[0]
		}
		return nil
	}}
	cfg := b.config("a", false)
	cfg.Replay = src.replay
	p, err = b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	require.NoError(t, p.Drain(b.ctx()))
	b.requireRows(10)
}

// If it fails, a source that is asked while Close ends is reported as changed.
func TestCloseDuringReplay(t *testing.T) {
	b := withOpen(t, 3, 0)
	asked := make(chan struct{})
	cfg := b.config("a", false)
	cfg.Replay = func(ctx context.Context, _ committed.Range) (committed.Replayed, error) {
		close(asked)
		<-ctx.Done()
		return committed.Replayed{}, ctx.Err()
	}
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	<-asked
	require.ErrorIs(t, p.Close(ended()), context.Canceled)
	require.NoError(t, p.Err())
	require.NoError(t, b.partition("a", false).Drain(b.ctx()))
	b.requireRows(30)
}

// wideSchema is idSchema with one more column.
func wideSchema() *storagepb.TableSchema {
	s := idSchema()
	s.Fields = append(s.Fields, &storagepb.TableFieldSchema{
		Name: "note", Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_NULLABLE,
	})
	return s
}

// If it fails, open batches are sent under a writer schema that they weren't encoded with.
func TestSchemaChangesBetweenStarts(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		b := newBench(t, committed.Options{Backoff: slow()}, emulator.Options{Faults: []emulator.Fault{{Kind: emulator.CloseBefore, After: 3}}})
		p := b.partition("a", frozen)
		results := b.append(p, 0, 5)
		require.NoError(t, results[4].Stored(b.ctx()))
		b.requireLanded(results[:2])
		b.close()
		b.srv.ClearFaults()
		require.NoError(t, b.srv.AlterTable(table, wideSchema()))
		b.opt.Backoff.Initial = time.Millisecond
		b.open()

		wide, err := committed.NewSchema(table, wideSchema(), nil)
		require.NoError(t, err)
		narrow := b.config("a", frozen).Schema
		require.NotEqual(t, narrow.Fingerprint(), wide.Fingerprint())
		cfg := b.config("a", frozen)
		cfg.Schema, cfg.Encoder = wide, 2
		p, err = b.w.Partition(b.ctx(), cfg)
		require.NoError(t, err)
		next := batch(50, 60)
		for i := range next.Rows {
			next.Rows[i] = protowire.AppendString(protowire.AppendTag(next.Rows[i], 2, protowire.BytesType), "new")
		}
		r, err := p.Append(b.ctx(), next)
		require.NoError(t, err)
		b.requireLanded([]*committed.Result{r})
		b.requireRows(60)
		for i, got := range b.srv.Rows(table) {
			want := narrow.Descriptor()
			if i >= 50 || i >= 20 && !frozen {
				want = wide.Descriptor() // not landed, so encoded anew
			}
			require.True(t, proto.Equal(want, got.Descriptor), "row %d", i)
			values, err := got.Values()
			require.NoError(t, err)
			require.Equal(t, i >= 50, values["note"] == "new", "row %d", i)
		}
		if frozen {
			require.Len(t, b.srv.Streams(table)[1:], 1)
		} else {
			require.Len(t, b.srv.Streams(table)[1:], 2, "on a stream of their own: the old offsets were bound to other bytes")
		}
		b.requireSound()
	}
}

// If it fails, a writer schema that the backend doesn't know yet stops the partition
// at once, or is waited for without end.
func TestSchemaThatIsNotKnownYet(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	wide, err := committed.NewSchema(table, wideSchema(), nil)
	require.NoError(t, err)
	cfg := b.config("a", true)
	cfg.Schema = wide
	waited := make(chan struct{})
	go func() {
		for len(b.srv.Streams(table)) < 2 || b.srv.Stats().CallsEver < 3 {
			time.Sleep(time.Millisecond)
		}
		if err := b.srv.AlterTable(table, wideSchema()); err != nil {
			t.Error(err)
		}
		close(waited)
	}()
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	<-waited
	b.requireLanded(b.append(p, 0, 2))

	never := wideSchema()
	never.Fields[1].Name = "other"
	cfg.Name = "b"
	cfg.Schema, err = committed.NewSchema(table, never, nil)
	require.NoError(t, err)
	_, err = b.w.Partition(b.ctx(), cfg)
	require.ErrorIs(t, err, committed.ErrBlocked)
	require.ErrorContains(t, err, "columns that the table doesn't have: other: give it")
}

// If it fails, a schema that TableSchema gives can't be written with, or a missing table looks like weather.
func TestTableSchema(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	s, err := b.w.TableSchema(b.ctx(), table)
	require.NoError(t, err)
	require.Equal(t, table, s.Name())
	require.True(t, proto.Equal(idSchema(), s.Table()))
	require.Equal(t, b.config("a", true).Schema.Fingerprint(), s.Fingerprint())
	for _, name := range []string{"", "t", "projects/p/datasets/d/tables/", "p.d.t", table + "/streams/_default"} {
		_, err = b.w.TableSchema(b.ctx(), name)
		require.ErrorContains(t, err, "is not of the form projects/P/datasets/D/tables/T", name)
		_, err = committed.NewSchema(name, idSchema(), nil)
		require.ErrorContains(t, err, "is not of the form")
	}
	_, err = b.w.TableSchema(b.ctx(), table+"2")
	require.ErrorContains(t, err, "NotFound")
	addr := b.srv.Addr()
	require.NoError(t, b.srv.Close())
	got := make(chan error)
	go func() { _, err := b.w.TableSchema(b.ctx(), table); got <- err }()
	srv, err := emulator.Start(emulator.Options{Listen: addr, Tables: map[string]*storagepb.TableSchema{table: idSchema()}})
	require.NoError(t, err)
	defer srv.Close()
	require.NoError(t, <-got)
}

// If it fails, a caller's own descriptor isn't what is sent.
func TestNewSchemaWithOwnDescriptor(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	own := &descriptorpb.DescriptorProto{
		Name: proto.String("Mine"),
		Field: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("ID"), Number: proto.Int32(1), // case 60: names match without case
			Type: descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_REQUIRED.Enum(),
		}},
	}
	cfg := b.config("a", true)
	var err error
	cfg.Schema, err = committed.NewSchema(table, nil, own)
	require.NoError(t, err)
	p, err := b.w.Partition(b.ctx(), cfg)
	require.NoError(t, err)
	b.requireLanded(b.append(p, 0, 1))
	require.True(t, proto.Equal(own, b.srv.Rows(table)[0].Descriptor))

	// One that the service's probe row can't be made for is refused at once.
	own.Field[0].TypeName = proto.String(".Missing")
	own.Field[0].Type = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
	_, err = committed.NewSchema(table, nil, own)
	require.ErrorContains(t, err, "Missing")
}
