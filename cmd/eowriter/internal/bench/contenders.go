package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"cloud.google.com/go/bigquery/storage/managedwriter"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/protobuf/encoding/protowire"
)

// Table is where everything is written; TableSchema is its schema.
const Table = "projects/bench/datasets/bench/tables/rows"

// TableSchema has one column of bytes.
func TableSchema() *storagepb.TableSchema {
	return &storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{
		{Name: "payload", Type: storagepb.TableFieldSchema_BYTES, Mode: storagepb.TableFieldSchema_NULLABLE},
	}}
}

// encoded makes one batch of rows of the wanted size.
func encoded(shape Shape) [][]byte {
	all := make([][]byte, shape.Rows)
	for i := range all {
		overhead := 1 + protowire.SizeVarint(uint64(shape.Bytes))
		payload := make([]byte, shape.Bytes-overhead)
		for j := range payload {
			payload[j] = byte(i*31 + j*7)
		}
		all[i] = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), payload)
	}
	return all
}

// appender appends one batch, waiting for room in its window, and drains.
type appender interface {
	append(ctx context.Context, rows [][]byte) error
	drain(ctx context.Context) error
}

// measure runs one contender for a while: one goroutine a partition, each as fast as
// its window allows. The time counts from the first append to the last landing.
func measure(ctx context.Context, cfg Config, shape Shape, contender string) (Rate, error) {
	schema, err := committed.NewSchema(Table, TableSchema(), nil)
	if err != nil {
		return Rate{}, err
	}
	open := openOurs
	if contender == Bare {
		open = openBare
	}
	appenders, closeAll, err := open(ctx, cfg, schema, contender)
	if err != nil {
		return Rate{}, err
	}
	batch := encoded(shape)
	// Warm up first: pools, windows of TCP, the ledger's first pages.
	if _, err := drive(ctx, appenders, batch, cfg.Duration/4); err != nil {
		return Rate{}, errors.Join(err, closeAll(ctx))
	}
	rate, err := drive(ctx, appenders, batch, cfg.Duration)
	return rate, errors.Join(err, closeAll(ctx))
}

// drive appends for a while, and returns when everything has landed.
func drive(ctx context.Context, appenders []appender, batch [][]byte, d time.Duration) (Rate, error) {
	counts := make([]int64, len(appenders))
	errs := make([]error, len(appenders))
	start := time.Now()
	var wg sync.WaitGroup
	for i, a := range appenders {
		wg.Go(func() {
			for time.Since(start) < d && errs[i] == nil {
				errs[i] = a.append(ctx, batch)
				counts[i] += int64(len(batch))
			}
			if errs[i] == nil {
				errs[i] = a.drain(ctx)
			}
		})
	}
	wg.Wait()
	rate := Rate{Seconds: time.Since(start).Seconds()}
	for _, n := range counts {
		rate.Rows += n
	}
	return rate, errors.Join(errs...)
}

// bare is the bare client as one would use it for speed: offsets given, a window of
// results, the oldest waited for when it is full.
type bare struct {
	stream  *managedwriter.ManagedStream
	offset  int64
	window  int
	pending []*managedwriter.AppendResult
}

func openBare(ctx context.Context, cfg Config, schema *committed.Schema, _ string) ([]appender, func(context.Context) error, error) {
	var clients []*managedwriter.Client
	closeAll := func(context.Context) error {
		var errs []error
		for _, c := range clients {
			errs = append(errs, c.Close())
		}
		return errors.Join(errs...)
	}
	var all []appender
	for n := range cfg.Partitions {
		if n%streamsOfClient == 0 {
			c, err := managedwriter.NewClient(ctx, "bench", cfg.Client...)
			if err != nil {
				return nil, nil, errors.Join(err, closeAll(ctx))
			}
			clients = append(clients, c)
		}
		ms, err := clients[len(clients)-1].NewManagedStream(ctx,
			managedwriter.WithDestinationTable(Table),
			managedwriter.WithType(managedwriter.CommittedStream),
			managedwriter.WithSchemaDescriptor(schema.Descriptor()))
		if err != nil {
			return nil, nil, errors.Join(err, closeAll(ctx))
		}
		all = append(all, &bare{stream: ms, window: cfg.Window})
	}
	return all, closeAll, nil
}

// streamsOfClient is how many streams a bare client may have: a server takes 100 on a connection, and more of them wait for
// ever.
const streamsOfClient = 90

func (b *bare) append(ctx context.Context, rows [][]byte) error {
	if len(b.pending) == b.window {
		if err := b.settle(ctx); err != nil {
			return err
		}
	}
	res, err := b.stream.AppendRows(ctx, rows, managedwriter.WithOffset(b.offset))
	b.offset += int64(len(rows))
	b.pending = append(b.pending, res)
	return err
}

func (b *bare) settle(ctx context.Context) error {
	_, err := b.pending[0].GetResult(ctx)
	b.pending = append(b.pending[:0], b.pending[1:]...)
	return err
}

func (b *bare) drain(ctx context.Context) error {
	for len(b.pending) > 0 {
		if err := b.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ours is a partition of this writer.
type ours struct {
	partition *committed.Partition
	position  uint64
	at        []byte
}

func openOurs(ctx context.Context, cfg Config, schema *committed.Schema, contender string) ([]appender, func(context.Context) error, error) {
	dir, err := os.MkdirTemp(cfg.Dir, "eowriter-bench-")
	if err != nil {
		return nil, nil, err
	}
	led, err := ledger.Open(filepath.Join(dir, "bench.ledger"), nil)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	w, err := committed.Open(ctx, led, committed.Options{
		ClientOptions: cfg.Client, WindowRequests: cfg.Window,
	})
	if err != nil {
		return nil, nil, errors.Join(err, led.Close(), os.RemoveAll(dir))
	}
	closeAll := func(ctx context.Context) error {
		return errors.Join(w.Close(ctx), led.Close(), os.RemoveAll(dir))
	}
	var all []appender
	for i := range cfg.Partitions {
		pc := committed.PartitionConfig{Table: Table, Name: string(rune('a' + i)), Schema: schema}
		if contender == Replayable {
			pc.Replay = func(context.Context, committed.Range) (committed.Replayed, error) {
				return committed.Replayed{}, errors.New("nothing is replayed here")
			}
		}
		p, err := w.Partition(ctx, pc)
		if err != nil {
			return nil, nil, errors.Join(err, closeAll(ctx))
		}
		all = append(all, &ours{partition: p})
	}
	return all, closeAll, nil
}

func (o *ours) append(ctx context.Context, rows [][]byte) error {
	o.position++
	next := binary.BigEndian.AppendUint64(nil, o.position)
	_, err := o.partition.Append(ctx, committed.Batch{After: o.at, Position: next, Rows: rows})
	o.at = next
	return err
}

func (o *ours) drain(ctx context.Context) error { return o.partition.Drain(ctx) }
