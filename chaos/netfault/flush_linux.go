package netfault

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// flush waits until the peer's kernel has all that was written: a reset throws away what it hasn't. The kernel tells
// nobody when that is, so it is asked. A peer that reads nothing is not waited for long.
func flush(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(50 * time.Microsecond) {
		queued := 0
		if err := raw.Control(func(fd uintptr) { queued, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }); err != nil || queued <= 0 {
			return
		}
	}
}
