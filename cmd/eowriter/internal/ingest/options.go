package ingest

import (
	"log/slog"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/rowform"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
)

// Options bound what is accepted, and say how batches are made. All sizes are bytes.
type Options struct {
	BatchRows  int           // most rows of a batch of several appends
	BatchBytes int64         // most bytes of it, encoded
	Linger     time.Duration // how long an append may wait for others to share its batch while one is on its way

	AppendRows  int   // most rows of an append
	AppendBytes int64 // most bytes of its rows

	// Accepted and not landed: of a partition, and of all. A partition never takes more than is free then, so that those which
	// don't get rid of theirs leave room for others.
	PartitionAppends, TotalAppends int
	PartitionBytes, TotalBytes     int64

	MaxPartitions int   // known ones, those of the ledger included
	MaxDead       int64 // dead letters of a partition, see committed.PartitionConfig

	// NotOurs says which of the ledger's partitions somebody else in this process writes to: nothing is appended to them, and
	// what they have open is left alone. nil: none.
	NotOurs func(ledger.Key) bool

	rowform.Choices // how objects become rows

	Files Files // whose partitions are left alone, and shown with the others; may be nil

	OpenWait time.Duration // how long an append waits for its partition to be opened
	Reopen   retry.Policy  // between tries to open a partition that has stopped
	Log      *slog.Logger  // what happens to partitions; never contents of rows
	Events   Events
}

// Defaults are good for a sidecar with 256 MiB.
func Defaults() Options {
	return Options{
		BatchRows: 5000, BatchBytes: 1 << 20, Linger: 10 * time.Millisecond,
		AppendRows: 50_000, AppendBytes: 4 << 20,
		PartitionAppends: 1000, TotalAppends: 20_000,
		PartitionBytes: 16 << 20, TotalBytes: 64 << 20,
		MaxPartitions: 1000, MaxDead: 1000,
		OpenWait: 10 * time.Second,
		Reopen:   retry.Policy{Initial: time.Second, Max: time.Minute, Multiplier: 2, Jitter: 0.5},
		Log:      slog.New(slog.DiscardHandler),
	}
}

func (opt *Options) ours(key ledger.Key) bool { return opt.NotOurs == nil || !opt.NotOurs(key) }

// encoder is the version of the encoder, for the ledger. Options needn't be in it: the rows themselves are kept.
func (opt *Options) encoder() uint32 { return rows.Version }
