//go:build unix && !linux

package ledger

import "os"

// writeVector writes the buffers one after another from offset on. It uses vec up.
func writeVector(f *os.File, vec [][]byte, offset int64) error {
	for _, b := range vec {
		if _, err := f.WriteAt(b, offset); err != nil {
			return err
		}
		offset += int64(len(b))
	}
	return nil
}

// syncData makes what was written to f durable.
func syncData(f *os.File) error { return f.Sync() }

// reserve is the writing of zeros alone here.
func reserve(*os.File, int64) error { return nil }
