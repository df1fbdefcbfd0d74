package rows

// bool reads true or false, 1 or 0, or a string that parseBool knows.
func (p *parser) bool(dst []byte, f *field, c byte) (byte, *Error) {
	switch {
	case c == 't':
		return 1, p.literal("true")
	case c == 'f':
		return 0, p.literal("false")
	case isNumber(c):
		text, err := p.number()
		if err != nil {
			return 0, err
		}
		if len(text) == 1 && text[0] <= '1' && text[0] >= '0' {
			return text[0] - '0', nil
		}
		return 0, problem{BadValue, "wrong type: want BOOL, got a number that is neither 1 nor 0"}.with(text)
	case c == '"':
		text, err := p.text(dst)
		if err != nil {
			return 0, err
		}
		v, bad := parseBool(text)
		if bad.found() {
			return 0, bad.with(text)
		}
		return v, nil
	}
	return 0, p.wrongType(f.column.name, c)
}

// parseBool reads what load jobs read as a BOOL, in any case.
func parseBool(b []byte) (v byte, bad problem) {
	for _, word := range [...]string{"true", "t", "yes", "y", "1"} {
		if equalFold(b, word) {
			return 1, problem{}
		}
	}
	for _, word := range [...]string{"false", "f", "no", "n", "0"} {
		if equalFold(b, word) {
			return 0, problem{}
		}
	}
	return 0, problem{BadValue, "wrong type: want BOOL, got a string that is neither true nor false"}
}
