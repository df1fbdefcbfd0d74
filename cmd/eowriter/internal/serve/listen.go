package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what the kernel takes.
const maxSocketPath = 107

// listeners are where requests come from.
type listeners struct {
	all  []net.Listener
	lock *os.File // says that the socket is ours
}

func (l *listeners) addresses() (list []string) {
	for _, one := range l.all {
		if one.Addr().Network() == "unix" {
			list = append(list, "unix:"+one.Addr().String())
		} else {
			list = append(list, "http://"+one.Addr().String())
		}
	}
	return list
}

// close closes the listeners, which the server may have done before, and gives up the socket.
func (l *listeners) close() (err error) {
	for _, one := range l.all {
		if closed := one.Close(); !errors.Is(closed, net.ErrClosed) {
			err = errors.Join(err, closed)
		}
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}

// listen listens on a Unix socket and on a port of this machine; either may be "".
func listen(socket, address string) (l *listeners, err error) {
	l = &listeners{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if socket != "" {
		if err := l.unix(socket); err != nil {
			return l, fmt.Errorf("listen on %s: %w", socket, err)
		}
	}
	if address != "" {
		one, err := net.Listen("tcp", address)
		if err != nil {
			return l, err
		}
		l.all = append(l.all, one)
		if !one.Addr().(*net.TCPAddr).IP.IsLoopback() {
			return l, fmt.Errorf("listen on %s: only on loopback: others could write rows and read positions", one.Addr())
		}
	}
	return l, nil
}

// unix listens on a Unix socket. A socket is open to everybody between its making and a chmod: so it stands in a folder that
// only its owner may enter.
func (l *listeners) unix(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("the path of a socket has at most %d bytes", maxSocketPath)
	}
	if err := ownFolder(filepath.Dir(path)); err != nil {
		return err
	}
	var err error
	if l.lock, err = lock(path + ".lock"); err != nil {
		return err
	}
	// Whoever left one there is gone: the lock is ours.
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("there is something else than a socket")
	default:
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	one, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	l.all = append(l.all, one)
	return os.Chmod(path, 0o600)
}

// ownFolder makes a folder for its owner alone, or sees that it is one.
func ownFolder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: dir, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is no folder", dir)
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("folder %s is somebody else's: name a socket in a folder of its own, which is made", dir)
	case st.Mode&0o077 != 0:
		return fmt.Errorf("others may enter folder %s (mode %04o, not 0700): name a socket in a folder of its own, which is made", dir, st.Mode&0o777)
	}
	return nil
}

// lock takes a file's lock, which ends with the process.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.New("another process serves there")
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
