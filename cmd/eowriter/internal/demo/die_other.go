//go:build !linux

package demo

import "syscall"

func dieWithUs() *syscall.SysProcAttr { return nil }
