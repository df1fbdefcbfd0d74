package rows

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

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
		return dst, wrongText("longer than "+strconv.Itoa(f.maxLength)+" characters", raw)
	}
	if escaped {
		return closeLength(dst, length), nil
	}
	dst = protowire.AppendVarint(dst, uint64(len(raw)))
	return append(dst, raw...), nil
}

// integer reads a number or a string of one.
func (p *parser) integer(dst []byte, f *field, c byte) (int64, *Error) {
	switch {
	case c == '-' || c-'0' <= 9:
		if v, ok := p.shortInteger(); ok {
			return v, nil
		}
		text, err := p.number()
		if err != nil {
			return 0, err
		}
		return exactInteger(text, f.column.name)
	case c == '"':
		text, err := p.text(dst)
		if err != nil {
			return 0, err
		}
		if end, ok := numberEnd(text, 0); !ok || end != len(text) {
			return 0, wrongText("wrong type: want INTEGER, got a string that is no number", text)
		}
		return exactInteger(text, f.column.name)
	default:
		return 0, p.wrongType(f.column.name, c)
	}
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

// exactInteger returns the value of a well-formed JSON number if it is an integer of 64 bits,
// however it is spelt: 1.0, 1e3 and 120e-1 are, 1.5 is not. It never rounds.
func exactInteger(text []byte, typ string) (int64, *Error) {
	mantissa, negative := bytes.CutPrefix(text, []byte("-"))
	exponent := 0
	if e := bytes.IndexAny(mantissa, "eE"); e >= 0 {
		exponent = exponentOf(mantissa[e+1:])
		mantissa = mantissa[:e]
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	fraction = bytes.TrimRight(fraction, "0")
	if len(fraction) == 0 {
		n := len(whole)
		whole = bytes.TrimRight(whole, "0")
		exponent += n - len(whole)
	}
	if len(whole)+len(fraction) == 0 {
		return 0, nil
	}
	// The last digit isn't 0 now, so a negative exponent is a fraction.
	if exponent -= len(fraction); exponent < 0 {
		return 0, wrongText("not an integer", text)
	}
	v, fits := uint64(0), true
	for _, c := range whole {
		v, fits = timesTen(v, c-'0', fits)
	}
	for _, c := range fraction {
		v, fits = timesTen(v, c-'0', fits)
	}
	for ; exponent > 0 && fits; exponent-- {
		v, fits = timesTen(v, 0, fits)
	}
	switch {
	case fits && negative && v <= 1<<63:
		return -int64(v), nil
	case fits && !negative && v < 1<<63:
		return int64(v), nil
	}
	return 0, wrongText("out of range for "+typ, text)
}

// timesTen returns 10v+digit, and whether that and everything before it fits in 64 bits.
func timesTen(v uint64, digit byte, fits bool) (uint64, bool) {
	const most = (math.MaxUint64 - 9) / 10
	return v*10 + uint64(digit), fits && v <= most
}

// exponentOf returns the exponent that the digits after an e spell, bounded so that no sum with the
// length of a number overflows.
func exponentOf(text []byte) int {
	const bound = 1 << 40
	v, negative := 0, text[0] == '-'
	for _, c := range bytes.TrimLeft(text, "+-") {
		v = min(v*10+int(c-'0'), bound)
	}
	if negative {
		return -v
	}
	return v
}

// float reads a number or a string of one, or of a value that JSON has no number for, and returns
// the bits of the nearest double.
func (p *parser) float(dst []byte, f *field, c byte) (uint64, *Error) {
	var text []byte
	var err *Error
	switch {
	case c == '-' || c-'0' <= 9:
		if text, err = p.number(); err != nil {
			return 0, err
		}
	case c == '"':
		if text, err = p.text(dst); err != nil {
			return 0, err
		}
		switch string(text) {
		case "NaN":
			return math.Float64bits(math.NaN()), nil
		case "Infinity":
			return math.Float64bits(math.Inf(1)), nil
		case "-Infinity":
			return math.Float64bits(math.Inf(-1)), nil
		}
		if end, ok := numberEnd(text, 0); !ok || end != len(text) {
			return 0, wrongText("wrong type: want FLOAT, got a string that is no number", text)
		}
	default:
		return 0, p.wrongType(f.column.name, c)
	}
	// The string shares text's memory: ParseFloat keeps nothing of it, and clones it for an error.
	v, parseErr := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64)
	if parseErr != nil { // well-formed, so it can only be too large
		return 0, wrongText("out of range for "+f.column.name, text)
	}
	return math.Float64bits(v), nil
}

// bool reads true, false or a string of one of them.
func (p *parser) bool(dst []byte, f *field, c byte) (byte, *Error) {
	switch c {
	case 't':
		return 1, p.literal("true")
	case 'f':
		return 0, p.literal("false")
	case '"':
		text, err := p.text(dst)
		if err != nil {
			return 0, err
		}
		switch string(text) {
		case "true":
			return 1, nil
		case "false":
			return 0, nil
		}
		return 0, wrongText("wrong type: want BOOL, got a string that is neither true nor false", text)
	default:
		return 0, p.wrongType(f.column.name, c)
	}
}
