package committed

import (
	"context"

	"github.com/eowriter/eowriter/ledger"
)

// PartitionConfig names a partition and says how its rows are made.
type PartitionConfig struct {
	Table string // projects/P/datasets/D/tables/T
	Name  string // 1 to 200 bytes of UTF-8 without control characters

	Schema  *Schema // at the time of opening; see Partition.Schema
	Encoder uint32  // version of the encoder that makes the rows; batches that an older one made and that have not landed are encoded anew

	// Replay returns again the rows of a batch that was bound in an earlier run and
	// has not landed. nil: the partition is frozen, the ledger keeps the rows.
	Replay func(ctx context.Context, r Range) (Replayed, error)

	// DefaultValues: a column that a row leaves out gets its default value expression, not
	// NULL (case 64). A REQUIRED one that has such a default may then be left out, see
	// rows.DefaultValues.
	DefaultValues bool

	// MaxDead is how many dead letters the partition may have, over all runs: rows that
	// the encoder (Batch.Dead) or the service refused, which the ledger keeps until they
	// are delivered (Ledger.Letters, Ledger.Deliver). 0: a row that the service refuses
	// stops the partition with ErrRefused.
	MaxDead int64
}

// Range asks a source for exactly the rows between two positions.
type Range struct {
	Before, After []byte
	Rows          int64 // as many as were bound; -1: as many as the encoder makes of them now

	// Letters says that rows of the batch are to become dead letters. The source is then asked for all
	// that it has: Originals, and in Dead what its encoder refuses, however many that are.
	Letters bool

	// Schema is the writer schema to encode them with. Its Table is nil if it is
	// one of an earlier run that the table does not have any more.
	Schema *Schema
}

// Replayed are rows that a source gave again.
type Replayed struct {
	Rows   [][]byte
	Digest ledger.Digest // as in Batch

	// Dead are the input rows that the encoder refuses, as in Batch.
	Dead []ledger.Dead

	// Originals, if not nil, has each of Rows as the source has it, for dead letters.
	Originals [][]byte
}
