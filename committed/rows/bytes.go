package rows

import (
	"math"
	"strconv"
)

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

const (
	noSextet  = 0xff
	base64Std = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
)

// sextets has the value of each byte in either alphabet of RFC 4648; which one a text uses doesn't
// matter, its bytes are the same.
var sextets = func() (t [256]byte) {
	for i := range t {
		t[i] = noSextet
	}
	for i := range 64 {
		t[base64Std[i]], t[base64URL[i]] = byte(i), byte(i)
	}
	return t
}()

var notBase64 = problem{BadValue, "not BYTES: want base64"}

// decodeBase64 appends to dst the bytes that src stands for, in the standard or the URL alphabet,
// padded or not. Line ends, and bits set behind the last byte, are refused. src may be what stands
// in dst's memory behind its length: writing never overtakes reading. (encoding/base64 promises
// nothing of the sort and skips line ends.)
func decodeBase64(dst, src []byte) ([]byte, problem) {
	if n := len(src); n%4 == 0 && n > 0 && src[n-1] == '=' {
		src = src[:n-1]
		if src[n-2] == '=' {
			src = src[:n-2]
		}
	}
	for len(src) >= 4 {
		a, b, c, d := sextets[src[0]], sextets[src[1]], sextets[src[2]], sextets[src[3]]
		if a|b|c|d >= 64 {
			return dst, notBase64
		}
		src = src[4:]
		dst = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|d)
	}
	switch len(src) {
	case 0:
		return dst, problem{}
	case 2:
		a, b := sextets[src[0]], sextets[src[1]]
		if a|b >= 64 || b<<4 != 0 {
			return dst, notBase64
		}
		return append(dst, a<<2|b>>4), problem{}
	case 3:
		a, b, c := sextets[src[0]], sextets[src[1]], sextets[src[2]]
		if a|b|c >= 64 || c<<6 != 0 {
			return dst, notBase64
		}
		return append(dst, a<<2|b>>4, b<<4|c>>2), problem{}
	}
	return dst, notBase64
}
