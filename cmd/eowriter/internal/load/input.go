package load

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
)

// input is one file, or standard input, on its way into one partition.
type input struct {
	path string
	key  ledger.Key
	size int64 // as stored; -1: unknown

	file     *source.File // nil until it is opened; then at position
	position []byte       // the ledger's word on where the partition stands, open batches included
	open     int          // batches that were open when the last run ended
	letters  int64        // dead letters that the ledger has counted so far
	dead     int64        // and those of the open batches
}

func (in *input) replayable() bool { return in.path != source.Stdin }

func (in *input) close() {
	if in.file != nil {
		in.file.Close()
		in.file = nil
	}
}

func closeAll(inputs []*input) {
	for _, in := range inputs {
		in.close()
	}
}

// plan checks that the files are there and makes a partition of each.
func plan(opt Options) ([]*input, error) {
	inputs := make([]*input, len(opt.Files))
	by := make(map[string]string, len(opt.Files))
	for i, path := range opt.Files {
		name := source.PartitionName(opt.Prefix, filepath.Base(path))
		if other, twice := by[name]; twice {
			return nil, fmt.Errorf("%w: %s and %s have the same name, and with it the same partition: load them in separate runs with different --partition-prefix",
				ErrUsage, other, path)
		}
		by[name] = path
		inputs[i] = &input{path: path, key: ledger.Key{Table: opt.Table, Name: name}}
	}
	var errs []error
	for _, in := range inputs {
		var err error
		in.size, err = source.Check(in.path)
		errs = append(errs, err)
	}
	return inputs, errors.Join(errs...)
}
