//go:build !linux

package telemetry

// diskOf isn't known here.
func diskOf(string) (free, size int64, ok bool) { return 0, 0, false }
