package rows

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"
)

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
			dst = appendVarint(dst, f.record.fields[i].tag)
			dst = appendVarint(dst, uint64(v))
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
