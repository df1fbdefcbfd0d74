package rows

import (
	"strconv"
	"unicode/utf8"
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
		return dst, problem{TooLong, "longer than " + strconv.Itoa(f.maxLength) + " characters"}.with(raw)
	}
	if escaped {
		return closeLength(dst, length), nil
	}
	dst = appendVarint(dst, uint64(len(raw)))
	return append(dst, raw...), nil
}
