package workload

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/protobuf/encoding/protowire"
)

// Table is the table that is written to.
const Table = "projects/p/datasets/d/tables/t"

// TableSchema is its schema: a required id and some padding.
func TableSchema() *storagepb.TableSchema {
	return &storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{
		{Name: "id", Type: storagepb.TableFieldSchema_INT64, Mode: storagepb.TableFieldSchema_REQUIRED},
		{Name: "pad", Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_NULLABLE},
	}}
}

// Shape is how much there is to write.
type Shape struct {
	Partitions int   // named by Name
	Rows       int64 // of each partition's source, at most 2^32
	BatchRows  int64 // of each batch but the last
}

// Name is the name of partition i.
func Name(i int) string { return "p" + strconv.Itoa(i) }

// Names are the names of all partitions.
func (s Shape) Names() []string {
	names := make([]string, s.Partitions)
	for i := range names {
		names[i] = Name(i)
	}
	return names
}

// SoftLimit has the service refuse the batches that are big, but not their halves,
// when batches have 5 rows.
const SoftLimit = 3 << 10

func big(batch int64) bool { return batch%10 == 4 }

// Source is the source of one partition, as one version of an encoder gives it.
type Source struct {
	Shape
	Partition int
	Dirty     bool   // some rows are refused, by the encoder or by the service
	Encoder   uint32 // its version, from 1; each gives other bytes
	Edited    int64  // rows below this one were changed since; what is encoded of them was not
}

// The dirty rows: some here and there, and two whole batches.
func (s Source) refusedByEncoder(i int64) bool {
	return s.Dirty && (i%17 == 3 || i/s.BatchRows == 13)
}

func (s Source) refusedByService(i int64) bool {
	return s.Dirty && !s.refusedByEncoder(i) && (i%23 == 11 || i/s.BatchRows == 21)
}

// original is row i as the source has it.
func (s Source) original(i int64) []byte {
	if i < s.Edited {
		return fmt.Appendf(nil, "%d %d, edited", s.Partition, i)
	}
	return fmt.Appendf(nil, "%d %d", s.Partition, i)
}

// id tells the row in the table.
func (s Source) id(i int64) int64 { return int64(s.Partition)<<32 | i }

// Row is row i, encoded. The service refuses one without an id.
func (s Source) Row(i int64) []byte {
	if s.refusedByService(i) {
		return protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), s.original(i))
	}
	b := protowire.AppendTag(nil, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(s.id(i)))
	if s.Encoder > 1 {
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendBytes(b, fmt.Appendf(nil, "encoder %d", s.Encoder))
	}
	if big(i / s.BatchRows) {
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendBytes(b, make([]byte, 800))
	}
	return b
}

// ForeignRow is a row that no source has and the service takes.
func ForeignRow() []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), foreignID)
}

const foreignID = 1<<63 - 1

// Batch has the rows [from, to).
func (s Source) Batch(from, to int64) committed.Batch {
	b, _ := s.batch(from, to)
	return b
}

func (s Source) batch(from, to int64) (b committed.Batch, originals [][]byte) {
	var content [][]byte
	for i := from; i < to; i++ {
		content = append(content, s.original(i))
		if s.refusedByEncoder(i) {
			b.Dead = append(b.Dead, ledger.Dead{Row: i - from, Reason: "by the encoder", Content: s.original(i)})
			continue
		}
		b.Rows, originals = append(b.Rows, s.Row(i)), append(originals, s.original(i))
	}
	b.After, b.Position, b.Digest = Position(from), Position(to), ledger.DigestOf(content)
	return b, originals
}

// Replay reads rows again; see committed.PartitionConfig.
func (s Source) Replay(_ context.Context, r committed.Range) (committed.Replayed, error) {
	from, err := RowsAt(r.Before)
	if err != nil {
		return committed.Replayed{}, err
	}
	to, err := RowsAt(r.After)
	if err != nil {
		return committed.Replayed{}, err
	}
	b, originals := s.batch(from, to)
	return committed.Replayed{Rows: b.Rows, Digest: b.Digest, Dead: b.Dead, Originals: originals}, nil
}

// Position is the source's position after so many rows, in decimal; nil is the start.
func Position(rows int64) []byte {
	if rows == 0 {
		return nil
	}
	return strconv.AppendInt(nil, rows, 10)
}

// RowsAt is the number of rows before a position.
func RowsAt(position []byte) (int64, error) {
	if position == nil {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(position), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("position %q was made by no source: %w", position, err)
	}
	return n, nil
}

// rowOf finds out which row of which partition an encoded row is.
func (s Shape) rowOf(data []byte) (partition int, i int64, err error) {
	_, _, n := protowire.ConsumeTag(data)
	if n < 0 {
		return 0, 0, protowire.ParseError(n)
	}
	id, n := protowire.ConsumeVarint(data[n:])
	if n < 0 {
		return 0, 0, protowire.ParseError(n)
	}
	partition, i = int(id>>32), int64(id&(1<<32-1))
	for encoder := uint32(1); encoder <= 2; encoder++ {
		if bytes.Equal(Source{Shape: s, Partition: partition, Encoder: encoder}.Row(i), data) {
			return partition, i, nil
		}
	}
	return 0, 0, fmt.Errorf("row %x is none of the source's", data)
}
