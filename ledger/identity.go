package ledger

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Suspicion (invariant 8). The ledger stores where it is and how often it was
// opened; the file <ledger>.incarnation beside it stores the second too. A ledger
// that was moved, copied or restored alone does not fit: it gets a new Identity,
// and every partition opened under another one is suspicious.

// machine names this computer: /etc/machine-id or else the host name.
func machine() string {
	if b, err := os.ReadFile("/etc/machine-id"); err == nil && len(b) <= 128 {
		if id := strings.TrimSpace(string(b)); id != "" {
			return id
		}
	}
	name, _ := os.Hostname()
	return name
}

// placeOf is the identity of a file in its place, without a nonce.
func placeOf(info os.FileInfo) Identity {
	i := Identity{Machine: machine()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		i.FileSystem, i.Inode = uint64(st.Dev), uint64(st.Ino)
	}
	return i
}

// arrive decides which identity h has in this place, given the incarnation that
// the companion file says, and counts the opening.
func (h *head) arrive(place Identity, companion uint64, found bool) {
	// The ledger is written before the companion, so a crash between the two
	// leaves the ledger one ahead.
	fits := found && (h.Incarnation == companion || h.Incarnation == companion+1)
	place.Nonce = h.Identity.Nonce
	if !fits || place != h.Identity {
		place.Nonce = random()
	}
	h.Identity = place
	h.Incarnation++
}

// random draws a number that is not 0.
func random() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:]) // never fails
		if n := binary.LittleEndian.Uint64(b[:]); n != 0 {
			return n
		}
	}
}

func companionPath(path string) string { return path + ".incarnation" }

// companionText is one line, so that people can read it.
func companionText(id, incarnation uint64) []byte {
	line := fmt.Sprintf("eowriter-incarnation 1 %016x %d", id, incarnation)
	return fmt.Appendf(nil, "%s %08x\n", line, crc32.Checksum([]byte(line), castagnoli))
}

// readCompanion finds the incarnation in the companion file. A file that is
// missing, damaged or of another ledger is not found: that is suspicious, and not
// an error.
func readCompanion(path string, id uint64) (incarnation uint64, found bool, err error) {
	f, err := os.Open(companionPath(path))
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("read the incarnation: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<10)) // far more than it has
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, false, fmt.Errorf("read the incarnation: %w", err)
	}
	var of uint64
	if _, err := fmt.Sscanf(string(b), "eowriter-incarnation 1 %x %d", &of, &incarnation); err != nil {
		return 0, false, nil
	}
	return incarnation, of == id && bytes.Equal(b, companionText(id, incarnation)), nil
}

// writeCompanion replaces the companion file, durably.
func writeCompanion(path string, id, incarnation uint64) error {
	name := companionPath(path)
	if err := replaceFile(name, companionText(id, incarnation)); err != nil {
		return fmt.Errorf("write the incarnation: %w", err)
	}
	return nil
}

// replaceFile writes a file of mode 0600 beside its place and moves it there.
func replaceFile(name string, content []byte) (err error) {
	temporary := name + ".new"
	os.Remove(temporary) // what a crash left
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temporary, name)
	}
	if err != nil {
		os.Remove(temporary)
		return err
	}
	return syncFolder(filepath.Dir(name))
}

// syncFolder makes names in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
