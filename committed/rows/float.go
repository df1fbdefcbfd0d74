package rows

import (
	"math"
	"strconv"
	"unsafe"
)

// float reads a number or a string of one, or of a value that JSON has no number for, and returns
// the bits of the nearest double.
func (p *parser) float(dst []byte, f *field, c byte) (uint64, *Error) {
	text, err := p.numberOrText(dst, f, c)
	if err != nil {
		return 0, err
	}
	if c == '"' {
		if v, ok := parseNonFinite(text); ok {
			return math.Float64bits(v), nil
		}
		if _, err := split(text, f); err != nil {
			return 0, err
		}
	}
	// The string shares text's memory: ParseFloat keeps nothing of it, and clones it for an error.
	v, parseErr := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64)
	if parseErr != nil { // well-formed, so it can only be too large
		return 0, problem{OutOfRange, "out of range for FLOAT"}.with(text)
	}
	return math.Float64bits(v), nil
}

// parseNonFinite reads NaN, Inf and Infinity in any case, the latter two with a sign.
func parseNonFinite(b []byte) (v float64, ok bool) {
	if equalFold(b, "nan") {
		return math.NaN(), true
	}
	sign := 1
	if len(b) > 0 && b[0] == '-' {
		sign = -1
	}
	if b = withoutSign(b); equalFold(b, "inf") || equalFold(b, "infinity") {
		return math.Inf(sign), true
	}
	return 0, false
}

// equalFold reports whether b is lower in any case; lower is in lower case and ASCII.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
