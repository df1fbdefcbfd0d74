package rows

// BigQuery's civil encoding of DATETIME and TIME in 64 bits (docs/service-facts.md, section 7): from the
// lowest bit on 20 bits of microseconds, 6 of seconds, 6 of minutes, 5 of hours, 5 of days, 4 of
// months, then the year. It grows with time.
const (
	secondShift = 20
	minuteShift = secondShift + 6
	hourShift   = minuteShift + 6
	dayShift    = hourShift + 5
	monthShift  = dayShift + 5
	yearShift   = monthShift + 4
)

var (
	notADate     = problem{BadValue, "not a DATE: want YYYY-MM-DD"}
	notATime     = problem{BadValue, "not a TIME: want HH:MM:SS.ffffff"}
	notADatetime = problem{BadValue, "not a DATETIME: want YYYY-MM-DD HH:MM:SS.ffffff"}
)

// parseDate reads YYYY-[M]M-[D]D and returns days since 1970-01-01.
func parseDate(b []byte) (days int64, bad problem) {
	d, separator, rest, ok := readDate(b)
	if !ok || separator != '-' || len(rest) > 0 {
		return 0, notADate
	}
	return d.days(), problem{}
}

// parseTime reads [H]H:[M]M[:[S]S[.F]] and returns its civil encoding.
func parseTime(b []byte) (civil int64, bad problem) {
	c, rest, bad := readClock(b, 6, notATime)
	if bad.found() {
		return 0, bad
	}
	if len(rest) > 0 {
		return 0, notATime
	}
	return c.civil(), problem{}
}

// parseDatetime reads a date, alone or with T or a space and a time behind it, and returns its civil
// encoding.
func parseDatetime(b []byte) (civil int64, bad problem) {
	d, separator, rest, ok := readDate(b)
	if !ok || separator != '-' {
		return 0, notADatetime
	}
	if len(rest) == 0 {
		return d.civil(), problem{}
	}
	if rest[0]|0x20 != 't' && rest[0] != ' ' {
		return 0, notADatetime
	}
	c, rest, bad := readClock(rest[1:], 6, notADatetime)
	if bad.found() {
		return 0, bad
	}
	if len(rest) > 0 {
		return 0, problem{BadValue, "not a DATETIME: it has no time zone, want YYYY-MM-DD HH:MM:SS.ffffff"}
	}
	return d.civil() | c.civil(), problem{}
}

func (d date) civil() int64 {
	return int64(d.year)<<yearShift | int64(d.month)<<monthShift | int64(d.day)<<dayShift
}

// civil takes the fraction as microseconds.
func (c clock) civil() int64 {
	return int64(c.hour)<<hourShift | int64(c.minute)<<minuteShift | int64(c.second)<<secondShift | c.fraction
}

// civilClock is the inverse of clock.civil; what stands above the hour is left out.
func civilClock(civil int64) clock {
	part := func(shift, bits int) int { return int(civil >> shift & (1<<bits - 1)) }
	return clock{part(hourShift, 5), part(minuteShift, 6), part(secondShift, 6), int64(part(0, 20))}
}

func isCivilTime(v int64) bool {
	c := civilClock(v)
	return v>>dayShift == 0 && c.exists() && c.fraction < 1_000_000
}

func isCivilDatetime(v int64) bool {
	d := date{int(v >> yearShift), int(v >> monthShift & 15), int(v >> dayShift & 31)}
	return d.exists() && isCivilTime(v&(1<<dayShift-1))
}

func isDate(v int64) bool { return v >= minDays && v <= maxDays }
