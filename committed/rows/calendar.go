package rows

// The range of DATE, DATETIME and TIMESTAMP is the years 0001 to 9999 (docs/service-facts.md, section 7).
const (
	minDays = -719_162
	maxDays = 2_932_896
)

// date is a day of the Gregorian calendar, years 1 to 9999.
type date struct{ year, month, day int }

// clock is a time of day. fraction counts the unit that readClock was asked for.
type clock struct {
	hour, minute, second int
	fraction             int64
}

// readDate reads YYYY-[M]M-[D]D from the start of b, or the same with slashes: separator says which.
// rest is what follows.
func readDate(b []byte) (d date, separator byte, rest []byte, ok bool) {
	if len(b) < len("2006-1-2") {
		return date{}, 0, nil, false
	}
	century, year := twoDigits(b), twoDigits(b[2:])
	separator = b[4]
	if century > 99 || year > 99 || separator != '-' && separator != '/' {
		return date{}, 0, nil, false
	}
	d.year = century*100 + year
	d.month, rest, ok = oneOrTwoDigits(b[5:])
	if !ok || len(rest) == 0 || rest[0] != separator {
		return date{}, 0, nil, false
	}
	d.day, rest, ok = oneOrTwoDigits(rest[1:])
	return d, separator, rest, ok && d.exists()
}

func (d date) exists() bool {
	return d.year >= 1 && d.year <= 9999 && d.month >= 1 && d.month <= 12 && d.day >= 1 && d.day <= daysIn(d.year, d.month)
}

// days returns the days since 1970-01-01: those of the years before this one, each with a leap day
// if it is due, then this year's.
func (d date) days() int64 {
	y := d.year - 1
	n := y*365 + y/4 - y/100 + y/400 + daysBefore[d.month-1] + d.day - 1
	if d.month > 2 && isLeap(d.year) {
		n++
	}
	return int64(n) + minDays
}

// readClock reads [H]H:[M]M[:[S]S[.F]] from the start of b, F with up to digits digits; the fraction
// counts units of 10^-digits seconds. Second 60 is refused: no type of BigQuery has a place for it.
func readClock(b []byte, digits int, malformed problem) (c clock, rest []byte, bad problem) {
	var ok bool
	c.hour, rest, ok = oneOrTwoDigits(b)
	if !ok || len(rest) == 0 || rest[0] != ':' {
		return clock{}, nil, malformed
	}
	c.minute, rest, ok = oneOrTwoDigits(rest[1:])
	if ok && len(rest) > 0 && rest[0] == ':' {
		c.second, rest, ok = oneOrTwoDigits(rest[1:])
		if ok && len(rest) > 0 && rest[0] == '.' {
			if c.fraction, rest, bad = readFraction(rest[1:], digits, malformed); bad.found() {
				return clock{}, nil, bad
			}
		}
	}
	if !ok || !c.exists() {
		return clock{}, nil, malformed
	}
	return c, rest, problem{}
}

// exists leaves the fraction out: whoever made it knows its unit.
func (c clock) exists() bool { return c.hour <= 23 && c.minute <= 59 && c.second <= 59 }

func (c clock) seconds() int64 { return int64(c.hour*60+c.minute)*60 + int64(c.second) }

// readFraction reads the digits behind a decimal point, of which there must be one and may be
// digits, and returns them in units of 10^-digits.
func readFraction(b []byte, digits int, malformed problem) (fraction int64, rest []byte, bad problem) {
	end := digitsEnd(b, 0)
	switch {
	case end == 0:
		return 0, nil, malformed
	case end > digits && digits == 12:
		return 0, nil, problem{TooFine, "finer than a picosecond"}
	case end > digits:
		return 0, nil, problem{TooFine, "finer than a microsecond"}
	}
	for i := range digits {
		fraction *= 10
		if i < end {
			fraction += int64(b[i] - '0')
		}
	}
	return fraction, b[end:], problem{}
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

// oneOrTwoDigits reads the number that one or two digits at the start of b spell.
func oneOrTwoDigits(b []byte) (n int, rest []byte, ok bool) {
	if len(b) == 0 || b[0]-'0' > 9 {
		return 0, nil, false
	}
	if len(b) == 1 || b[1]-'0' > 9 {
		return int(b[0] - '0'), b[1:], true
	}
	return int(b[0]-'0')*10 + int(b[1]-'0'), b[2:], true
}
