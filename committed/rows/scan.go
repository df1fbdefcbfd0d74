package rows

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// literal reads word, whose first byte is already known to be there.
func (p *parser) literal(word string) *Error {
	if rest := p.in[p.pos:]; len(rest) < len(word) || string(rest[:len(word)]) != word {
		return p.syntax("want " + word)
	}
	p.pos += len(word)
	return nil
}

// quoted reads the string at pos and returns what is between the quotes, undecoded. It is valid
// UTF-8 and, if escaped is false, also decoded; escapes are not checked yet.
func (p *parser) quoted() (raw []byte, escaped bool, err *Error) {
	start := p.pos + 1
	i, beyondASCII := start, false
	for {
		var high bool
		i, high = skipPlain(p.in, i)
		beyondASCII = beyondASCII || high
		if i >= len(p.in) {
			return nil, false, p.syntax("the string doesn't end")
		}
		c := p.in[i]
		if c == '"' {
			break
		}
		if c != '\\' {
			return nil, false, p.syntax("a control character in a string")
		}
		escaped = true
		i += 2 // whatever is escaped, it doesn't end the string
	}
	raw = p.in[start:i]
	if beyondASCII && !utf8.Valid(raw) {
		return nil, false, p.wrong(InvalidUTF8, "invalid UTF-8")
	}
	p.pos = i + 1
	return raw, escaped, nil
}

// skipPlain returns the first index from i on at which b has a quote, a backslash or a control
// character, or len(b). high may be true only if it passed, or stopped in the same word as, a byte
// beyond ASCII, and is true if it passed one.
//
// Eight bytes at a time: x - 1s borrows into the top bit of each byte that is 0, &^ x drops bytes
// whose top bit was set before; ^ 2 puts the quote where the space was, right above the control
// characters, so that one subtraction finds both. Only the lowest hit is exact, and only that one is
// used.
func skipPlain(b []byte, i int) (end int, high bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^2*ones, x^'\\'*ones
		hit := ((quote - 33*ones) | (slash - ones)) &^ x & tops
		high = high || x&tops != 0
		if hit != 0 {
			return i + bits.TrailingZeros64(hit)/8, high
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < ' ' {
			return i, high
		} else if c >= utf8.RuneSelf {
			high = true
		}
	}
	return len(b), high
}

// text reads the string at pos and returns it decoded: a part of the input, or, if it has escapes, a
// part of dst behind its length. It is valid until dst is appended to.
func (p *parser) text(dst []byte) ([]byte, *Error) {
	start := p.pos
	raw, escaped, err := p.quoted()
	if err != nil || !escaped {
		return raw, err
	}
	out, err := p.unquote(dst, start)
	return out[len(dst):], err
}

// unquote appends the string between start and pos, quotes included, decoded.
func (p *parser) unquote(dst []byte, start int) ([]byte, *Error) {
	out, err := jsontext.AppendUnquote(dst, p.in[start:p.pos])
	if err != nil {
		p.pos = start
		return dst, p.wrong(Syntax, "not valid JSON: a bad escape in a string, or half of a surrogate pair")
	}
	return out, nil
}

// numberEnd returns where the JSON number that starts at b[i] ends. ok is false if there is none.
func numberEnd(b []byte, i int) (end int, ok bool) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	first := i
	if i = digitsEnd(b, i); i == first || b[first] == '0' && i > first+1 {
		return i, false
	}
	if i < len(b) && b[i] == '.' {
		first = i + 1
		if i = digitsEnd(b, first); i == first {
			return i, false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		first = i + 1
		if first < len(b) && (b[first] == '+' || b[first] == '-') {
			first++
		}
		if i = digitsEnd(b, first); i == first {
			return i, false
		}
	}
	return i, true
}

func digitsEnd(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// number reads the number at pos and returns its text.
func (p *parser) number() ([]byte, *Error) {
	end, ok := numberEnd(p.in, p.pos)
	if !ok {
		return nil, p.syntax("a malformed number")
	}
	text := p.in[p.pos:end]
	p.pos = end
	return text, nil
}

// syntax is the error for text at pos that is not JSON.
func (p *parser) syntax(want string) *Error {
	e := &Error{Kind: Syntax, Reason: "not valid JSON: " + want}
	if rest := p.in[min(p.pos, len(p.in)):]; len(rest) > 0 {
		e.Excerpt = excerpt(rest)
	} else {
		e.Reason += ", got the end"
	}
	return e
}

// wrong is the error for the JSON value at pos, which is shown.
func (p *parser) wrong(kind Kind, reason string) *Error {
	rest := p.in[p.pos:]
	if rest[0] == '"' {
		rest = rest[1:]
		end, _ := skipPlain(rest, 0)
		return &Error{Kind: kind, Reason: reason, Excerpt: excerpt(rest[:end])}
	}
	end := 0
	for end < len(rest) && rest[end] > ' ' && rest[end] != ',' && rest[end] != ']' && rest[end] != '}' {
		end++
	}
	return &Error{Kind: kind, Reason: reason, Excerpt: excerpt(rest[:end])}
}

// wrongType is the error for a value at pos that starts with c and is of another type.
func (p *parser) wrongType(want string, c byte) *Error {
	got := ""
	switch {
	case c == '"':
		got = "a string"
	case c == '{':
		got = "an object"
	case c == '[':
		got = "an array"
	case c == 't' || c == 'f':
		got = "a boolean"
	case c == '-' || c-'0' <= 9:
		got = "a number"
	default:
		return p.syntax("want a value")
	}
	e := p.wrong(WrongType, "wrong type: want "+want+", got "+got)
	if c == '{' || c == '[' {
		e.Excerpt = ""
	}
	return e
}
