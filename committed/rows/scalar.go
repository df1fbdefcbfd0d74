package rows

import (
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

func isNumber(c byte) bool { return c == '-' || c-'0' <= 9 }

func (p *parser) string(dst []byte, f *field, c byte) ([]byte, *Error) {
	if c != '"' {
		return dst, p.wrongType("STRING", c)
	}
	start, length := p.pos, len(dst)
	raw, escaped, err := p.quoted()
	if err != nil {
		return dst, err
	}
	if escaped {
		if dst, err = p.unquote(append(dst, 0), start); err != nil {
			return dst, err
		}
		raw = dst[length+1:]
	}
	if f.maxLength > 0 && len(raw) > f.maxLength && utf8.RuneCount(raw) > f.maxLength {
		return dst, problem{TooLong, "longer than " + strconv.Itoa(f.maxLength) + " characters"}.with(raw)
	}
	if escaped {
		return closeLength(dst, length), nil
	}
	dst = protowire.AppendVarint(dst, uint64(len(raw)))
	return append(dst, raw...), nil
}

// numberOrText reads a number, or a string of one, and returns its text, valid like text's.
func (p *parser) numberOrText(dst []byte, f *field, c byte) ([]byte, *Error) {
	switch {
	case isNumber(c):
		return p.number()
	case c == '"':
		return p.text(dst)
	}
	return nil, p.wrongType(f.column.name, c)
}

// split takes apart what numberOrText has read.
func split(text []byte, f *field) (decimal, *Error) {
	d, ok := splitDecimal(text)
	if !ok {
		return d, notANumber(text, f)
	}
	return d, nil
}

func notANumber(text []byte, f *field) *Error {
	return problem{BadValue, "wrong type: want " + f.column.name + ", got a string that is no number"}.with(text)
}

// integer reads a number or a string of one.
func (p *parser) integer(dst []byte, f *field, c byte) (int64, *Error) {
	if isNumber(c) {
		if v, ok := p.shortInteger(); ok {
			return v, nil
		}
	}
	text, err := p.numberOrText(dst, f, c)
	if err != nil {
		return 0, err
	}
	d, err := split(text, f)
	if err != nil {
		return 0, err
	}
	v, bad := d.integer()
	if bad.kind == OutOfRange {
		bad.reason = "out of range for " + f.column.name
	}
	if bad.found() {
		return 0, bad.with(text)
	}
	return v, nil
}

// shortInteger reads the number at pos if it is spelt with at most 18 digits and nothing else, so
// that it can't overflow. Otherwise it reads nothing.
func (p *parser) shortInteger() (int64, bool) {
	b, i := p.in, p.pos
	negative := b[i] == '-'
	if negative {
		i++
	}
	first, v := i, int64(0)
	for i < len(b) && b[i]-'0' <= 9 && i < first+19 {
		v = v*10 + int64(b[i]-'0')
		i++
	}
	if n := i - first; n == 0 || n > 18 || n > 1 && b[first] == '0' {
		return 0, false
	}
	if i < len(b) && (b[i] == '.' || b[i]|0x20 == 'e') {
		return 0, false
	}
	p.pos = i
	if negative {
		v = -v
	}
	return v, true
}

// numeric reads a number or a string of one, exactly.
func (p *parser) numeric(dst []byte, f *field, c byte) (abs uint256, negative bool, err *Error) {
	text, err := p.numberOrText(dst, f, c)
	if err != nil {
		return uint256{}, false, err
	}
	d, err := split(text, f)
	if err != nil {
		return uint256{}, false, err
	}
	abs, negative, bad := f.numeric.parse(d)
	if bad.found() {
		return uint256{}, false, bad.with(text)
	}
	return abs, negative, nil
}

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

// bool reads true or false, 1 or 0, or a string that parseBool knows.
func (p *parser) bool(dst []byte, f *field, c byte) (byte, *Error) {
	switch {
	case c == 't':
		return 1, p.literal("true")
	case c == 'f':
		return 0, p.literal("false")
	case isNumber(c):
		text, err := p.number()
		if err != nil {
			return 0, err
		}
		if len(text) == 1 && text[0] <= '1' && text[0] >= '0' {
			return text[0] - '0', nil
		}
		return 0, problem{BadValue, "wrong type: want BOOL, got a number that is neither 1 nor 0"}.with(text)
	case c == '"':
		text, err := p.text(dst)
		if err != nil {
			return 0, err
		}
		v, bad := parseBool(text)
		if bad.found() {
			return 0, bad.with(text)
		}
		return v, nil
	}
	return 0, p.wrongType(f.column.name, c)
}

// parseBool reads what load jobs read as a BOOL, in any case.
func parseBool(b []byte) (v byte, bad problem) {
	for _, word := range [...]string{"true", "t", "yes", "y", "1"} {
		if equalFold(b, word) {
			return 1, problem{}
		}
	}
	for _, word := range [...]string{"false", "f", "no", "n", "0"} {
		if equalFold(b, word) {
			return 0, problem{}
		}
	}
	return 0, problem{BadValue, "wrong type: want BOOL, got a string that is neither true nor false"}
}

// bytes reads base64 text, or an array of the bytes as numbers (from -128 to 255, as JsonStreamWriter
// has signed ones).
func (p *parser) bytes(dst []byte, f *field, c byte) ([]byte, *Error) {
	start, pos := len(dst), p.pos
	dst = append(dst, 0)
	var err *Error
	switch c {
	case '"':
		var text []byte
		if text, err = p.text(dst); err != nil {
			return dst, err
		}
		var bad problem
		if dst, bad = decodeBase64(dst, text); bad.found() {
			p.pos = pos // decoding may have overwritten text
			return dst, p.wrong(bad.kind, bad.reason)
		}
	case '[':
		if dst, err = p.byteArray(dst, f); err != nil {
			return dst, err
		}
	default:
		return dst, p.wrongType("BYTES", c)
	}
	if n := len(dst) - start - 1; f.maxLength > 0 && n > f.maxLength {
		return dst, &Error{Kind: TooLong, Reason: "longer than " + strconv.Itoa(f.maxLength) + " bytes"}
	}
	return closeLength(dst, start), nil
}

func (p *parser) byteArray(dst []byte, f *field) ([]byte, *Error) {
	p.pos++ // [
	if p.peek() == ']' {
		p.pos++
		return dst, nil
	}
	for i := 0; ; i++ {
		c := p.peek()
		if !isNumber(c) {
			return dst, p.wrongType("a byte", c).at(i)
		}
		start := p.pos
		v, err := p.integer(dst, f, c)
		if err != nil {
			return dst, err.at(i)
		}
		if v < math.MinInt8 || v > math.MaxUint8 {
			return dst, problem{OutOfRange, "out of range for a byte"}.with(p.in[start:p.pos]).at(i)
		}
		dst = append(dst, byte(v))
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			return dst, nil
		default:
			return dst, p.syntax("want ',' or ']'").at(i)
		}
	}
}
