package rows

import (
	"github.com/go-json-experiment/json/jsontext"
)

// maxNesting is how deep a value of a JSON column may be nested (BigQuery's limit).
const maxNesting = 500

// json reads any value, or, with JSONAsText, a string of JSON, and appends it without white space.
func (p *parser) json(dst []byte, f *field, c byte) ([]byte, *Error) {
	start := len(dst)
	dst = append(dst, 0)
	if !p.enc.options.jsonText {
		value, err := p.anyValue()
		if err != nil {
			return dst, err
		}
		return closeLength(appendCompact(dst, value), start), nil
	}
	if c != '"' {
		return dst, p.wrongType("a string of JSON", c)
	}
	text, err := p.text(dst)
	if err != nil {
		return dst, err
	}
	inner := parser{in: text, enc: p.enc}
	if _, err = inner.anyValue(); err == nil && (inner.peek() != 0 || inner.pos < len(text)) {
		err = inner.syntax("more text after the value")
	}
	if err != nil {
		err.Reason += " (in the string)"
		return dst, err
	}
	// text may stand where it goes: writing never overtakes reading.
	return closeLength(appendCompact(dst, text), start), nil
}

// geography reads WKT or GeoJSON as a string, which the service parses, or a GeoJSON object.
func (p *parser) geography(dst []byte, f *field, c byte) ([]byte, *Error) {
	switch c {
	case '"':
		return p.string(dst, f, c)
	case '{':
		value, err := p.anyValue()
		if err != nil {
			return dst, err
		}
		start := len(dst)
		return closeLength(appendCompact(append(dst, 0), value), start), nil
	}
	return dst, p.wrongType(f.column.name, c)
}

// anyValue reads whatever JSON value comes next, checks it and returns its text. Numbers of any size
// are JSON; names that are there twice are refused.
func (p *parser) anyValue() ([]byte, *Error) {
	p.peek()
	start := p.pos
	escaped, err := p.findEnd()
	if err != nil {
		return nil, err
	}
	value := p.in[start:p.pos]
	if c := value[0]; c == '"' && !escaped || isNumber(c) {
		return value, nil
	}
	if jsontext.Value(value).IsValid() {
		return value, nil
	}
	p.pos = start
	if jsontext.Value(value).IsValid(jsontext.AllowDuplicateNames(true)) {
		return nil, &Error{Kind: DuplicateField, Reason: "a name is there twice in the value"}
	}
	if jsontext.Value(value).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return nil, &Error{Kind: InvalidUTF8, Reason: "invalid UTF-8, or half of a surrogate pair, in the value"}
	}
	return nil, p.wrong(Syntax, "not valid JSON: a malformed value")
}

// findEnd moves pos behind the value there, which it checks no further than that takes, if it is an
// object or array; numbers and strings are checked but for their escapes.
func (p *parser) findEnd() (escaped bool, err *Error) {
	depth := 0
	for {
		switch c := p.peek(); {
		case c == '"':
			_, e, err := p.quoted()
			if err != nil {
				return false, err
			}
			escaped = escaped || e
		case c == '{' || c == '[':
			if depth++; depth > maxNesting {
				return false, &Error{Kind: TooDeep, Reason: "nested more than 500 levels deep"}
			}
			p.pos++
			continue
		case (c == '}' || c == ']') && depth > 0:
			depth--
			p.pos++
		case (c == ',' || c == ':') && depth > 0:
			p.pos++
			continue
		case isNumber(c):
			if _, err := p.number(); err != nil {
				return false, err
			}
		case c == 't':
			err = p.literal("true")
		case c == 'f':
			err = p.literal("false")
		case c == 'n':
			err = p.literal("null")
		default:
			return false, p.syntax("want a value")
		}
		if depth == 0 || err != nil {
			return escaped, err
		}
	}
}

// appendCompact appends a valid JSON value without the white space between its tokens; strings and
// numbers stay as they are spelt. value may be what stands in dst's memory behind its length.
func appendCompact(dst, value []byte) []byte {
	for len(value) > 0 {
		i := 0
		for i < len(value) && value[i] > ' ' && value[i] != '"' {
			i++
		}
		if i < len(value) && value[i] == '"' {
			i = endOfString(value, i)
		}
		dst = append(dst, value[:i]...)
		value = value[i:]
		for len(value) > 0 && value[0] <= ' ' {
			value = value[1:]
		}
	}
	return dst
}

// endOfString returns where the string that starts at b[i] ends; it is known to.
func endOfString(b []byte, i int) int {
	for i++; ; i += 2 {
		i, _ = skipPlain(b, i)
		if b[i] == '"' {
			return i + 1
		}
	}
}
