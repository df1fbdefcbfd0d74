package ingest

import (
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
)

// Files are the partitions that the sidecar writes from files by itself, beside an Ingest. Its methods are called at any time,
// from several goroutines, and must be quick.
type Files interface {
	// Keys returns the partitions of a table, or of all tables.
	Keys(table string) []ledger.Key
	// Has says whether a partition is one of them.
	Has(key ledger.Key) bool
	// Describe adds to the state of one of them what is known of its file.
	Describe(key ledger.Key, s *eowriterv1.Partition)
}

// isFile says that a partition is written from a file.
func (i *Ingest) isFile(key ledger.Key) bool {
	return i.opt.Files != nil && i.opt.Files.Has(key)
}

// describe adds to a partition's state what is known if it is written from a file.
func (i *Ingest) describe(part *ledger.Partition, s *eowriterv1.Partition) {
	ours := i.isFile(part.Key)
	if !ours && part.Mode != ledger.Replayable {
		return
	}
	s.State = eowriterv1.State_STATE_FILE
	s.LandedPosition = source.PositionText(part.Position)
	s.Position = s.LandedPosition
	if ours {
		i.opt.Files.Describe(part.Key, s)
	}
}

// unread returns those of the files' partitions that the ledger doesn't know yet, of a table or of all.
func (i *Ingest) unread(table string, known map[ledger.Key]bool) (fresh []ledger.Key) {
	if i.opt.Files == nil {
		return nil
	}
	for _, key := range i.opt.Files.Keys(table) {
		if !known[key] {
			fresh = append(fresh, key)
		}
	}
	return fresh
}

// fileRefusal is what appends to a file's partition are refused with.
func fileRefusal(key ledger.Key) error {
	return refuse(eowriterv1.Reason_REASON_INVALID, "partition %q is a file's: it takes no appends", key.Name)
}
