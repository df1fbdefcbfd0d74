//go:build !linux

package workload

func fillDisk(string) { die("fill the disk: only Linux knows /dev/full and /proc") }
