package rows_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/go-json-experiment/json/jsontext"
)

func oracleYear(at time.Time) bool { return !at.Before(earliest) && !at.After(latest) }

// oracleInstant is what is stored for an instant: microseconds, or for TIMESTAMP(12) text. fraction
// counts units of unit picoseconds behind the second.
func oracleInstant(at time.Time, fraction, unit int64, picos bool) any {
	n := new(big.Int).Mul(big.NewInt(fraction), big.NewInt(unit))
	n.Add(n, new(big.Int).Mul(big.NewInt(at.Unix()), big.NewInt(1_000_000_000_000)))
	second, rest := new(big.Int).DivMod(n, big.NewInt(1_000_000_000_000), new(big.Int))
	if !picos {
		return second.Int64()*1_000_000 + rest.Int64()/1_000_000
	}
	digits := strings.TrimRight(fmt.Sprintf(".%012d", rest), "0")
	return time.Unix(second.Int64(), 0).UTC().Format("2006-01-02T15:04:05") + strings.TrimSuffix(digits, ".") + "Z"
}

// oracleTimestamp reads a timestamp by a regular expression and package time. The fraction is in
// picoseconds.
func oracleTimestamp(text string, picos bool) (at time.Time, fraction int64, ok bool) {
	m := zoned.FindStringSubmatch(text)
	if m == nil || m[2] != m[4] || len(m[9]) > 6 && !picos {
		return at, 0, false
	}
	n := func(s string) int { i, _ := strconv.Atoi(s); return i }
	year, month, day, hour, minute, second := n(m[1]), n(m[3]), n(m[5]), n(m[6]), n(m[7]), n(m[8])
	fraction = int64(n((m[9] + "000000000000")[:12]))
	utc := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if utc.Year() != year || int(utc.Month()) != month || utc.Day() != day || utc.Hour() != hour || utc.Minute() != minute || utc.Second() != second || year == 0 {
		return at, 0, false
	}
	switch zone := m[10]; {
	case zone == "" || zone == "Z" || zone == "z":
		at = utc
	case zone[0] == '+' || zone[0] == '-':
		h, min, _ := strings.Cut(zone[1:], ":")
		if n(h) > 23 || n(min) > 59 {
			return at, 0, false
		}
		offset := time.Duration(n(h))*time.Hour + time.Duration(n(min))*time.Minute
		if zone[0] == '+' {
			offset = -offset
		}
		at = utc.Add(offset)
	default:
		location, err := time.LoadLocation(zone)
		if err != nil || zone == "Local" {
			return at, 0, false
		}
		// The first instant at which the clocks there show this, by any offset that is in force around.
		found := false
		for around := utc.Add(-50 * time.Hour); !around.After(utc.Add(50 * time.Hour)); around = around.Add(time.Hour) {
			_, offset := around.In(location).Zone()
			candidate := utc.Add(-time.Duration(offset) * time.Second)
			const layout = "2006-01-02T15:04:05"
			if candidate.In(location).Format(layout) == utc.Format(layout) && (!found || candidate.Before(at)) {
				at, found = candidate, true
			}
		}
		if !found {
			return at, 0, false
		}
	}
	return at, fraction, oracleYear(at)
}

// civil text and its encoding, by the layout of docs/service-facts.md, section 7, in decimal steps.
var (
	civilDate = regexp.MustCompile(`^([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})$`)
	civilTime = regexp.MustCompile(`^([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:\.([0-9]{1,6}))?)?$`)
)

func oracleCivil(typ storagepb.TableFieldSchema_Type, text string) (int64, bool) {
	date, clock := text, "0:0"
	switch typ {
	case storagepb.TableFieldSchema_TIME:
		date, clock = "1970-01-01", text
	case storagepb.TableFieldSchema_DATETIME:
		if i := strings.IndexAny(text, "Tt "); i >= 0 {
			date, clock = text[:i], text[i+1:]
		}
	}
	n := func(s string) int64 { i, _ := strconv.ParseInt(s, 10, 64); return i }
	d, c := civilDate.FindStringSubmatch(date), civilTime.FindStringSubmatch(clock)
	if d == nil || c == nil {
		return 0, false
	}
	at := time.Date(int(n(d[1])), time.Month(n(d[2])), int(n(d[3])), int(n(c[1])), int(n(c[2])), int(n(c[3])), 0, time.UTC)
	want := fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d", n(d[1]), n(d[2]), n(d[3]), n(c[1]), n(c[2]), n(c[3]))
	if at.Format("2006-01-02 15:04:05") != want || at.Year() == 0 {
		return 0, false
	}
	clocks := ((n(c[1])*64+n(c[2]))*64+n(c[3]))*(1<<20) + n((c[4] + "000000")[:6])
	switch typ {
	case storagepb.TableFieldSchema_DATE:
		return at.Unix() / 86400, true
	case storagepb.TableFieldSchema_TIME:
		return clocks, true
	}
	return ((n(d[1])*16+n(d[2]))*32+n(d[3]))<<37 + clocks, true
}

// oracleCivilText spells an integer as the text that it stands for, however impossible.
func oracleCivilText(typ storagepb.TableFieldSchema_Type, i int64) string {
	if typ == storagepb.TableFieldSchema_DATE {
		if i < -719162 || i > 2932896 {
			return ""
		}
		return time.Unix(i*86400, 0).UTC().Format(time.DateOnly)
	}
	part := func(n int64) (p int64) { p, i = i%n, i/n; return p }
	if i < 0 {
		return ""
	}
	micros, second, minute, hour := part(1<<20), part(64), part(64), part(32)
	clock := fmt.Sprintf("%02d:%02d:%02d.%06d", hour, minute, second, micros)
	if typ == storagepb.TableFieldSchema_TIME {
		if i > 0 {
			return ""
		}
		return clock
	}
	day, month := part(32), part(16)
	return fmt.Sprintf("%04d-%02d-%02d %s", i, month, day, clock)
}

func oracleBytes(v any) ([]byte, bool) {
	switch v := v.(type) {
	case string:
		std := strings.NewReplacer("-", "+", "_", "/").Replace(v)
		if strings.ContainsAny(std, "\r\n") {
			return nil, false
		}
		encoding := base64.StdEncoding
		if !strings.HasSuffix(std, "=") {
			encoding = base64.RawStdEncoding
		}
		b, err := encoding.Strict().DecodeString(std)
		return b, err == nil
	case []any:
		var out []byte
		for _, e := range v {
			number, ok := e.(json.Number)
			i, isInt := oracleInteger(string(number))
			if !ok || !isInt || i < -128 || i > 255 {
				return nil, false
			}
			out = append(out, byte(i))
		}
		return out, true
	}
	return nil, false
}

// oracleNumeric encodes with big integers: magnitude and complement, no limbs.
func oracleNumeric(f *storagepb.TableFieldSchema, text string) ([]byte, bool) {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, false
	}
	ten := func(n int64) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil) }
	scale := int64(9)
	low, high := new(big.Int).Neg(ten(38)), ten(38) // both exclusive
	if f.GetType() == storagepb.TableFieldSchema_BIGNUMERIC {
		scale = 38
		high = new(big.Int).Lsh(big.NewInt(1), 255)
		low = new(big.Int).Sub(new(big.Int).Neg(high), big.NewInt(1))
	}
	scaled := new(big.Rat).Mul(r, new(big.Rat).SetInt(ten(scale)))
	if !scaled.IsInt() || scaled.Num().Cmp(low) <= 0 || scaled.Num().Cmp(high) >= 0 {
		return nil, false
	}
	if f.GetPrecision() > 0 {
		// FloatString rounds half away from zero.
		rounded, _ := new(big.Rat).SetString(new(big.Rat).Abs(r).FloatString(int(f.GetScale())))
		if rounded.Cmp(new(big.Rat).SetInt(ten(f.GetPrecision()-f.GetScale()))) >= 0 {
			return nil, false
		}
	}
	// The shortest two's complement, lowest byte first.
	n := scaled.Num()
	for size := uint(1); ; size++ {
		half := new(big.Int).Lsh(big.NewInt(1), size*8-1)
		if n.Cmp(half) >= 0 || n.Cmp(new(big.Int).Neg(half)) < 0 {
			continue
		}
		b := new(big.Int).Mod(n, new(big.Int).Lsh(half, 1)).FillBytes(make([]byte, size))
		slices.Reverse(b)
		return b, true
	}
}

var intervalText = regexp.MustCompile(`^[+-]?([0-9]+)-(0?[0-9]|0*1[01]|0+[0-9]) [+-]?([0-9]+) [+-]?([0-9]+):([0-9]|[0-5][0-9]):([0-9]|[0-5][0-9])(\.[0-9]{1,6})?$`)

func oracleInterval(text string) bool {
	m := intervalText.FindStringSubmatch(text)
	if m == nil {
		return false
	}
	n := func(s string) *big.Rat { r, _ := new(big.Rat).SetString("0" + s); return r }
	at := func(a *big.Rat, factor int64, b *big.Rat) *big.Rat {
		return new(big.Rat).Add(new(big.Rat).Mul(a, big.NewRat(factor, 1)), b)
	}
	months := at(n(m[1]), 12, n(m[2]))
	seconds := new(big.Rat).Add(at(at(n(m[4]), 60, n(m[5])), 60, n(m[6])), n(m[7]))
	return months.Cmp(big.NewRat(120000, 1)) <= 0 && n(m[3]).Cmp(big.NewRat(3660000, 1)) <= 0 && seconds.Cmp(big.NewRat(87840000*3600, 1)) <= 0
}

func oracleRange(f *storagepb.TableFieldSchema, v any) (any, error) {
	element := f.GetRangeElementType().GetType()
	fields := []*storagepb.TableFieldSchema{{Name: "start", Type: element}, {Name: "end", Type: element}}
	m, ok := v.(map[string]any)
	if !ok {
		text, _ := v.(string)
		literal := regexp.MustCompile(`^\[ *([^,]*?) *, *([^,]*?) *\)$`).FindStringSubmatch(text)
		if literal == nil {
			return nil, fmt.Errorf("%q is no range", text)
		}
		m = map[string]any{}
		for i, name := range []string{"start", "end"} {
			if bound := strings.ToUpper(literal[i+1]); bound != "UNBOUNDED" && bound != "NULL" {
				m[name] = literal[i+1]
			}
		}
	}
	out, err := oracleRecord(fields, m)
	if err != nil {
		return nil, err
	}
	start, bounded := out["start"].(int64)
	if end, ok := out["end"].(int64); ok && bounded && start >= end {
		return nil, fmt.Errorf("%d is not before %d", start, end)
	}
	return out, nil
}

// oracleJSON is the value in canonical form but for its numbers, which stay as they are spelt.
func oracleJSON(v any) (any, error) {
	text, err := json.Marshal(v)
	if oracleDepth(v) > 500 {
		return nil, fmt.Errorf("too deep")
	}
	return canonicalIfJSON(string(text)), err
}

func canonicalIfJSON(text string) string {
	v := jsontext.Value(text)
	if v.Canonicalize(jsontext.CanonicalizeRawFloats(false), jsontext.CanonicalizeRawInts(false)) != nil {
		return text
	}
	return string(v)
}

func oracleDepth(v any) (depth int) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			depth = max(depth, oracleDepth(e))
		}
		return depth + 1
	case map[string]any:
		for _, e := range v {
			depth = max(depth, oracleDepth(e))
		}
		return depth + 1
	}
	return 0
}
