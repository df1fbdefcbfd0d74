package workload

import "syscall"

// dieWithUs lets the kernel kill a child when this process dies, whatever kills it, and keeps Ctrl-C on the terminal
// away from it: it is for us to end it.
func dieWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
