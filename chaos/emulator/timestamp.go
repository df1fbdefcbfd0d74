package emulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	minTimestamp = -62135596800000000 // 0001-01-01 00:00:00, in microseconds
	maxTimestamp = 253402300799999999 // 9999-12-31 23:59:59.999999
)

// instant is a TIMESTAMP.
type instant struct {
	micros int64 // since 1970
	picos  int64 // below the microsecond, 0 to 999,999
}

// picoseconds says whether a TIMESTAMP column has twelve digits.
func picoseconds(column *storagepb.TableFieldSchema) bool {
	return column.GetTimestampPrecision().GetValue() == 12
}

func showTimestamp(column *storagepb.TableFieldSchema) func(instant) Value {
	if !picoseconds(column) {
		return func(t instant) Value {
			return Value{Kind: ScalarValue, Text: strconv.FormatInt(t.micros, 10), Micros: t.micros}
		}
	}
	return func(t instant) Value {
		at := time.UnixMicro(t.micros).UTC()
		text := at.Format("2006-01-02T15:04:05.000000") + fmt.Sprintf("%06dZ", t.picos)
		return Value{Kind: ScalarValue, Text: text, Micros: t.micros}
	}
}

func inRange(t instant) (instant, string) {
	if t.micros < minTimestamp || t.micros > maxTimestamp {
		return instant{}, fmt.Sprintf("Timestamp field value is out of range: %d", t.micros) // case 39
	}
	return t, ""
}

func timestampMicros(s scalar) (instant, string) { return inRange(instant{micros: s.int()}) }

// timestampMessage reads google.protobuf.Timestamp, flattened (case 72), or {seconds, picoseconds}.
func timestampMessage(md protoreflect.MessageDescriptor) func(scalar) (instant, string) {
	unit, fd := int64(1000), md.Fields().ByName("nanos")
	if fd == nil {
		unit, fd = 1, md.Fields().ByName("picoseconds")
	}
	secondsField := md.Fields().ByName("seconds")
	return func(s scalar) (instant, string) {
		seconds, _ := member(s.text, secondsField)
		var picos int64
		if fd != nil {
			part, _ := member(s.text, fd)
			if v := part.int(); v < 0 || v >= 1_000_000_000_000/unit {
				return instant{}, fmt.Sprintf("Timestamp fraction of a second is out of range: %d", v)
			}
			picos = part.int() * unit
		}
		if sec := seconds.int(); sec < minTimestamp/1_000_000 || sec > maxTimestamp/1_000_000 {
			return instant{}, fmt.Sprintf("Timestamp seconds are out of range: %d", sec)
		}
		return instant{seconds.int()*1_000_000 + picos/1_000_000, picos % 1_000_000}, ""
	}
}

// timestampText reads "YYYY-M-D[ H:M:S[.F]][zone]" with Z, an offset with minutes ("+00" alone is refused, as seen in
// the service), or " Area/City"; UTC without any.
func timestampText(column *storagepb.TableFieldSchema) func(scalar) (instant, string) {
	digits := 6
	if picoseconds(column) {
		digits = 12
	}
	return func(s scalar) (instant, string) {
		p := textParser{rest: string(s.text)}
		c := p.date(civil{})
		var picos int64
		if len(p.rest) > 1 && strings.IndexByte(" Tt", p.rest[0]) >= 0 && p.rest[1] >= '0' && p.rest[1] <= '9' {
			p.rest = p.rest[1:]
			c, picos = p.time(c, digits)
		}
		zone := p.zone()
		if problem := p.finish("timestamp", s.text, c.validDate() && c.validTime()); problem != "" {
			return instant{}, problem
		}
		at := time.Date(int(c.year), time.Month(c.month), int(c.day), int(c.hour), int(c.minute), int(c.second), 0, zone)
		return inRange(instant{at.Unix()*1_000_000 + c.micros, picos})
	}
}

// zone reads what is left as a time zone.
func (p *textParser) zone() *time.Location {
	zone := p.rest
	p.rest = ""
	switch {
	case zone == "" || zone == "Z" || zone == "z":
		return time.UTC
	case zone[0] == '+' || zone[0] == '-':
		o := textParser{rest: zone[1:]}
		hours := o.number(1, 2)
		o.oneOf(":")
		minutes := o.number(2, 2)
		if p.bad = p.bad || o.bad || o.rest != "" || hours > 14 || minutes > 59 || hours == 14 && minutes > 0; p.bad {
			return time.UTC
		}
		seconds := int(hours*60+minutes) * 60
		if zone[0] == '-' {
			seconds = -seconds
		}
		return time.FixedZone("", seconds)
	}
	name, spaced := strings.CutPrefix(zone, " ")
	location, err := time.LoadLocation(name)
	if !spaced || name == "" || name == "Local" || len(name) > 64 || err != nil {
		p.bad = true
		return time.UTC
	}
	return location
}
