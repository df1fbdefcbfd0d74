package emulator

import (
	"fmt"
	"strings"
	"time"
)

// civil is a date, a time of day, or both, of no time zone.
type civil struct {
	year, month, day             int64
	hour, minute, second, micros int64
}

const civilRange = "The range of valid datetime values is [0001-01-01 00:00:00, 9999-12-31 23:59:59.999999]"

func (c civil) date() string { return fmt.Sprintf("%04d-%02d-%02d", c.year, c.month, c.day) }

func (c civil) time() string {
	text := fmt.Sprintf("%02d:%02d:%02d", c.hour, c.minute, c.second)
	if c.micros > 0 {
		text += fmt.Sprintf(".%06d", c.micros)
	}
	return text
}

func (c civil) datetime() string { return c.date() + "T" + c.time() }

func showCivil(text func(civil) string) func(civil) Value {
	return func(c civil) Value { return scalarValue(text(c)) }
}

func (c civil) validDate() bool {
	return c.year >= 1 && c.year <= 9999 && c.month >= 1 && c.month <= 12 && c.day >= 1 && c.day <= daysIn(c.year, c.month)
}

func (c civil) validTime() bool {
	return c.hour >= 0 && c.hour < 24 && c.minute < 60 && c.second < 60 && c.micros < 1_000_000
}

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

const (
	minDate = -719162 // 0001-01-01, in days since 1970
	maxDate = 2932896 // 9999-12-31
)

// dateDays reads a DATE as days since 1970.
func dateDays(s scalar) (civil, string) {
	days := s.int()
	if days < minDate || days > maxDate {
		return civil{}, fmt.Sprintf("Date field value is out of range: %d", days)
	}
	y, m, d := time.Unix(days*86400, 0).UTC().Date()
	return civil{year: int64(y), month: int64(m), day: int64(d)}, ""
}

// timeBits reads a TIME that is packed as hour, minute, second above 20 bits of microseconds.
func timeBits(s scalar) (civil, string) {
	c := unpackTime(s.int())
	if !c.validTime() {
		return civil{}, fmt.Sprintf("Cannot return an invalid time value of %d microseconds expressed as civil time, "+
			"according to civil_time encoding. The range of valid time values is [00:00:00, 23:59:59.999999]", s.int())
	}
	return c, ""
}

func unpackTime(v int64) civil {
	return civil{hour: v >> 32, minute: v >> 26 & 63, second: v >> 20 & 63, micros: v & (1<<20 - 1)}
}

// datetimeBits reads a DATETIME that is packed as year, month, day above a TIME (case 40).
func datetimeBits(s scalar) (civil, string) {
	v := s.int()
	c := unpackTime(v & (1<<37 - 1))
	c.year, c.month, c.day = v>>46, v>>42&15, v>>37&31
	if !c.validDate() || !c.validTime() {
		return civil{}, fmt.Sprintf("Cannot return an invalid datetime value of %d microseconds expressed as civil time, "+
			"according to civil_time encoding. "+civilRange, v)
	}
	return c, ""
}

func dateText(s scalar) (civil, string) {
	p := textParser{rest: string(s.text)}
	c := p.date(civil{})
	return c, p.finish("date", s.text, c.validDate())
}

func timeText(s scalar) (civil, string) {
	p := textParser{rest: string(s.text)}
	c, _ := p.time(civil{}, 6)
	return c, p.finish("time", s.text, c.validTime())
}

func datetimeText(s scalar) (civil, string) {
	p := textParser{rest: string(s.text)}
	c := p.date(civil{})
	if p.rest != "" {
		p.oneOf(" Tt")
		c, _ = p.time(c, 6)
	}
	return c, p.finish("datetime", s.text, c.validDate() && c.validTime())
}

// textParser takes pieces off the front of a text; bad stays set after the first that isn't there.
type textParser struct {
	rest string
	bad  bool
}

// finish says what is wrong with a text that should have been used up by now.
func (p *textParser) finish(what string, text []byte, valid bool) string {
	if p.bad || p.rest != "" || !valid {
		return fmt.Sprintf("Invalid %s value: %s", what, excerpt(text))
	}
	return ""
}

// excerpt bounds a value in a message.
func excerpt(text []byte) string {
	if len(text) > 64 {
		return fmt.Sprintf("%.64q...", text)
	}
	return fmt.Sprintf("%q", text)
}

func (p *textParser) date(c civil) civil {
	c.year = p.number(4, 4)
	p.oneOf("-")
	c.month = p.number(1, 2)
	p.oneOf("-")
	c.day = p.number(1, 2)
	return c
}

// time reads [H]H:[M]M:[S]S[.F] with at most digits of fraction, and returns what is below the microsecond in
// picoseconds.
func (p *textParser) time(c civil, digits int) (civil, int64) {
	c.hour = p.number(1, 2)
	p.oneOf(":")
	c.minute = p.number(1, 2)
	p.oneOf(":")
	c.second = p.number(1, 2)
	var picos int64
	c.micros, picos = p.fraction(digits)
	return c, picos
}

// fraction reads an optional fraction of a second of at most digits.
func (p *textParser) fraction(digits int) (micros, picos int64) {
	if p.bad || !strings.HasPrefix(p.rest, ".") {
		return 0, 0
	}
	p.rest = p.rest[1:]
	before := len(p.rest)
	n := p.number(1, digits)
	for used := before - len(p.rest); used < 12; used++ {
		n *= 10
	}
	return n / 1_000_000, n % 1_000_000
}

// number reads an unsigned number of least to most digits.
func (p *textParser) number(least, most int) (n int64) {
	used := 0
	for used < len(p.rest) && used < most && p.rest[used] >= '0' && p.rest[used] <= '9' {
		n = n*10 + int64(p.rest[used]-'0')
		used++
	}
	p.bad = p.bad || used < least
	p.rest = p.rest[used:]
	return n
}

// oneOf reads one of some characters, and returns it.
func (p *textParser) oneOf(chars string) byte {
	if p.rest == "" || strings.IndexByte(chars, p.rest[0]) < 0 {
		p.bad = true
		return 0
	}
	c := p.rest[0]
	p.rest = p.rest[1:]
	return c
}
