package chaos

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"google.golang.org/protobuf/encoding/protowire"
)

// The source that every test writes: partitions of numbered rows, the same each time
// they are read. A position is the number of rows before it, in decimal.
const (
	table     = "projects/p/datasets/d/tables/t"
	batchRows = 5
	batches   = 40 // of each partition
	sourceEnd = batches * batchRows

	partitionStride = 1_000_000 // between the ids of two partitions
)

var partitions = []string{"p0", "p1"}

// tableSchema is a table with a required id and some padding.
func tableSchema() *storagepb.TableSchema {
	return &storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{
		{Name: "id", Type: storagepb.TableFieldSchema_INT64, Mode: storagepb.TableFieldSchema_REQUIRED},
		{Name: "pad", Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_NULLABLE},
	}}
}

// softLimit has the service refuse the batches that big calls big, but not their halves.
const softLimit = 3 << 10

func big(batch int64) bool { return batch%10 == 4 }

// sourceRow is row i of a partition.
func sourceRow(partition int, i int64) []byte {
	b := protowire.AppendTag(nil, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(int64(partition)*partitionStride+i))
	if big(i / batchRows) {
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendBytes(b, make([]byte, 800))
	}
	return b
}

// sourceRows are the rows [from, to) of a partition.
func sourceRows(partition int, from, to int64) [][]byte {
	var rows [][]byte
	for i := from; i < to; i++ {
		rows = append(rows, sourceRow(partition, i))
	}
	return rows
}

func position(rows int64) []byte {
	if rows == 0 {
		return nil
	}
	return strconv.AppendInt(nil, rows, 10)
}

func rowsAt(position []byte) int64 {
	if position == nil {
		return 0
	}
	n, err := strconv.ParseInt(string(position), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("position %q was made by nobody here", position))
	}
	return n
}

// replay reads rows of a partition again.
func replay(partition int) func(context.Context, committed.Range) (committed.Replayed, error) {
	return func(_ context.Context, r committed.Range) (committed.Replayed, error) {
		return committed.Replayed{Rows: sourceRows(partition, rowsAt(r.Before), rowsAt(r.After))}, nil
	}
}

// foreignID is the id of rows that no source has.
const foreignID = 999_999_999

// tableRows is what a table holds, as the oracle takes it, without the rows that a
// test had somebody else write.
func tableRows(t testing.TB, srv *emulator.Server) []Row {
	var rows []Row
	for _, r := range srv.Rows(table) {
		_, _, n := protowire.ConsumeTag(r.Data)
		id, _ := protowire.ConsumeVarint(r.Data[n:])
		if id == foreignID {
			continue
		}
		p, i := int64(id)/partitionStride%int64(len(partitions)), int64(id)%partitionStride
		if !bytes.Equal(sourceRow(int(p), i), r.Data) { // without require, which is slow
			t.Fatalf("row %d of %s is none of the source's: %x", r.Offset, r.Stream, r.Data)
		}
		rows = append(rows, Row{Stream: r.Stream, Offset: r.Offset, Partition: partitions[p], Index: i})
	}
	return rows
}
