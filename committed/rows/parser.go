package rows

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// parser walks one JSON object and appends wire bytes. It lives on Append's stack, and so does what
// it remembers per record: nothing here may make it escape to the heap (TestAppendAllocatesNothing).
//
// Methods return dst extended, or an error and dst in any state: Append cuts it back. They leave pos
// behind what they read.
type parser struct {
	in  []byte
	pos int
}

// peek skips white space and returns the byte at pos, 0 at the end. A 0 byte in the input is never
// valid where peek is used, so the two need not be told apart.
func (p *parser) peek() byte {
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		if c > ' ' || c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		p.pos++
	}
	return 0
}

func (p *parser) row(dst []byte, r *record) ([]byte, *Error) {
	if p.peek() != '{' {
		return dst, p.syntax("want an object")
	}
	dst, err := p.record(dst, r)
	if err != nil {
		return dst, err
	}
	if p.peek() != 0 || p.pos < len(p.in) {
		return dst, p.syntax("more text after the object")
	}
	return dst, nil
}

// record appends the object at pos. The set of fields seen has a size for small records and one for
// the largest that BigQuery allows, both on the stack.
func (p *parser) record(dst []byte, r *record) ([]byte, *Error) {
	if len(r.required) <= 4 {
		var seen [4]uint64
		return p.members(dst, r, seen[:len(r.required)])
	}
	return p.wideRecord(dst, r)
}

//go:noinline
func (p *parser) wideRecord(dst []byte, r *record) ([]byte, *Error) {
	var seen [(maxFields + 63) / 64]uint64
	return p.members(dst, r, seen[:len(r.required)])
}

func (p *parser) members(dst []byte, r *record, seen bitset) ([]byte, *Error) {
	p.pos++ // {
	next := 0
	if p.peek() == '}' {
		p.pos++
		return dst, r.missing(seen)
	}
	for {
		i, err := p.name(dst, r, next)
		if err != nil {
			return dst, err
		}
		f := &r.fields[i]
		if seen.has(i) {
			return dst, (&Error{Reason: "the field is there twice"}).under(f.name)
		}
		seen.set(i)
		next = i + 1

		if p.peek() != ':' {
			return dst, p.syntax("want ':'").under(f.name)
		}
		p.pos++
		if dst, err = p.field(dst, f); err != nil {
			return dst, err.under(f.name)
		}

		switch p.peek() {
		case ',':
			p.pos++
		case '}':
			p.pos++
			return dst, r.missing(seen)
		default:
			return dst, p.syntax("want ',' or '}'").under(f.name)
		}
	}
}

// missing returns an error if a REQUIRED field wasn't seen.
func (r *record) missing(seen bitset) *Error {
	for w, required := range r.required {
		if required&^seen[w] == 0 {
			continue
		}
		for i := w * 64; ; i++ {
			if r.required.has(i) && !seen.has(i) {
				return (&Error{Reason: "missing REQUIRED field"}).under(r.fields[i].name)
			}
		}
	}
	return nil
}

// hintReach is how many fields after the last one are compared before the map is asked: objects
// mostly keep the schema's order and leave a few fields out.
const hintReach = 6

// name reads a member's name and returns its field's index. next is the likeliest one.
func (p *parser) name(dst []byte, r *record, next int) (int, *Error) {
	if p.peek() != '"' {
		return 0, p.syntax("want a field name")
	}
	rest := p.in[p.pos:]
	for i := next; i < len(r.fields) && i < next+hintReach; i++ {
		if q := r.fields[i].quoted; len(rest) >= len(q) && string(rest[:len(q)]) == q {
			p.pos += len(q)
			return i, nil
		}
	}
	name, err := p.text(dst)
	if err != nil {
		return 0, err
	}
	i, ok := r.lookup(name)
	if !ok {
		return 0, (&Error{Reason: "unknown field"}).underUnknown(name)
	}
	return i, nil
}

// field appends the value at pos, tag included.
func (p *parser) field(dst []byte, f *field) ([]byte, *Error) {
	c := p.peek()
	if c == 'n' {
		err := p.literal("null")
		if err == nil && f.required {
			err = &Error{Reason: "null for a REQUIRED field"}
		}
		return dst, err
	}
	if f.repeated {
		return p.array(dst, f, c)
	}
	return p.value(protowire.AppendVarint(dst, f.tag), f, c)
}

// array appends the elements of the array at pos: one length-delimited value if f is packed, else
// each with its tag.
func (p *parser) array(dst []byte, f *field, c byte) ([]byte, *Error) {
	if c != '[' {
		return dst, p.wrongType("an array", c)
	}
	p.pos++
	if p.peek() == ']' {
		p.pos++
		return dst, nil
	}
	start := 0
	if f.packed {
		dst = protowire.AppendVarint(dst, f.tag)
		start = len(dst)
		dst = append(dst, 0)
	}
	for i := 0; ; i++ {
		c := p.peek()
		if c == 'n' {
			err := p.literal("null")
			if err == nil {
				err = &Error{Reason: "null in an array"}
			}
			return dst, err.at(i)
		}
		if !f.packed {
			dst = protowire.AppendVarint(dst, f.tag)
		}
		var err *Error
		if dst, err = p.value(dst, f, c); err != nil {
			return dst, err.at(i)
		}
		switch p.peek() {
		case ',':
			p.pos++
		case ']':
			p.pos++
			if f.packed {
				dst = closeLength(dst, start)
			}
			return dst, nil
		default:
			return dst, p.syntax("want ',' or ']'").at(i)
		}
	}
}

// value appends the value at pos, which starts with c, without a tag.
func (p *parser) value(dst []byte, f *field, c byte) ([]byte, *Error) {
	switch f.column.kind {
	case kindString:
		return p.string(dst, f, c)
	case kindInteger:
		v, err := p.integer(dst, f, c)
		return protowire.AppendVarint(dst, uint64(v)), err
	case kindFloat:
		v, err := p.float(dst, f, c)
		return protowire.AppendFixed64(dst, v), err
	case kindBool:
		v, err := p.bool(dst, f, c)
		return append(dst, v), err
	case kindTimestamp:
		v, err := p.timestamp(dst, f, c)
		return protowire.AppendVarint(dst, uint64(v)), err
	case kindDate:
		v, err := p.date(dst, f, c)
		return protowire.AppendVarint(dst, uint64(int64(v))), err
	default: // kindRecord
		if c != '{' {
			return dst, p.wrongType("RECORD", c)
		}
		start := len(dst)
		dst, err := p.record(append(dst, 0), f.record)
		if err != nil {
			return dst, err
		}
		return closeLength(dst, start), nil
	}
}
