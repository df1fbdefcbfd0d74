package rows

// instant reads DATE, TIME, DATETIME or TIMESTAMP, as text or as the integer that it is on the wire,
// and returns that integer.
func (p *parser) instant(dst []byte, f *field, c byte) (int64, *Error) {
	if c == '"' {
		text, err := p.text(dst)
		if err != nil {
			return 0, err
		}
		v, bad := p.parseInstant(f.column.kind, text)
		if bad.found() {
			return 0, bad.with(text)
		}
		return v, nil
	}
	if !isNumber(c) {
		return 0, p.wrongType(f.column.name, c)
	}
	start := p.pos
	v, err := p.integer(dst, f, c)
	if err == nil && !isInstant(f.column.kind, v) {
		return 0, problem{OutOfRange, "out of range for " + f.column.name}.with(p.in[start:p.pos])
	}
	return v, err
}

func (p *parser) parseInstant(k kind, text []byte) (int64, problem) {
	switch k {
	case kindDate:
		return parseDate(text)
	case kindTime:
		return parseTime(text)
	case kindDatetime:
		return parseDatetime(text)
	default:
		return parseMicros(text, &p.enc.zones)
	}
}

func isInstant(k kind, v int64) bool {
	switch k {
	case kindDate:
		return isDate(v)
	case kindTime:
		return isCivilTime(v)
	case kindDatetime:
		return isCivilDatetime(v)
	default:
		return isTimestamp(v)
	}
}
