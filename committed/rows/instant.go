package rows

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
)

// instant reads DATE, TIME, DATETIME or TIMESTAMP, as text or as the integer that it is on the wire,
// and returns that integer.
func (p *parser) instant(dst []byte, f *field, c byte) (int64, *Error) {
	if c == '"' {
		text, err := p.text(dst)
		if err != nil {
			return 0, err
		}
		v, bad := p.parseInstant(f.column.kind, text)
		if bad.found() {
			return 0, bad.with(text)
		}
		return v, nil
	}
	if !isNumber(c) {
		return 0, p.wrongType(f.column.name, c)
	}
	start := p.pos
	v, err := p.integer(dst, f, c)
	if err == nil && !isInstant(f.column.kind, v) {
		return 0, problem{OutOfRange, "out of range for " + f.column.name}.with(p.in[start:p.pos])
	}
	return v, err
}

func (p *parser) parseInstant(k kind, text []byte) (int64, problem) {
	switch k {
	case kindDate:
		return parseDate(text)
	case kindTime:
		return parseTime(text)
	case kindDatetime:
		return parseDatetime(text)
	default:
		return parseMicros(text, &p.enc.zones)
	}
}

func isInstant(k kind, v int64) bool {
	switch k {
	case kindDate:
		return isDate(v)
	case kindTime:
		return isCivilTime(v)
	case kindDatetime:
		return isCivilDatetime(v)
	default:
		return isTimestamp(v)
	}
}

// picos reads a TIMESTAMP(12) as text, or as an integer of microseconds, and appends text.
func (p *parser) picos(dst []byte, f *field, c byte) ([]byte, *Error) {
	var seconds, fraction int64
	if c == '"' {
		text, err := p.text(dst)
		if err != nil {
			return dst, err
		}
		var bad problem
		if seconds, fraction, bad = parseTimestamp(text, 12, &p.enc.zones); bad.found() {
			return dst, bad.with(text)
		}
	} else {
		start := p.pos
		micros, err := p.integerOnly(dst, f, c)
		if err != nil {
			return dst, err
		}
		if !isTimestamp(micros) {
			return dst, timestampRange.with(p.in[start:p.pos])
		}
		seconds, fraction = micros/1_000_000, micros%1_000_000*1_000_000
		if fraction < 0 {
			seconds, fraction = seconds-1, fraction+1_000_000_000_000
		}
	}
	start := len(dst)
	return closeLength(appendPicos(append(dst, 0), seconds, fraction), start), nil
}

// integerOnly is integer without strings.
func (p *parser) integerOnly(dst []byte, f *field, c byte) (int64, *Error) {
	if !isNumber(c) {
		return 0, p.wrongType(f.column.name, c)
	}
	return p.integer(dst, f, c)
}

// interval reads the canonical text and passes it on.
func (p *parser) interval(dst []byte, f *field, c byte) ([]byte, *Error) {
	if c != '"' {
		return dst, p.wrongType(f.column.name, c)
	}
	start := len(dst)
	dst = append(dst, 0)
	text, err := p.text(dst)
	if err != nil {
		return dst, err
	}
	if bad := checkInterval(text); bad.found() {
		return dst, bad.with(text)
	}
	// text may stand where it goes: then this moves nothing.
	return closeLength(append(dst, text...), start), nil
}

// rangeOf reads {"start": a, "end": b}, where an absent or null bound is none, or the literal
// "[a, b)", where it is called UNBOUNDED or NULL.
func (p *parser) rangeOf(dst []byte, f *field, c byte) ([]byte, *Error) {
	start := len(dst)
	dst = append(dst, 0)
	var err *Error
	switch c {
	case '{':
		if dst, err = p.record(dst, f.record); err != nil {
			return dst, err
		}
	case '"':
		text, err := p.text(dst)
		if err != nil {
			return dst, err
		}
		var bad problem
		if dst, bad = p.rangeLiteral(dst, f, text); bad.found() {
			return dst, bad.with(text)
		}
	default:
		return dst, p.wrongType(f.column.name, c)
	}
	if lower, upper, both := rangeBounds(dst[start+1:]); both && lower >= upper {
		return dst, &Error{Kind: OutOfRange, Reason: "the RANGE doesn't start before it ends"}
	}
	return closeLength(dst, start), nil
}

// rangeLiteral appends the bounds of [a, b).
func (p *parser) rangeLiteral(dst []byte, f *field, text []byte) ([]byte, problem) {
	lower, upper, ok := cutRange(text)
	if !ok {
		return dst, problem{BadValue, "not a RANGE: want [start, end)"}
	}
	var values [2]int64
	var set [2]bool
	for i, bound := range [...][]byte{lower, upper} {
		if equalFold(bound, "unbounded") || equalFold(bound, "null") {
			continue
		}
		v, bad := p.parseInstant(f.record.fields[i].column.kind, bound)
		if bad.found() {
			return dst, bad
		}
		values[i], set[i] = v, true
	}
	// Only now: text may stand behind dst.
	for i, v := range values {
		if set[i] {
			dst = protowire.AppendVarint(dst, f.record.fields[i].tag)
			dst = protowire.AppendVarint(dst, uint64(v))
		}
	}
	return dst, problem{}
}

// cutRange takes [a, b) apart; the bounds may have spaces around them.
func cutRange(b []byte) (lower, upper []byte, ok bool) {
	if len(b) < 2 || b[0] != '[' || b[len(b)-1] != ')' {
		return nil, nil, false
	}
	lower, upper, ok = bytes.Cut(b[1:len(b)-1], []byte(","))
	return bytes.Trim(lower, " "), bytes.Trim(upper, " "), ok
}

// rangeBounds reads a RANGE's message back: both says whether it has two bounds. All its types grow
// with time.
func rangeBounds(message []byte) (lower, upper int64, both bool) {
	var bounds [2]int64
	n := 0
	for len(message) > 0 {
		number, _, size := protowire.ConsumeTag(message)
		v, more := protowire.ConsumeVarint(message[size:])
		message = message[size+more:]
		bounds[number-1] = int64(v)
		n++
	}
	return bounds[0], bounds[1], n == 2
}
