package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/guard"
	"golang.org/x/sys/unix"
)

// maxSocketPath is what the kernel takes.
const maxSocketPath = 107

// OnlyLoopback is why an address is refused.
const OnlyLoopback = "only on loopback, such as 127.0.0.1:8460, unless there are --tls-cert and --tls-key, and --tls-client-ca or --tokens: " +
	"others could write rows and read positions"

// door is a listener, and what there is behind it.
type door struct {
	*conns
	service   bool         // the whole service; otherwise only what reads
	operators bool         // operators' routes
	guard     *guard.Guard // who asks who comes by it; nil: nobody does
}

// local says that only who is on this machine can come by it.
func (d *door) local() bool {
	port, ok := d.Addr().(*net.TCPAddr)
	return !ok || port.IP.IsLoopback()
}

// url is the address for people.
func (d *door) url() string {
	switch {
	case d.Addr().Network() == "unix":
		return "unix:" + d.Addr().String()
	case d.guard.TLS() != nil:
		return "https://" + d.Addr().String()
	}
	return "http://" + d.Addr().String()
}

// doors are where requests come from.
type doors struct {
	all  []*door
	lock *os.File // says that the socket is ours
}

func (l *doors) addresses() (list []string) {
	for _, d := range l.all {
		list = append(list, d.url())
	}
	return list
}

// close closes the listeners, which the server may have done before, and gives up the socket.
func (l *doors) close() (err error) {
	for _, d := range l.all {
		if closed := d.Close(); !errors.Is(closed, net.ErrClosed) {
			err = errors.Join(err, closed)
		}
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}

// closeAll closes the connections of those who were asked who they are.
func (l *doors) closeAll() {
	for _, d := range l.all {
		if d.guard != nil {
			d.conns.closeAll()
		}
	}
}

// open listens where opt says: on the Unix socket, which has everything, on the port, and on that of the operators, who are
// behind the port if they have none of their own.
func open(opt *Options) (l *doors, err error) {
	l = &doors{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if opt.Socket != "" {
		if err := l.unix(opt); err != nil {
			return l, fmt.Errorf("listen on %s: %w", opt.Socket, err)
		}
	}
	if opt.Listen != "" {
		if err := l.tcp(opt, opt.Listen, &door{service: true, operators: opt.AdminListen == "", guard: opt.Guard}); err != nil {
			return l, err
		}
	}
	if opt.AdminListen != "" {
		return l, l.tcp(opt, opt.AdminListen, &door{operators: true, guard: opt.Guard})
	}
	return l, nil
}

// tcp listens on a port, of this machine unless others are asked who they are.
func (l *doors) tcp(opt *Options, address string, d *door) error {
	one, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	d.conns = newConns(one, opt.MaxConnections, opt.MaxRequests)
	l.all = append(l.all, d)
	if !d.local() && !d.guard.Strict() {
		return fmt.Errorf("listen on %s: %s", d.Addr(), OnlyLoopback)
	}
	return nil
}

// unix listens on a Unix socket. A socket is open to everybody between its making and a chmod: so it stands in a folder that
// only its owner may enter.
func (l *doors) unix(opt *Options) error {
	path := opt.Socket
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
	l.all = append(l.all, &door{conns: newConns(one, opt.MaxConnections, opt.MaxRequests), service: true, operators: true})
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
