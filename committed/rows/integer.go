package rows

import "math"

// integer reads a number or a string of one.
func (p *parser) integer(dst []byte, f *field, c byte) (int64, *Error) {
	if isNumber(c) {
		if v, ok := p.shortInteger(); ok {
			return v, nil
		}
	}
	text, err := p.numberOrText(dst, f, c)
	if err != nil {
		return 0, err
	}
	d, err := split(text, f)
	if err != nil {
		return 0, err
	}
	v, bad := d.integer()
	if bad.kind == OutOfRange {
		bad.reason = "out of range for " + f.column.name
	}
	if bad.found() {
		return 0, bad.with(text)
	}
	return v, nil
}

// shortInteger reads the number at pos if it is spelt with at most 18 digits and nothing else, so
// that it can't overflow. Otherwise it reads nothing.
func (p *parser) shortInteger() (int64, bool) {
	b, i := p.in, p.pos
	negative := b[i] == '-'
	if negative {
		i++
	}
	first, v := i, int64(0)
	for i < len(b) && b[i]-'0' <= 9 && i < first+19 {
		v = v*10 + int64(b[i]-'0')
		i++
	}
	if n := i - first; n == 0 || n > 18 || n > 1 && b[first] == '0' {
		return 0, false
	}
	if i < len(b) && (b[i] == '.' || b[i]|0x20 == 'e') {
		return 0, false
	}
	p.pos = i
	if negative {
		v = -v
	}
	return v, true
}

// integer returns the value if it is an integer of 64 bits, however it is spelt: 1.0, 1e3 and 120e-1
// are, 1.5 is not. It never rounds.
func (d decimal) integer() (v int64, bad problem) {
	d = d.normal()
	if d.exponent < 0 {
		return 0, problem{TooFine, "not an integer"}
	}
	abs, fits := d.scaled(0)
	switch {
	case !fits || abs[1]|abs[2]|abs[3] != 0:
	case d.negative && abs[0] <= 1<<63:
		return -int64(abs[0]), problem{}
	case !d.negative && abs[0] <= math.MaxInt64:
		return int64(abs[0]), problem{}
	}
	return 0, problem{OutOfRange, "out of range"}
}
