package rows

import (
	"encoding/binary"
	"fmt"
)

// numericType is what the values of a NUMERIC or BIGNUMERIC column can be.
type numericType struct {
	name  string
	scale int // digits behind the point
	// above is the least magnitude, times 10^scale, that doesn't fit; negative numbers may reach it
	// if lowest is set. BIGNUMERIC's range is that of 256 bits in two's complement.
	above  uint256
	lowest bool
	// limit is above for a column with a declared precision, after the service has rounded to the
	// declared scale.
	limit uint256
}

var (
	plainNumeric    = numericType{name: "NUMERIC", scale: 9, above: powerOfTen(38), limit: powerOfTen(38)}
	plainBignumeric = numericType{name: "BIGNUMERIC", scale: 38, above: uint256{0, 0, 0, 1 << 63}, limit: uint256{0, 0, 0, 1 << 63}, lowest: true}
)

// powerOfTen returns 10^n, which must fit.
func powerOfTen(n int) (x uint256) {
	x[0] = 1
	for ; n > 0; n -= min(n, maxPower) {
		x.mulAdd(powers[min(n, maxPower)], 0)
	}
	return x
}

// parameterized returns t with a declared precision and scale; both 0: t itself.
func (t numericType) parameterized(precision, scale int64) (*numericType, error) {
	if precision == 0 && scale == 0 {
		return &t, nil
	}
	wholeDigits := int64(29)
	if t.scale == 38 {
		wholeDigits = 38
	}
	if scale < 0 || scale > int64(t.scale) || precision < max(1, scale) || precision > scale+wholeDigits {
		return nil, fmt.Errorf("%s(%d, %d) is no type of BigQuery", t.name, precision, scale)
	}
	// The service rounds half away from zero (case 45), so what reaches 10^precision at the declared
	// scale by more than half a unit doesn't fit.
	t.limit = powerOfTen(int(precision-scale) + t.scale)
	if unit := t.scale - int(scale); unit > 0 {
		half := powerOfTen(unit - 1)
		half.mulAdd(5, 0)
		t.limit.subtract(&half)
	}
	t.lowest = t.lowest && !t.limit.less(&t.above)
	return &t, nil
}

// parse returns ±value × 10^scale, exactly.
func (t *numericType) parse(d decimal) (abs uint256, negative bool, bad problem) {
	d = d.normal()
	if d.exponent+t.scale < 0 {
		if t.scale == 38 {
			return uint256{}, false, problem{TooFine, "more than 38 digits behind the point, which BIGNUMERIC can't hold"}
		}
		return uint256{}, false, problem{TooFine, "more than 9 digits behind the point, which NUMERIC can't hold"}
	}
	abs, fits := d.scaled(t.scale)
	negative = d.negative && d.digits() > 0
	switch {
	case fits && abs.less(&t.limit):
		return abs, negative, problem{}
	case fits && t.lowest && negative && abs == t.above:
		return abs, negative, problem{}
	case fits && abs.less(&t.above):
		return uint256{}, false, problem{OutOfRange, "more digits than the column's precision"}
	}
	return uint256{}, false, problem{OutOfRange, "out of range for " + t.name}
}

// appendDecimal appends ±abs as a length-delimited value: two's complement, lowest byte first, as
// few bytes as hold the sign (docs/service-facts.md, case 46).
func appendDecimal(dst []byte, abs uint256, negative bool) []byte {
	if negative {
		zero := uint256{}
		zero.subtract(&abs)
		abs = zero
	}
	var b [32]byte
	for i, w := range abs {
		binary.LittleEndian.PutUint64(b[i*8:], w)
	}
	filler := byte(0)
	if negative {
		filler = 0xff
	}
	n := len(b)
	for n > 1 && b[n-1] == filler && (b[n-2]^filler) < 0x80 {
		n--
	}
	dst = append(dst, byte(n))
	return append(dst, b[:n]...)
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
