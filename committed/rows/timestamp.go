package rows

import "time"

const (
	minSeconds = minDays * 86_400
	maxSeconds = maxDays*86_400 + 86_399
	minMicros  = minSeconds * 1_000_000
	maxMicros  = maxSeconds*1_000_000 + 999_999
)

var (
	notATimestamp     = problem{BadValue, "not a TIMESTAMP: want a date, a time and a time zone, as 2006-01-02T15:04:05.999999Z"}
	timestampRange    = problem{OutOfRange, "out of range for TIMESTAMP"}
	unknownZone       = problem{BadValue, "not a TIMESTAMP: unknown time zone"}
	skippedByTheClock = problem{BadValue, "not a TIMESTAMP: the clocks of that time zone skipped this time"}
)

func isTimestamp(micros int64) bool { return micros >= minMicros && micros <= maxMicros }

// parseTimestamp reads a date (with dashes or slashes), T or a space, a time and a time zone: RFC
// 3339 and BigQuery's canonical form. The time may be absent: midnight; so may the zone: UTC. It
// returns seconds since 1970-01-01 UTC and, in units of 10^-digits seconds, the fraction.
func parseTimestamp(b []byte, digits int, z *zones) (seconds, fraction int64, bad problem) {
	d, _, rest, ok := readDate(b)
	if !ok {
		return 0, 0, notATimestamp
	}
	seconds = d.days() * 86_400
	if len(rest) == 0 {
		return seconds, 0, problem{}
	}
	if rest[0]|0x20 != 't' && rest[0] != ' ' {
		return 0, 0, notATimestamp
	}
	c, rest, bad := readClock(rest[1:], digits, notATimestamp)
	if bad.found() {
		return 0, 0, bad
	}
	seconds, bad = toUTC(seconds+c.seconds(), rest, z)
	if bad.found() {
		return 0, 0, bad
	}
	if seconds < minSeconds || seconds > maxSeconds {
		return 0, 0, timestampRange
	}
	return seconds, c.fraction, problem{}
}

func parseMicros(b []byte, z *zones) (micros int64, bad problem) {
	seconds, fraction, bad := parseTimestamp(b, 6, z)
	return seconds*1_000_000 + fraction, bad
}

// toUTC returns the instant at which the clocks of zone show local, in seconds as if it were UTC.
// zone is empty (UTC), Z, an offset {+|-}H[H][:[M]M], or a name of the time zone database; a space
// may stand before it.
func toUTC(local int64, zone []byte, z *zones) (seconds int64, bad problem) {
	if len(zone) == 0 {
		return local, problem{}
	}
	if zone[0] == ' ' {
		zone = zone[1:]
	}
	switch {
	case len(zone) == 0:
		return 0, notATimestamp
	case len(zone) == 1 && zone[0]|0x20 == 'z', string(zone) == "UTC":
		return local, problem{}
	case zone[0] == '+' || zone[0] == '-':
		return withOffset(local, zone)
	}
	location := z.find(zone)
	if location == nil {
		return 0, unknownZone
	}
	return withLocation(local, location)
}

func withOffset(local int64, zone []byte) (seconds int64, bad problem) {
	hour, rest, ok := oneOrTwoDigits(zone[1:])
	minute := 0
	if ok && len(rest) > 0 && rest[0] == ':' {
		minute, rest, ok = oneOrTwoDigits(rest[1:])
	}
	if !ok || len(rest) > 0 || hour > 23 || minute > 59 {
		return 0, notATimestamp
	}
	offset := int64(hour*60+minute) * 60
	if zone[0] == '+' {
		offset = -offset
	}
	return local + offset, problem{}
}

// withLocation takes the first of two instants at which the clocks show the same, as BigQuery does.
// The offsets a day before and a day after are the only candidates: no zone changes twice so soon.
func withLocation(local int64, location *time.Location) (seconds int64, bad problem) {
	offsetAt := func(seconds int64) int64 {
		_, offset := time.Unix(seconds, 0).In(location).Zone()
		return int64(offset)
	}
	for _, day := range [...]int64{-86_400, 86_400} {
		offset := offsetAt(local + day)
		if offsetAt(local-offset) == offset {
			return local - offset, problem{}
		}
	}
	return 0, skippedByTheClock
}
