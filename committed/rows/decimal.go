package rows

import (
	"bytes"
	"math/bits"
)

// decimal is a number's text, taken apart: ±whole.fraction × 10^exponent.
type decimal struct {
	negative        bool
	whole, fraction []byte
	exponent        int
}

// splitDecimal takes apart the text of a number as JSON spells it, or more loosely, as strings do:
// with a plus sign, leading zeros, or no digits on one side of the point.
func splitDecimal(b []byte) (d decimal, ok bool) {
	i := 0
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		d.negative = b[0] == '-'
		i = 1
	}
	end := digitsEnd(b, i)
	d.whole, i = b[i:end], end
	if i < len(b) && b[i] == '.' {
		end = digitsEnd(b, i+1)
		d.fraction, i = b[i+1:end], end
	}
	if len(d.whole)+len(d.fraction) == 0 {
		return decimal{}, false
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if d.exponent, ok = parseExponent(b[i+1:]); !ok {
			return decimal{}, false
		}
		i = len(b)
	}
	return d, i == len(b)
}

// parseExponent reads what stands behind an e, bounded so that no sum with the length of a number
// overflows.
func parseExponent(b []byte) (v int, ok bool) {
	const bound = 1 << 40
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 || digitsEnd(b, 0) != len(b) {
		return 0, false
	}
	for _, c := range b {
		v = min(v*10+int(c-'0'), bound)
	}
	if negative {
		v = -v
	}
	return v, true
}

// normal returns d without leading and trailing zeros, as digits × 10^exponent, where the digits are
// those of whole and then fraction. Zero has none.
func (d decimal) normal() decimal {
	d.exponent -= len(d.fraction)
	d.whole = bytes.TrimLeft(d.whole, "0")
	if len(d.whole) == 0 {
		d.fraction = bytes.TrimLeft(d.fraction, "0")
	}
	n := len(d.fraction)
	d.fraction = bytes.TrimRight(d.fraction, "0")
	d.exponent += n - len(d.fraction)
	if len(d.fraction) == 0 {
		n = len(d.whole)
		d.whole = bytes.TrimRight(d.whole, "0")
		d.exponent += n - len(d.whole)
	}
	if d.digits() == 0 {
		d.exponent = 0
	}
	return d
}

// digits counts the digits of a normal decimal.
func (d decimal) digits() int { return len(d.whole) + len(d.fraction) }

// scaled returns the digits of a normal decimal × 10^(exponent+scale), which must not be negative.
func (d decimal) scaled(scale int) (abs uint256, fits bool) {
	const most = 78 // digits of 2^256
	zeros := d.exponent + scale
	if d.digits() == 0 {
		return uint256{}, true
	}
	if d.digits() > most || zeros > most {
		return uint256{}, false
	}
	fits = true
	for _, part := range [...][]byte{d.whole, d.fraction} {
		for len(part) > 0 && fits {
			n := min(len(part), maxPower)
			chunk := uint64(0)
			for _, c := range part[:n] {
				chunk = chunk*10 + uint64(c-'0')
			}
			fits = abs.mulAdd(powers[n], chunk)
			part = part[n:]
		}
	}
	for zeros > 0 && fits {
		n := min(zeros, maxPower)
		fits = abs.mulAdd(powers[n], 0)
		zeros -= n
	}
	return abs, fits
}

// uint256 is an unsigned number, its lowest 64 bits first.
type uint256 [4]uint64

// maxPower is the largest power of ten in 64 bits.
const maxPower = 19

var powers = func() (p [maxPower + 1]uint64) {
	p[0] = 1
	for i := 1; i <= maxPower; i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// mulAdd makes x x*m+a and reports whether that fits.
func (x *uint256) mulAdd(m, a uint64) (fits bool) {
	for i, w := range x {
		high, low := bits.Mul64(w, m)
		var carry uint64
		x[i], carry = bits.Add64(low, a, 0)
		a = high + carry
	}
	return a == 0
}

func (x *uint256) less(y *uint256) bool {
	for i := len(x) - 1; i >= 0; i-- {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

// subtract makes x x-y, modulo 2^256.
func (x *uint256) subtract(y *uint256) {
	var borrow uint64
	for i := range x {
		x[i], borrow = bits.Sub64(x[i], y[i], borrow)
	}
}
