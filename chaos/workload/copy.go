package workload

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// companions are the files of a ledger beside the ledger itself.
const (
	companion = ".incarnation"
	segments  = ".segments"
)

// CopyLedger copies a closed ledger, all its files, over another one or to where there is
// none; without its companion file if that is not wanted. A file that is there is
// overwritten and stays the same file, as when a backup program restores it.
func CopyLedger(from, to string, withCompanion bool) error {
	files := []string{""}
	if withCompanion {
		files = append(files, companion)
	}
	for _, suffix := range files {
		err := copyFile(from+suffix, to+suffix)
		if suffix == companion && errors.Is(err, os.ErrNotExist) {
			continue // its writer died before it made one
		}
		if err != nil {
			return err
		}
	}
	if err := os.RemoveAll(to + segments); err != nil {
		return err
	}
	names, err := os.ReadDir(from + segments)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.Mkdir(to+segments, 0o700)
	}
	for _, name := range names {
		err = errors.Join(err, copyFile(filepath.Join(from+segments, name.Name()), filepath.Join(to+segments, name.Name())))
	}
	return err
}

// RemoveLedger removes a ledger, all its files.
func RemoveLedger(path string) error {
	return errors.Join(os.RemoveAll(path), os.RemoveAll(path+companion), os.RemoveAll(path+segments))
}

// copyFile copies a file, into the one that is there if there is one, and leaves the
// holes that a ledger mostly consists of.
func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	chunk, hole := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := in.ReadAt(chunk, at)
		if err != nil && err != io.EOF {
			return err
		}
		if !bytes.Equal(chunk[:n], hole[:n]) {
			if _, err := out.WriteAt(chunk[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if err == io.EOF {
			return out.Truncate(at)
		}
	}
}
