package rows

import "time"

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

// appendPicos appends the text of a TIMESTAMP(12): RFC 3339 in UTC with the digits that are there.
func appendPicos(dst []byte, seconds, picos int64) []byte {
	dst = time.Unix(seconds, 0).UTC().AppendFormat(dst, "2006-01-02T15:04:05")
	if picos != 0 {
		dst = append(dst, '.')
		for unit := int64(100_000_000_000); picos > 0; unit /= 10 {
			dst = append(dst, '0'+byte(picos/unit))
			picos %= unit
		}
	}
	return append(dst, 'Z')
}
