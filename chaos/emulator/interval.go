package emulator

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// interval is an INTERVAL; its three parts have signs of their own.
type interval struct{ months, days, micros int64 }

const (
	maxMonths      = 10_000 * 12
	maxDays        = 3_660_000
	maxHours       = 87_840_000
	microsPerHour  = 3_600_000_000
	invalidSeconds = "Invalid duration of %d seconds and %d nanoseconds"
)

func (v interval) valid() bool {
	within := func(n, limit int64) bool { return -limit <= n && n <= limit }
	return within(v.months, maxMonths) && within(v.days, maxDays) && within(v.micros, maxHours*microsPerHour)
}

// value spells the interval as "Y-M D H:M:S[.F]", the fraction in three or six digits.
func (v interval) value() Value {
	months, monthSign := split(v.months)
	micros, microSign := split(v.micros)
	seconds := micros / 1_000_000
	text := fmt.Sprintf("%s%d-%d %d %s%d:%d:%d", monthSign, months/12, months%12, v.days,
		microSign, seconds/3600, seconds/60%60, seconds%60)
	switch rest := micros % 1_000_000; {
	case rest == 0:
	case rest%1000 == 0:
		text += fmt.Sprintf(".%03d", rest/1000)
	default:
		text += fmt.Sprintf(".%06d", rest)
	}
	return scalarValue(text)
}

func split(n int64) (size int64, sign string) {
	if n < 0 {
		return -n, "-"
	}
	return n, ""
}

// durationMessage reads google.protobuf.Duration, flattened.
func durationMessage(md protoreflect.MessageDescriptor) func(scalar) (interval, string) {
	secondsField, nanosField := md.Fields().ByName("seconds"), md.Fields().ByName("nanos")
	return func(s scalar) (interval, string) {
		seconds, _ := member(s.text, secondsField)
		nanos, _ := member(s.text, nanosField)
		sec, nano := seconds.int(), nanos.int()
		tooLong := sec < -maxHours*3600 || sec > maxHours*3600
		if tooLong || nano <= -1_000_000_000 || nano >= 1_000_000_000 || sec > 0 && nano < 0 || sec < 0 && nano > 0 {
			return interval{}, fmt.Sprintf(invalidSeconds, sec, nano)
		}
		v := interval{micros: sec*1_000_000 + nano/1000}
		if !v.valid() {
			return interval{}, fmt.Sprintf(invalidSeconds, sec, nano)
		}
		return v, ""
	}
}

// intervalText reads the canonical form, "[-]Y-M [-]D [-]H:M:S[.F]", or ISO 8601's "P1Y2M3DT4H5M6.789S".
func intervalText(s scalar) (interval, string) {
	p := textParser{rest: string(s.text)}
	var v interval
	if strings.HasPrefix(p.rest, "P") {
		v = p.isoInterval()
	} else {
		v = p.canonicalInterval()
	}
	return v, p.finish("interval", s.text, v.valid())
}

func (p *textParser) sign() int64 {
	switch {
	case strings.HasPrefix(p.rest, "-"):
		p.rest = p.rest[1:]
		return -1
	case strings.HasPrefix(p.rest, "+"):
		p.rest = p.rest[1:]
	}
	return 1
}

func (p *textParser) canonicalInterval() (v interval) {
	sign := p.sign()
	years := p.number(1, 5)
	p.oneOf("-")
	v.months = sign * (years*12 + p.number(1, 6))
	p.oneOf(" ")
	v.days = p.sign() * p.number(1, 7)
	p.oneOf(" ")
	sign = p.sign()
	seconds := p.number(1, 8) * 3600
	p.oneOf(":")
	seconds += p.number(1, 10) * 60
	p.oneOf(":")
	seconds += p.number(1, 12)
	micros, _ := p.fraction(6)
	v.micros = sign * (min(seconds, maxHours*3600+1)*1_000_000 + micros)
	return v
}

// isoInterval reads each designator at most once and in order.
func (p *textParser) isoInterval() (v interval) {
	p.rest = p.rest[1:]
	left, inTime, any := "YMWD", false, false
	for p.rest != "" && !p.bad {
		if !inTime && p.rest[0] == 'T' {
			p.rest, left, inTime, any = p.rest[1:], "HMS", true, false
			continue
		}
		sign := p.sign()
		n := p.number(1, 12)
		micros, _ := p.fraction(6)
		unit := p.oneOf(left)
		if p.bad || micros > 0 && unit != 'S' {
			p.bad = true
			return v
		}
		left, any = left[strings.IndexByte(left, unit)+1:], true
		p.isoPart(&v, inTime, unit, sign*min(n, 1<<39), sign*micros)
	}
	p.bad = p.bad || !any
	return v
}

func (p *textParser) isoPart(v *interval, inTime bool, unit byte, n, micros int64) {
	switch {
	case unit == 'Y':
		v.months += n * 12
	case unit == 'M' && !inTime:
		v.months += n
	case unit == 'W':
		v.days += n * 7
	case unit == 'D':
		v.days += n
	case n < -maxHours*3600 || n > maxHours*3600:
		p.bad = true
	case unit == 'H':
		p.bad = p.bad || n < -maxHours || n > maxHours
		v.micros += min(n, maxHours) * microsPerHour
	case unit == 'M':
		v.micros += n * 60_000_000
	default:
		v.micros += n*1_000_000 + micros
	}
}
