package rows

// The range of DATE and TIMESTAMP is 0001-01-01 to 9999-12-31 (server-facts, section 7).
const (
	minMicros = -62_135_596_800_000_000
	maxMicros = 253_402_300_799_999_999
)

// timestamp reads RFC 3339 text or an integer and returns microseconds since 1970-01-01 UTC.
func (p *parser) timestamp(dst []byte, f *field, c byte) (int64, *Error) {
	if c == '"' {
		text, err := p.text(dst)
		if err != nil {
			return 0, err
		}
		micros, reason := parseTimestamp(text)
		if reason != "" {
			return 0, wrongText(reason, text)
		}
		return micros, nil
	}
	if c != '-' && c-'0' > 9 {
		return 0, p.wrongType(f.column.name, c)
	}
	start := p.pos
	micros, err := p.integer(dst, f, c)
	if err == nil && (micros < minMicros || micros > maxMicros) {
		return 0, wrongText("out of range for TIMESTAMP", p.in[start:p.pos])
	}
	return micros, err
}

// date reads YYYY-MM-DD and returns days since 1970-01-01.
func (p *parser) date(dst []byte, f *field, c byte) (int32, *Error) {
	if c != '"' {
		return 0, p.wrongType(f.column.name, c)
	}
	text, err := p.text(dst)
	if err != nil {
		return 0, err
	}
	if len(text) != len("2006-01-02") {
		return 0, wrongText("not a date: want YYYY-MM-DD", text)
	}
	days, ok := parseDate(text)
	if !ok {
		return 0, wrongText("not a date: want YYYY-MM-DD", text)
	}
	return int32(days), nil
}

// parseTimestamp reads "2006-01-02T15:04:05.999999+07:00". Between date and time may also stand a
// space, T and Z may be lower case (RFC 3339, 5.6). Second 60 is refused: microseconds since 1970
// have no place for it. reason is empty if all is well.
func parseTimestamp(b []byte) (micros int64, reason string) {
	const malformed = "not a timestamp: want RFC 3339, as 2006-01-02T15:04:05.999999Z"
	const seconds = len("2006-01-02T15:04:05")
	if len(b) < seconds || b[10]|0x20 != 't' && b[10] != ' ' || b[13] != ':' || b[16] != ':' {
		return 0, malformed
	}
	days, ok := parseDate(b[:10])
	hour, minute, second := twoDigits(b[11:]), twoDigits(b[14:]), twoDigits(b[17:])
	if !ok || hour > 23 || minute > 59 || second > 59 {
		return 0, malformed
	}
	micros = ((days*24+int64(hour))*60+int64(minute))*60 + int64(second)
	micros *= 1_000_000

	if b = b[seconds:]; len(b) > 0 && b[0] == '.' {
		end := digitsEnd(b, 1)
		if end == 1 {
			return 0, malformed
		}
		if end > 1+6 {
			return 0, "finer than a microsecond"
		}
		unit := int64(100_000)
		for _, c := range b[1:end] {
			micros += int64(c-'0') * unit
			unit /= 10
		}
		b = b[end:]
	}

	switch {
	case len(b) == 0:
		return 0, "the time zone is missing: want Z or an offset at the end"
	case len(b) == 1 && b[0]|0x20 == 'z':
	case len(b) == len("+07:00") && (b[0] == '+' || b[0] == '-') && b[3] == ':':
		hour, minute := twoDigits(b[1:]), twoDigits(b[4:])
		if hour > 23 || minute > 59 {
			return 0, malformed
		}
		offset := int64(hour*60+minute) * 60 * 1_000_000
		if b[0] == '+' {
			offset = -offset
		}
		micros += offset
	default:
		return 0, malformed
	}
	if micros < minMicros || micros > maxMicros {
		return 0, "out of range for TIMESTAMP"
	}
	return micros, ""
}

// parseDate reads the ten bytes YYYY-MM-DD, years 0001 to 9999 of the Gregorian calendar, and
// returns days since 1970-01-01.
func parseDate(b []byte) (days int64, ok bool) {
	century, year := twoDigits(b), twoDigits(b[2:])
	month, day := twoDigits(b[5:]), twoDigits(b[8:])
	if century > 99 || year > 99 || b[4] != '-' || b[7] != '-' {
		return 0, false
	}
	year += century * 100
	if year == 0 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	// Days of the years before this one, each with a leap day if it is due, then this year's.
	const daysTo1970 = 719_162
	y := year - 1
	n := y*365 + y/4 - y/100 + y/400 + daysBefore[month-1] + day - 1
	if month > 2 && isLeap(year) {
		n++
	}
	return int64(n) - daysTo1970, true
}

var daysBefore = [...]int{0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365}

func daysIn(year, month int) int {
	if month == 2 && isLeap(year) {
		return 29
	}
	return daysBefore[month] - daysBefore[month-1]
}

func isLeap(year int) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

// twoDigits returns the number that b's first two bytes spell, or one above 99 if they are no digits.
func twoDigits(b []byte) int {
	tens, ones := b[0]-'0', b[1]-'0'
	if tens > 9 || ones > 9 {
		return 100
	}
	return int(tens)*10 + int(ones)
}
