package deadletter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
)

// Schema is the schema of a table for letters, in BigQuery's JSON form. A table may have more columns, if they are not
// REQUIRED.
const Schema = `[
  {"name": "ledger", "type": "STRING", "mode": "REQUIRED", "description": "identifier of the ledger; with partition_id and number it names the letter"},
  {"name": "partition_id", "type": "INTEGER", "mode": "REQUIRED", "description": "the partition, for ever"},
  {"name": "number", "type": "INTEGER", "mode": "REQUIRED", "description": "counts the partition's letters from 1"},
  {"name": "table", "type": "STRING", "mode": "REQUIRED", "description": "the table that the row was meant for"},
  {"name": "partition_name", "type": "STRING", "mode": "REQUIRED", "description": "for a file its base name"},
  {"name": "before", "type": "STRING", "mode": "NULLABLE", "description": "position of the source before the row's batch"},
  {"name": "after", "type": "STRING", "mode": "NULLABLE", "description": "position of the source behind the row's batch"},
  {"name": "row", "type": "INTEGER", "mode": "REQUIRED", "description": "index of the row in its batch, from 0"},
  {"name": "refused_by", "type": "STRING", "mode": "REQUIRED", "description": "encoder or service"},
  {"name": "reason", "type": "STRING", "mode": "REQUIRED"},
  {"name": "refused_at", "type": "TIMESTAMP", "mode": "REQUIRED"},
  {"name": "record", "type": "STRING", "mode": "NULLABLE", "description": "the row's own text; or the encoded row as JSON"},
  {"name": "record_bytes", "type": "BYTES", "mode": "NULLABLE", "description": "the row's own bytes if they are no UTF-8; or the encoded row"},
  {"name": "schema", "type": "STRING", "mode": "NULLABLE", "description": "fingerprint of the writer schema of an encoded row"}
]
`

// Table is a table of letters. Each partition whose letters go there has a frozen partition of the same ledger, with
// the letters' numbers as positions.
type Table struct {
	w      *committed.Writer
	schema *committed.Schema
	enc    *rows.Encoder
	open   map[ledger.ID]*committed.Partition
}

// OpenTable checks that table, projects/P/datasets/D/tables/T, which has schema ts, can take letters. The writer is
// the caller's to close, after the Table.
func OpenTable(w *committed.Writer, table string, ts *storagepb.TableSchema) (*Table, error) {
	if err := fits(ts); err != nil {
		return nil, fmt.Errorf("table %s can't take dead letters: %w (eowriter schema dead-letters prints what it needs)", tablename.Short(table), err)
	}
	enc, err := rows.Compile(ts)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", tablename.Short(table), err)
	}
	schema, err := committed.NewSchema(table, ts, enc.Descriptor())
	if err != nil {
		return nil, err
	}
	return &Table{w: w, schema: schema, enc: enc, open: map[ledger.ID]*committed.Partition{}}, nil
}

// fits says what is wrong with a table for letters, or nil.
func fits(ts *storagepb.TableSchema) error {
	wanted, err := rows.ParseSchema([]byte(Schema))
	if err != nil {
		return err
	}
	var wrong []error
	has := map[string]*storagepb.TableFieldSchema{}
	for _, f := range ts.GetFields() {
		has[strings.ToLower(f.GetName())] = f
	}
	for _, want := range wanted.GetFields() {
		f := has[want.GetName()]
		delete(has, want.GetName())
		switch {
		case f == nil:
			wrong = append(wrong, fmt.Errorf("it has no column %s", want.GetName()))
		case f.GetType() != want.GetType():
			wrong = append(wrong, fmt.Errorf("its column %s is %s, not %s", want.GetName(), f.GetType(), want.GetType()))
		case f.GetMaxLength() > 0:
			wrong = append(wrong, fmt.Errorf("its column %s has a max length", want.GetName()))
		case f.GetMode() == storagepb.TableFieldSchema_REPEATED || f.GetMode() == storagepb.TableFieldSchema_REQUIRED && want.GetMode() != f.GetMode():
			wrong = append(wrong, fmt.Errorf("its column %s is %s, not %s", want.GetName(), f.GetMode(), want.GetMode()))
		}
	}
	for _, f := range ts.GetFields() {
		if has[strings.ToLower(f.GetName())] != nil && f.GetMode() == storagepb.TableFieldSchema_REQUIRED {
			wrong = append(wrong, fmt.Errorf("its column %s is REQUIRED, and no letter has it", f.GetName()))
		}
	}
	return joinLine(wrong)
}

// joinLine joins errors in one line.
func joinLine(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return errors.New(strings.Join(texts, ", "))
}

// maxBatch is how many bytes of encoded letters are appended together.
const maxBatch = 4 << 20

// Put appends the records behind the position of the frozen partition of their partition, and waits until all has landed.
func (t *Table) Put(ctx context.Context, records []Record) error {
	p, err := t.partition(ctx, records[0].PartitionID)
	if err != nil {
		return err
	}
	at, err := parseNumber(p.Position())
	if err != nil {
		return fmt.Errorf("partition %q of %s: %w", p.Key().Name, p.Key().Table, err)
	}
	for len(records) > 0 && records[0].Number <= at {
		records = records[1:]
	}
	for len(records) > 0 {
		batch, n, err := t.encode(records)
		if err != nil {
			return err
		}
		last := records[n-1]
		if _, err = p.Append(ctx, committed.Batch{After: p.Position(), Position: position(last.Number), Rows: batch}); err != nil {
			if errors.Is(err, committed.ErrTooLarge) {
				err = fmt.Errorf("letter %d of partition %q does not fit into a table: have it delivered to a file: %w", last.Number, last.PartitionName, err)
			}
			return err
		}
		records = records[n:]
	}
	return p.Drain(ctx)
}

// namePrefix begins the names of the frozen partitions.
const namePrefix = "dead letters of partition "

// Keeps says that a partition is one of those that keep the letters in a table.
func Keeps(table string, key ledger.Key) bool {
	return key.Table == table && strings.HasPrefix(key.Name, namePrefix)
}

// partition returns the frozen partition for the letters of the one with an id.
func (t *Table) partition(ctx context.Context, id ledger.ID) (*committed.Partition, error) {
	if p := t.open[id]; p != nil {
		return p, nil
	}
	p, err := t.w.Partition(ctx, committed.PartitionConfig{
		Table: t.schema.Name(), Name: fmt.Sprintf("%s%d", namePrefix, id), Schema: t.schema, Encoder: rows.Version,
	})
	if err == nil {
		t.open[id] = p
	}
	return p, err
}

// encode encodes records for one batch, and says how many it has.
func (t *Table) encode(records []Record) (batch [][]byte, n int, err error) {
	size := 0
	for i := range records {
		object, err := records[i].appendJSON(nil)
		if err != nil {
			return nil, 0, err
		}
		row, err := t.enc.Append(nil, object)
		if err != nil {
			return nil, 0, fmt.Errorf("letter %d of partition %q: %w", records[i].Number, records[i].PartitionName, err)
		}
		if size += len(row); size > maxBatch && i > 0 {
			break
		}
		batch = append(batch, row)
	}
	return batch, len(batch), nil
}

// Close lets go of the frozen partitions. What a Put that failed has left open there lands when they are opened again.
func (t *Table) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nothing is waited for
	for _, p := range t.open {
		_ = p.Close(ctx) // what is wrong was Put's error
	}
	return nil
}

// position is a letter's number as a position, and parseNumber its inverse.
func position(number int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(number)) }

func parseNumber(position []byte) (int64, error) {
	if position == nil {
		return 0, nil
	}
	if len(position) != 8 {
		return 0, fmt.Errorf("its position is no letter's number: it was not made for dead letters")
	}
	return int64(binary.BigEndian.Uint64(position)), nil
}
