package guard

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Files name what a Guard goes by. Each may be "", but Cert and Key need each other, and ClientCA needs them.
type Files struct {
	Cert, Key string // the server's, PEM
	ClientCA  string // PEM; clients must show a certificate that one of these has signed
	Tokens    string // YAML; clients must be in it
}

// Strict says that a Guard made of them would be.
func (f Files) Strict() bool { return f.Cert != "" && (f.ClientCA != "" || f.Tokens != "") }

// maxFile bounds what is read of each.
const maxFile = 1 << 20

// What others may not do with a file. The group may read one: so Kubernetes gives secrets to who isn't root.
const (
	secret    = 0o027
	unchanged = 0o022
)

// contents are those of all files.
type contents struct{ cert, key, ca, tokens []byte }

// read reads all files, by the names that they have now: Kubernetes changes what a symbolic link points to.
func (f Files) read() (c contents, err error) {
	for _, one := range []struct {
		flag, path string
		into       *[]byte
		forbidden  uint32
	}{
		{"--tls-cert", f.Cert, &c.cert, unchanged},
		{"--tls-key", f.Key, &c.key, secret},
		{"--tls-client-ca", f.ClientCA, &c.ca, unchanged},
		{"--tokens", f.Tokens, &c.tokens, secret},
	} {
		if one.path == "" {
			continue
		}
		if *one.into, err = readFile(one.path, one.forbidden); err != nil {
			return c, fmt.Errorf("%s: %w", one.flag, err)
		}
	}
	return c, nil
}

// readFile reads a file that others can't have changed or, if it is secret, read.
func readFile(path string, forbidden uint32) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would wait for its writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("%s is no file", path)
	case int(st.Uid) != os.Geteuid() && st.Uid != 0:
		return nil, fmt.Errorf("%s is somebody else's, who could change it", path)
	case uint32(st.Mode)&forbidden != 0:
		return nil, fmt.Errorf("others may read or change %s (mode %04o, want %04o or less)", path, st.Mode&0o777, 0o666&^forbidden)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = errors.New("more than 1 MiB")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return b, nil
}
