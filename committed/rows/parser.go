package rows

import "google.golang.org/protobuf/encoding/protowire"

// parser walks one JSON object and appends wire bytes. It lives on Append's stack, and so does what
// it remembers per record: nothing here may make it escape to the heap (TestAppendAllocatesNothing).
//
// Methods return dst extended, or an error and dst in any state: Append cuts it back. They leave pos
// behind what they read.
type parser struct {
	in  []byte
	pos int
	enc *Encoder
	// weight is what a field left out counts: 1, or -1 to take the same walk's counts back.
	weight  int64
	ignored bool // a field was left out
}

// peek skips white space and returns the byte at pos, 0 at the end. A 0 byte in the input is never
// valid where peek is used, so the two need not be told apart.
func (p *parser) peek() byte {
	if p.pos < len(p.in) {
		if c := p.in[p.pos]; c > ' ' {
			return c
		}
	}
	return p.skipSpace()
}

func (p *parser) skipSpace() byte {
	for p.pos < len(p.in) {
		c := p.in[p.pos]
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
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
		var err *Error
		if dst, next, err = p.member(dst, r, seen, next); err != nil {
			return dst, err
		}
		switch p.peek() {
		case ',':
			p.pos++
		case '}':
			p.pos++
			return dst, r.missing(seen)
		default:
			err := p.syntax("want ',' or '}'")
			if next > 0 {
				err = err.under(r.fields[next-1].name)
			}
			return dst, err
		}
	}
}

// member appends the field at pos and returns the index of the likeliest next one.
func (p *parser) member(dst []byte, r *record, seen bitset, next int) ([]byte, int, *Error) {
	start := p.pos
	i, err := p.name(dst, r, next)
	if err != nil {
		return dst, 0, err
	}
	if i == unknown {
		return dst, next, p.skipUnknown(start)
	}
	f := &r.fields[i]
	if seen.has(i) {
		return dst, 0, (&Error{Kind: DuplicateField, Reason: "the field is there twice"}).under(f.name)
	}
	seen.set(i)
	if dst, err = p.field(dst, f); err != nil {
		return dst, 0, err.under(f.name)
	}
	return dst, i + 1, nil
}

// missing returns an error if a REQUIRED field wasn't seen.
func (r *record) missing(seen bitset) *Error {
	for w, required := range r.required {
		if required&^seen[w] == 0 {
			continue
		}
		for i := w * 64; ; i++ {
			if r.required.has(i) && !seen.has(i) {
				return (&Error{Kind: MissingField, Reason: "missing REQUIRED field"}).under(r.fields[i].name)
			}
		}
	}
	return nil
}

// hintReach is how many fields after the last one are compared before the map is asked: objects
// mostly keep the schema's order and leave a few fields out.
const hintReach = 6

// unknown is the index of a field that is to be left out.
const unknown = -1

// name reads a member's name and the colon behind it and returns its field's index, or unknown with
// the colon not read. next is the likeliest index.
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
	switch {
	case ok && p.peek() == ':':
		p.pos++
		return i, nil
	case ok:
		return 0, p.syntax("want ':'").under(r.fields[i].name)
	case p.enc.options.ignoreUnknown:
		p.ignored = true
		p.enc.ignored.add(r.path, name, p.weight)
		return unknown, nil
	}
	return 0, (&Error{Kind: UnknownField, Reason: "unknown field"}).underUnknown(name)
}

// skipUnknown reads the value of a field that is left out; its name stands at start.
func (p *parser) skipUnknown(start int) *Error {
	var err *Error
	if p.peek() == ':' {
		p.pos++
		_, err = p.anyValue()
	} else {
		err = p.syntax("want ':'")
	}
	if err != nil {
		p.pos = start
		p.peek()
		name, _ := p.text(nil)
		return err.underUnknown(name)
	}
	return nil
}

// field appends the value at pos, tag included.
func (p *parser) field(dst []byte, f *field) ([]byte, *Error) {
	c := p.peek()
	if c == 'n' {
		err := p.literal("null")
		if err == nil && f.required {
			err = &Error{Kind: NullValue, Reason: "null for a REQUIRED field"}
		}
		return dst, err
	}
	if f.repeated {
		return p.array(dst, f, c)
	}
	return p.value(appendVarint(dst, f.tag), f, c)
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
		dst = appendVarint(dst, f.tag)
		start = len(dst)
		dst = append(dst, 0)
	}
	for i := 0; ; i++ {
		c := p.peek()
		if c == 'n' {
			err := p.literal("null")
			if err == nil {
				err = &Error{Kind: NullValue, Reason: "null in an array"}
			}
			return dst, err.at(i)
		}
		if !f.packed {
			dst = appendVarint(dst, f.tag)
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
		return appendVarint(dst, uint64(v)), err
	case kindFloat:
		v, err := p.float(dst, f, c)
		return protowire.AppendFixed64(dst, v), err
	case kindBool:
		v, err := p.bool(dst, f, c)
		return append(dst, v), err
	case kindTimestamp, kindDate, kindTime, kindDatetime:
		v, err := p.instant(dst, f, c)
		return appendVarint(dst, uint64(v)), err
	case kindPicos:
		return p.picos(dst, f, c)
	case kindBytes:
		return p.bytes(dst, f, c)
	case kindNumeric:
		abs, negative, err := p.numeric(dst, f, c)
		if err != nil {
			return dst, err
		}
		return appendDecimal(dst, abs, negative), nil
	case kindGeography:
		return p.geography(dst, f, c)
	case kindJSON:
		return p.json(dst, f, c)
	case kindInterval:
		return p.interval(dst, f, c)
	case kindRange:
		return p.rangeOf(dst, f, c)
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
