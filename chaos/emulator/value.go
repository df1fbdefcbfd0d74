package emulator

import (
	"math"
	"strconv"
	"strings"
)

// ValueKind says what a Value is.
type ValueKind uint8

// The kinds of values. The zero Value is NULL.
const (
	NullValue   ValueKind = iota
	ScalarValue           // Text, and Micros of a TIMESTAMP
	RangeValue            // Text, and Items: start and end, NULL where unbounded
	ListValue             // Items: the elements, never NULL themselves; an empty REPEATED column has none
	RecordValue           // Items: one for each field of the column, in the schema's order
)

// Value is what one column of one row holds, as BigQuery's tabledata.list shows it. It is immutable: Items are shared
// and must not be modified.
type Value struct {
	Kind ValueKind
	// Text is the value's canonical spelling: INTEGER in decimal; FLOAT the shortest digits that read back the same
	// ("1.0", "1.5E10", "NaN", "Infinity", "-Infinity"); BOOLEAN "true" or "false"; NUMERIC and BIGNUMERIC exactly,
	// without exponent and trailing zeros; BYTES in standard base64; DATE "2024-02-29"; TIME "23:59:59.999999" and
	// DATETIME "2024-02-29T23:59:59.999999", with six digits of fraction or none; INTERVAL "1-2 3 4:5:6.789"; JSON
	// compact; GEOGRAPHY as it was sent; TIMESTAMP its microseconds since 1970, or with a precision of 12 digits
	// "2024-02-29T23:59:59.123456789012Z"; RANGE "[start, end)" of these, with UNBOUNDED.
	Text string
	// Micros of a TIMESTAMP: microseconds since 1970-01-01 00:00:00 UTC.
	Micros int64
	Items  []Value
}

// Seconds spells a TIMESTAMP the way tabledata.list does unless it is asked for integers: seconds as a FLOAT, such
// as "1.4200704E9", exact to the microsecond.
func (v Value) Seconds() string {
	digits := strconv.FormatInt(v.Micros, 10)
	sign := ""
	if v.Micros < 0 {
		sign, digits = "-", digits[1:]
	}
	return sign + scientific(strings.TrimRight(digits, "0"), len(digits)-6)
}

func scalarValue(text string) Value { return Value{Kind: ScalarValue, Text: text} }

// formatFloat spells a FLOAT.
func formatFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	text := strconv.FormatFloat(f, 'e', -1, 64)
	sign := ""
	if text[0] == '-' {
		sign, text = "-", text[1:]
	}
	mantissa, exponent, _ := strings.Cut(text, "e")
	e, _ := strconv.Atoi(exponent) // FormatFloat's own
	return sign + scientific(strings.TrimRight(strings.Replace(mantissa, ".", "", 1), "0"), e+1)
}

// scientific spells 0.digits * 10^point, digits without trailing zeros: plainly from 0.001 up to 10^7, otherwise with an
// exponent, always with a fraction.
func scientific(digits string, point int) string {
	switch {
	case digits == "":
		return "0.0"
	case point > 7 || point < -2:
		return digits[:1] + "." + orZero(digits[1:]) + "E" + strconv.Itoa(point-1)
	case point <= 0:
		return "0." + strings.Repeat("0", -point) + digits
	case point >= len(digits):
		return digits + strings.Repeat("0", point-len(digits)) + ".0"
	}
	return digits[:point] + "." + digits[point:]
}

func orZero(digits string) string {
	if digits == "" {
		return "0"
	}
	return digits
}
