package netfault_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/netfault"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	table     = "projects/p/datasets/d/tables/t"
	batchRows = 10
	patience  = 60 * time.Second // far more than any test takes
)

func tableSchema() *storagepb.TableSchema {
	return &storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{
		{Name: "id", Type: storagepb.TableFieldSchema_INT64, Mode: storagepb.TableFieldSchema_REQUIRED},
		{Name: "pad", Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_NULLABLE},
	}}
}

// stage is a service, and what callers were told while they wrote to it.
type stage struct {
	*testing.T
	srv    *emulator.Server
	ledger string
	rows   int64 // of each partition's source

	mu        sync.Mutex // guards what follows
	told      []chaos.Told
	epochs    map[string]uint64
	positions map[string]int64
}

func newStage(t *testing.T, rows int64, opt emulator.Options) *stage {
	opt.Tables = map[string]*storagepb.TableSchema{table: tableSchema()}
	srv, err := emulator.Start(opt)
	require.NoError(t, err)
	t.Cleanup(func() { _ = srv.Close() })
	return &stage{T: t, srv: srv, ledger: filepath.Join(folder(t), "test.ledger"), rows: rows,
		epochs: map[string]uint64{}, positions: map[string]int64{}}
}

// folder returns a new folder, in memory where that is possible: nothing here is about the disk.
func folder(t testing.TB) string {
	name, err := os.MkdirTemp("/dev/shm", "eowriter-netfault-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(name) })
	return name
}

func (s *stage) proxy(opt netfault.Options) *netfault.Proxy {
	p, err := netfault.Start(s.srv.Addr(), opt)
	require.NoError(s, err)
	s.Cleanup(func() { require.NoError(s, p.Close()) })
	return p
}

// row is row i of a partition's source: its number, and enough padding for requests of several frames.
func row(partition int, i int64) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(int64(partition)<<32|i))
	return protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), make([]byte, 3000*(i/batchRows%2)))
}

func batch(partition int, from, to int64) (b committed.Batch) {
	for i := from; i < to; i++ {
		b.Rows = append(b.Rows, row(partition, i))
	}
	b.After, b.Position = position(from), position(to)
	return b
}

func position(rows int64) []byte {
	if rows == 0 {
		return nil
	}
	return strconv.AppendInt(nil, rows, 10)
}

func rowsAt(position []byte) int64 {
	n, _ := strconv.ParseInt(string(position), 10, 64)
	return n
}

// writer is a writer with its ledger.
type writer struct {
	*committed.Writer
	led *ledger.Ledger
}

// open opens a writer that reaches the service at an address.
func (s *stage) open(addr string, opt committed.Options) writer {
	led, err := ledger.Open(s.ledger, &ledger.Options{SegmentBytes: 256 << 10})
	require.NoError(s, err)
	opt.ClientOptions = []option.ClientOption{option.WithEndpoint(addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}
	opt.Backoff = retry.Policy{Initial: time.Millisecond, Max: 20 * time.Millisecond, Multiplier: 2}
	opt.CreateRate, opt.CreateBurst = 1e6, 1e6
	w, err := committed.Open(context.Background(), led, opt)
	require.NoError(s, err)
	return writer{w, led}
}

// close closes the writer as it is: what is open stays so.
func (w writer) close(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.Close(ctx); err != nil {
		require.ErrorIs(t, err, context.Canceled)
	}
	require.NoError(t, w.led.Close())
}

// partition opens a partition, an odd one frozen.
func (s *stage) partition(ctx context.Context, w writer, i int) (*committed.Partition, error) {
	schema, err := committed.NewSchema(table, tableSchema(), nil)
	require.NoError(s, err)
	cfg := committed.PartitionConfig{Table: table, Name: fmt.Sprint(i), Schema: schema}
	if i%2 == 0 {
		cfg.Replay = func(_ context.Context, r committed.Range) (committed.Replayed, error) {
			return committed.Replayed{Rows: batch(i, rowsAt(r.Before), rowsAt(r.After)).Rows}, nil
		}
	}
	return w.Partition(ctx, cfg)
}

// write offers the rest of a partition's source and waits until it has landed.
func (s *stage) write(ctx context.Context, p *committed.Partition, i int) error {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for at := rowsAt(p.Position()); at < s.rows; at += batchRows {
		r, err := p.Append(ctx, batch(i, at, at+batchRows))
		if err != nil {
			return err
		}
		waiting.Go(func() {
			if ack, err := r.Wait(ctx); err == nil {
				s.learn(chaos.Told{Partition: fmt.Sprint(i), From: at, To: at + batchRows, Stream: ack.Stream, Offset: ack.Offset}, ack.Epoch)
			}
		})
	}
	return p.Drain(ctx)
}

func (s *stage) learn(told chaos.Told, epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, told)
	s.epochs[told.Stream] = epoch
}

// judge requires that every row of these partitions is there exactly once, in order, and as callers were told, and
// that the ledger agrees with the service.
func (s *stage) judge(partitions ...int) {
	s.Helper()
	h := chaos.History{Input: map[string]int64{}, Told: s.told, Epochs: s.epochs, Positions: map[string]int64{}, Final: true}
	for _, i := range partitions {
		h.Input[fmt.Sprint(i)] = s.rows
	}
	for _, r := range s.srv.Rows(table) {
		_, _, n := protowire.ConsumeTag(r.Data)
		id, _ := protowire.ConsumeVarint(r.Data[n:])
		h.Table = append(h.Table, chaos.Row{Stream: r.Stream, Offset: r.Offset, Partition: fmt.Sprint(id >> 32), Index: int64(id & (1<<32 - 1))})
	}
	led, err := ledger.OpenReadOnly(s.ledger)
	require.NoError(s, err)
	defer led.Close()
	violations, err := led.Check()
	require.NoError(s, err)
	require.Empty(s, violations)
	all, err := led.Partitions()
	require.NoError(s, err)
	require.Len(s, all, len(partitions))
	for _, p := range all {
		stream, known := s.srv.Stream(p.Stream)
		require.True(s, known)
		require.Equal(s, stream.End, p.Acked)
		require.Equal(s, p.Acked, p.Next)
		h.Positions[p.Key.Name] = rowsAt(p.Position)
	}
	require.Empty(s, h.Judge())
}

// wires are the faults that TestWriter has every connection suffer.
var wires = []string{
	"rst:frame=3,spread=30", "rst:frame=3,spread=30,place=behind", "rst:dir=down,frame=3,spread=20,place=before",
	"rst:dir=down,bytes=300,spread=2000", "rst:bytes=200,spread=100000", "rst:dir=down,frame=3,spread=20,place=behind",
	"fin:frame=3,spread=30", "fin:frame=3,spread=30,place=before", "fin:dir=down,frame=3,spread=20",
	"half-open:frame=3,spread=60,delay=200ms", "half-open:dir=down,frame=3,spread=60,place=before,delay=200ms",
	"stall:frame=3,spread=60,delay=200ms", "stall:dir=down,frame=3,spread=60,delay=200ms", "stall:dir=both,bytes=50000,delay=200ms",
	"slow:bytes=1000,spread=20000,for=3000", "slow:dir=both,chunk=1000,delay=100us,for=50000", "limit:rate=3000000", "latency:delay=1ms,jitter=1ms",
	"zombie:frame=3,spread=60,place=before", "zombie:frame=1,spread=10,place=before,every=2",
}

// If it fails, a fault of the wire loses, repeats or disorders rows, or gets a partition stuck.
func TestWriter(t *testing.T) {
	for _, spec := range wires {
		t.Run(spec, func(t *testing.T) {
			t.Parallel()
			f, err := netfault.ParseFault(spec)
			require.NoError(t, err)
			testWriter(t, []netfault.Fault{f}, func(p *netfault.Proxy) bool { return p.FaultCounts()[string(f.Kind)] > 0 })
		})
	}
}

// If it fails, faults of the wire that come together do what none does alone.
func TestWriterWithAll(t *testing.T) {
	var all []netfault.Fault
	for _, spec := range wires {
		f, err := netfault.ParseFault(spec)
		require.NoError(t, err)
		f.Every, f.Probability = 0, 0.15
		all = append(all, f)
	}
	testWriter(t, all, func(p *netfault.Proxy) bool { return len(p.FaultCounts()) > 0 })
}

// testWriter writes through faults until all has landed. Clients whose bytes are kept are cut off now and then, and
// the bytes delivered while the writer goes on.
func testWriter(t *testing.T, faults []netfault.Fault, enough func(*netfault.Proxy) bool) {
	const partitions = 3
	s := newStage(t, 1000, emulator.Options{})
	p := s.proxy(netfault.Options{Seed: 1, Faults: faults})
	w := s.open(p.Addr(), committed.Options{AnswerTimeout: 3 * time.Second, CallTimeout: 3 * time.Second, WindowRequests: 8})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	done := make(chan struct{})
	var haunting sync.WaitGroup
	if slices.ContainsFunc(faults, func(f netfault.Fault) bool { return f.Kind == netfault.Zombie }) {
		haunting.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(150 * time.Millisecond):
					p.ReleaseZombies() // of the last time; others have taken over
					p.Reset()
				}
			}
		})
	}
	var writing sync.WaitGroup
	errs := make([]error, partitions)
	for i := range partitions {
		writing.Go(func() {
			part, err := s.partition(ctx, w, i)
			if err == nil {
				err = s.write(ctx, part, i)
			}
			errs[i] = err
		})
	}
	writing.Wait()
	close(done)
	haunting.Wait()
	require.NoError(t, errors.Join(errs...), "%v", p.FaultCounts())
	require.True(t, enough(p), "%v", p.FaultCounts())
	w.close(t)
	p.ReleaseZombies()
	s.judge(0, 1, 2)
	t.Logf("%v, %d calls, %d rows", p.FaultCounts(), s.srv.Stats().CallsEver, s.srv.Stats().Rows)
}
