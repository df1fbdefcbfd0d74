package emulator

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// decimalFormat is a NUMERIC or BIGNUMERIC column: how its values are rounded and what it holds. A value is an integer,
// scaled by 10^digits.
type decimalFormat struct {
	name     string
	digits   int // of the type's fraction
	size     int // bytes that a value takes at most
	min, max *big.Int
	round    *big.Int // 10^(digits - the column's scale); nil without parameters
	limit    *big.Int // values are smaller than this; nil without parameters
}

var (
	ten = big.NewInt(10)
	one = big.NewInt(1)

	numericMax    = new(big.Int).Sub(power(38), one)
	bigNumericMax = new(big.Int).Sub(new(big.Int).Lsh(one, 255), one)
)

func power(n int) *big.Int { return new(big.Int).Exp(ten, big.NewInt(int64(n)), nil) }

func decimalFormatOf(column *storagepb.TableFieldSchema) *decimalFormat {
	f := &decimalFormat{name: column.GetType().String(), digits: 9, size: 16, max: numericMax, min: new(big.Int).Neg(numericMax)}
	if column.GetType() == storagepb.TableFieldSchema_BIGNUMERIC {
		f.digits, f.size, f.max, f.min = 38, 32, bigNumericMax, new(big.Int).Not(bigNumericMax)
	}
	if precision, scale := int(column.GetPrecision()), int(column.GetScale()); precision > 0 {
		f.name = fmt.Sprintf("%s(%d, %d)", f.name, precision, scale)
		f.round, f.limit = power(f.digits-scale), power(f.digits+precision-scale)
	}
	return f
}

// parse reads a value: first to the type's digits, then to the column's, each rounded half away from zero (case 45).
func (f *decimalFormat) parse(s scalar) (*big.Int, string) {
	v := f.exact(s)
	if v == nil {
		return nil, "Invalid " + f.name + " value"
	}
	if f.round != nil {
		v = divideRounded(v, f.round)
		v.Mul(v, f.round)
	}
	if v.Cmp(f.min) < 0 || v.Cmp(f.max) > 0 || f.limit != nil && v.CmpAbs(f.limit) >= 0 {
		return nil, f.name + " value is out of range"
	}
	return v, ""
}

// exact reads a value to the type's digits, nil if it is none.
func (f *decimalFormat) exact(s scalar) *big.Int {
	switch s.kind {
	case protoreflect.BytesKind:
		return f.bytes(s.text)
	case protoreflect.StringKind:
		return f.text(string(s.text))
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		v := s.float()
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		r := new(big.Rat).SetFloat64(v)
		return divideRounded(new(big.Int).Mul(r.Num(), power(f.digits)), r.Denom())
	case protoreflect.Uint64Kind:
		return new(big.Int).Mul(new(big.Int).SetUint64(s.num), power(f.digits))
	}
	return new(big.Int).Mul(big.NewInt(s.int()), power(f.digits))
}

// bytes reads little-endian two's complement (case 46).
func (f *decimalFormat) bytes(b []byte) *big.Int {
	if len(b) == 0 || len(b) > f.size {
		return nil
	}
	b = slices.Clone(b)
	slices.Reverse(b)
	v := new(big.Int).SetBytes(b)
	if b[0] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(one, uint(8*len(b))))
	}
	return v
}

// text reads [sign]digits[.digits][e[sign]digits]. Digits far beyond the type's are not looked at one by one.
func (f *decimalFormat) text(s string) *big.Int {
	s = strings.TrimSpace(s)
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	exponent := 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(s[i+1:]); err != nil || exponent > 1<<30 || exponent < -1<<30 {
			return nil
		}
		s = s[:i]
	}
	whole, fraction, _ := strings.Cut(s, ".")
	digits := whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return nil
	}
	significant := strings.TrimLeft(digits, "0")
	point := len(whole) + exponent - (len(digits) - len(significant)) + f.digits // digits of the scaled integer
	switch {
	case significant == "" || point < 0:
		return new(big.Int)
	case point > 80:
		return new(big.Int).Lsh(one, 300) // out of any range
	}
	kept := significant[:min(point, len(significant))]
	v, _ := new(big.Int).SetString("0"+kept+strings.Repeat("0", point-len(kept)), 10)
	if len(significant) > point && significant[point] >= '5' {
		v.Add(v, one)
	}
	if negative {
		v.Neg(v)
	}
	return v
}

// divideRounded divides by a positive number, half away from zero.
func divideRounded(n, d *big.Int) *big.Int {
	q, rest := new(big.Int).QuoRem(n, d, new(big.Int))
	if rest.Lsh(rest, 1).CmpAbs(d) >= 0 {
		q.Add(q, big.NewInt(int64(n.Sign())))
	}
	return q
}

func (f *decimalFormat) value(v *big.Int) Value {
	text := new(big.Int).Abs(v).String()
	if short := f.digits + 1 - len(text); short > 0 {
		text = strings.Repeat("0", short) + text
	}
	at := len(text) - f.digits
	text = strings.TrimSuffix(text[:at]+"."+strings.TrimRight(text[at:], "0"), ".")
	if v.Sign() < 0 {
		text = "-" + text
	}
	return scalarValue(text)
}
