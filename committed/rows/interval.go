package rows

// The range of INTERVAL: 10,000 years either way, and as much in days and hours.
const (
	maxIntervalMonths = 10_000 * 12
	maxIntervalDays   = 3_660_000
	maxIntervalMicros = 87_840_000 * 3_600 * 1_000_000
)

var (
	notAnInterval = problem{BadValue, "not an INTERVAL: want years-months days hours:minutes:seconds, as 1-2 3 4:5:6.789"}
	intervalRange = problem{OutOfRange, "out of range for INTERVAL"}
)

// checkInterval holds a text against the canonical form [±]Y-M [±]D [±]H:M:S[.F], in which the
// service takes it, and its three parts against their ranges.
func checkInterval(b []byte) problem {
	b = withoutSign(b)
	years, b, ok := readCount(b, '-')
	if !ok {
		return notAnInterval
	}
	months, b, ok := readCount(b, ' ')
	if !ok || months > 11 {
		return notAnInterval
	}
	days, b, ok := readCount(withoutSign(b), ' ')
	if !ok {
		return notAnInterval
	}
	hours, b, ok := readCount(withoutSign(b), ':')
	if !ok {
		return notAnInterval
	}
	minute, b, ok := oneOrTwoDigits(b)
	if !ok || minute > 59 || len(b) == 0 || b[0] != ':' {
		return notAnInterval
	}
	second, b, ok := oneOrTwoDigits(b[1:])
	if !ok || second > 59 {
		return notAnInterval
	}
	micros := int64(0)
	if len(b) > 0 && b[0] == '.' {
		var bad problem
		if micros, b, bad = readFraction(b[1:], 6, notAnInterval); bad.found() {
			return bad
		}
	}
	if len(b) > 0 {
		return notAnInterval
	}
	micros += ((hours*60+int64(minute))*60 + int64(second)) * 1_000_000
	if years*12+months > maxIntervalMonths || days > maxIntervalDays || micros > maxIntervalMicros {
		return intervalRange
	}
	return problem{}
}

func withoutSign(b []byte) []byte {
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		return b[1:]
	}
	return b
}

// readCount reads a number and the byte end behind it. What is beyond any range comes back as 1e8.
func readCount(b []byte, end byte) (n int64, rest []byte, ok bool) {
	i := digitsEnd(b, 0)
	if i == 0 || i == len(b) || b[i] != end {
		return 0, nil, false
	}
	for _, c := range b[:i] {
		n = min(n*10+int64(c-'0'), 100_000_000)
	}
	return n, b[i+1:], true
}

// interval reads the canonical text and passes it on.
func (p *parser) interval(dst []byte, f *field, c byte) ([]byte, *Error) {
	if c != '"' {
		return dst, p.wrongType(f.column.name, c)
	}
	start := len(dst)
	dst = append(dst, 0)
	text, err := p.text(dst)
	if err != nil {
		return dst, err
	}
	if bad := checkInterval(text); bad.found() {
		return dst, bad.with(text)
	}
	// text may stand where it goes: then this moves nothing.
	return closeLength(append(dst, text...), start), nil
}
