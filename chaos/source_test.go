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
	"github.com/eowriter/eowriter/ledger"
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

// source is a partition's source, as one writer encodes it.
type source struct {
	partition int
	dirty     bool   // some rows are refused, by the encoder or by the service
	encoder   uint32 // its version; each gives other bytes
}

// The dirty rows: some here and there, and two whole batches.
func (s source) refusedByEncoder(i int64) bool { return s.dirty && (i%17 == 3 || i/batchRows == 13) }
func (s source) refusedByService(i int64) bool {
	return s.dirty && !s.refusedByEncoder(i) && (i%23 == 11 || i/batchRows == 21)
}

// original is row i as the source has it.
func (s source) original(i int64) []byte { return fmt.Appendf(nil, "%d %d", s.partition, i) }

// row is row i, encoded. The service refuses one without an id.
func (s source) row(i int64) []byte {
	if s.refusedByService(i) {
		return protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), s.original(i))
	}
	b := protowire.AppendTag(nil, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(int64(s.partition)*partitionStride+i))
	if s.encoder > 1 {
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendBytes(b, fmt.Appendf(nil, "encoder %d", s.encoder))
	}
	if big(i / batchRows) {
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendBytes(b, make([]byte, 800))
	}
	return b
}

// batch has the rows [from, to).
func (s source) batch(from, to int64) (b committed.Batch, originals [][]byte) {
	var content [][]byte
	for i := from; i < to; i++ {
		content = append(content, s.original(i))
		if s.refusedByEncoder(i) {
			b.Dead = append(b.Dead, ledger.Dead{Row: i - from, Reason: "by the encoder", Content: s.original(i)})
			continue
		}
		b.Rows, originals = append(b.Rows, s.row(i)), append(originals, s.original(i))
	}
	b.After, b.Position, b.Digest = position(from), position(to), ledger.DigestOf(content)
	return b, originals
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

// replay reads rows again.
func (s source) replay(_ context.Context, r committed.Range) (committed.Replayed, error) {
	b, originals := s.batch(rowsAt(r.Before), rowsAt(r.After))
	return committed.Replayed{Rows: b.Rows, Digest: b.Digest, Dead: b.Dead, Originals: originals}, nil
}

// deadRow says which row of which partition a dead row is.
func deadRow(t testing.TB, d ledger.Dead) (partition string, i int64) {
	content := d.Content
	if d.Schema != (ledger.Fingerprint{}) {
		_, _, n := protowire.ConsumeTag(content)
		content, _ = protowire.ConsumeBytes(content[n:])
	}
	p := 0
	if _, err := fmt.Sscanf(string(content), "%d %d", &p, &i); err != nil {
		t.Fatalf("a dead letter holds %q", d.Content)
	}
	return partitions[p], i
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
		is := func(encoder uint32) bool { // without require, which is slow
			return bytes.Equal(source{partition: int(p), encoder: encoder}.row(i), r.Data)
		}
		if !is(1) && !is(2) {
			t.Fatalf("row %d of %s is none of the source's: %x", r.Offset, r.Stream, r.Data)
		}
		rows = append(rows, Row{Stream: r.Stream, Offset: r.Offset, Partition: partitions[p], Index: i})
	}
	return rows
}
