package rows

func isNumber(c byte) bool { return c == '-' || c-'0' <= 9 }

// numberOrText reads a number, or a string of one, and returns its text, valid like text's.
func (p *parser) numberOrText(dst []byte, f *field, c byte) ([]byte, *Error) {
	switch {
	case isNumber(c):
		return p.number()
	case c == '"':
		return p.text(dst)
	}
	return nil, p.wrongType(f.column.name, c)
}

// split takes apart what numberOrText has read.
func split(text []byte, f *field) (decimal, *Error) {
	d, ok := splitDecimal(text)
	if !ok {
		return d, notANumber(text, f)
	}
	return d, nil
}

func notANumber(text []byte, f *field) *Error {
	return problem{BadValue, "wrong type: want " + f.column.name + ", got a string that is no number"}.with(text)
}
