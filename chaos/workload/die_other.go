//go:build !linux

package workload

import "syscall"

func dieWithUs() *syscall.SysProcAttr { return nil }
