package emulator

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// scalar is one value as it stands on the wire: num of varint and fixed kinds, text of strings, bytes and messages.
type scalar struct {
	kind protoreflect.Kind
	num  uint64
	text []byte
}

// int is the value of an integral kind but uint64 and fixed64, cut to the kind's width as parsers do.
func (s scalar) int() int64 {
	switch s.kind {
	case protoreflect.Int32Kind, protoreflect.Sfixed32Kind, protoreflect.EnumKind:
		return int64(int32(s.num))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return int64(uint32(s.num))
	case protoreflect.Sint32Kind:
		return protowire.DecodeZigZag(s.num & math.MaxUint32)
	case protoreflect.Sint64Kind:
		return protowire.DecodeZigZag(s.num)
	}
	return int64(s.num)
}

func (s scalar) float() float64 {
	if s.kind == protoreflect.FloatKind {
		return float64(math.Float32frombits(uint32(s.num)))
	}
	return math.Float64frombits(s.num)
}

// consumeScalar reads a value of a kind, and of its wire type, at the front of b, which protowire found to be whole.
func consumeScalar(kind protoreflect.Kind, wire protowire.Type, num protowire.Number, b []byte) scalar {
	s := scalar{kind: kind}
	switch wire {
	case protowire.BytesType:
		s.text, _ = protowire.ConsumeBytes(b)
	case protowire.StartGroupType:
		s.text, _ = protowire.ConsumeGroup(num, b)
	case protowire.Fixed32Type:
		v, _ := protowire.ConsumeFixed32(b)
		s.num = uint64(v)
	case protowire.Fixed64Type:
		s.num, _ = protowire.ConsumeFixed64(b)
	default:
		s.num, _ = protowire.ConsumeVarint(b)
	}
	return s
}

// member finds a field in a whole message; absent, it has its zero value, as the messages accepted for scalars are
// proto3's.
func member(msg []byte, fd protoreflect.FieldDescriptor) (s scalar, present bool) {
	s.kind = fd.Kind()
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		size := protowire.ConsumeFieldValue(num, typ, msg[max(n, 0):])
		if n < 0 || size < 0 {
			return s, present
		}
		if num == fd.Number() && typ == wireType(fd.Kind()) {
			s, present = consumeScalar(fd.Kind(), typ, num, msg[n:n+size]), true
		}
		msg = msg[n+size:]
	}
	return s, present
}

// conversion makes a column's values out of what is on the wire. check and value agree, as both parse with the same
// function. What they return beside is what is wrong, "" if nothing is.
type conversion struct {
	check func(scalar) string // nil: anything goes, so that nothing has to be decoded at append
	value func(scalar) (Value, string)
}

func convert[T any](parse func(scalar) (T, string), show func(T) Value) conversion {
	return conversion{
		check: func(s scalar) string {
			_, problem := parse(s)
			return problem
		},
		value: func(s scalar) (Value, string) {
			v, problem := parse(s)
			if problem != "" {
				return Value{}, problem
			}
			return show(v), ""
		},
	}
}

// always is the conversion of a type that every value will do for.
func always(show func(scalar) string) conversion {
	return conversion{value: func(s scalar) (Value, string) { return scalarValue(show(s)), "" }}
}

// conversionOf is how a column, known by its path, reads a field of a type that it accepts.
func conversionOf(column *storagepb.TableFieldSchema, path string, fd protoreflect.FieldDescriptor) conversion {
	md := fd.Message()
	if md == nil {
		return scalarConversion(column, path, fd.Kind(), fd.Enum())
	}
	switch column.GetType() {
	case storagepb.TableFieldSchema_TIMESTAMP:
		return convert(timestampMessage(md), showTimestamp(column))
	case storagepb.TableFieldSchema_INTERVAL:
		return convert(durationMessage(md), interval.value)
	case storagepb.TableFieldSchema_RANGE:
		return rangeConversion(column, path, md)
	}
	return unwrapped(column, path, md.Fields().ByName("value")) // of a wrapper
}

func unwrapped(column *storagepb.TableFieldSchema, path string, fd protoreflect.FieldDescriptor) conversion {
	inner := scalarConversion(column, path, fd.Kind(), fd.Enum())
	outer := conversion{value: func(s scalar) (Value, string) {
		v, _ := member(s.text, fd)
		return inner.value(v)
	}}
	if inner.check != nil {
		outer.check = func(s scalar) string {
			v, _ := member(s.text, fd)
			return inner.check(v)
		}
	}
	return outer
}

func scalarConversion(column *storagepb.TableFieldSchema, path string, kind protoreflect.Kind, enum protoreflect.EnumDescriptor) conversion {
	text := kind == protoreflect.StringKind
	switch column.GetType() {
	case storagepb.TableFieldSchema_BOOL:
		return always(func(s scalar) string { return strconv.FormatBool(s.num != 0) })
	case storagepb.TableFieldSchema_INT64:
		return always(func(s scalar) string { return strconv.FormatInt(s.int(), 10) })
	case storagepb.TableFieldSchema_DOUBLE:
		return always(func(s scalar) string { return formatFloat(s.float()) })
	case storagepb.TableFieldSchema_STRING:
		if enum != nil {
			return always(func(s scalar) string {
				return string(enum.Values().ByNumber(protoreflect.EnumNumber(s.int())).Name()) // others count as unknown fields
			})
		}
		return limited(path, int(column.GetMaxLength()), "STRING", utf8.RuneCount, func(b []byte) string { return strings.ToValidUTF8(string(b), "\uFFFD") })
	case storagepb.TableFieldSchema_BYTES:
		return limited(path, int(column.GetMaxLength()), "BYTES", func(b []byte) int { return len(b) }, base64.StdEncoding.EncodeToString)
	case storagepb.TableFieldSchema_NUMERIC, storagepb.TableFieldSchema_BIGNUMERIC:
		f := decimalFormatOf(column)
		return checkedIf(f.limit != nil || !integral(kind), convert(f.parse, f.value))
	case storagepb.TableFieldSchema_DATE:
		return convert(pick(text, dateText, dateDays), showCivil(civil.date))
	case storagepb.TableFieldSchema_TIME:
		return convert(pick(text, timeText, timeBits), showCivil(civil.time))
	case storagepb.TableFieldSchema_DATETIME:
		return convert(pick(text, datetimeText, datetimeBits), showCivil(civil.datetime))
	case storagepb.TableFieldSchema_TIMESTAMP:
		c := convert(pick(text, timestampText(column), timestampMicros), showTimestamp(column))
		return checkedIf(text || kind == protoreflect.Int64Kind, c)
	case storagepb.TableFieldSchema_INTERVAL:
		return convert(intervalText, interval.value)
	case storagepb.TableFieldSchema_JSON:
		return convert(jsonText, showJSON)
	case storagepb.TableFieldSchema_GEOGRAPHY:
		return convert(geographyText, scalarValue)
	}
	return always(func(s scalar) string { return strings.ToValidUTF8(string(s.text), "\uFFFD") }) // of types yet unknown
}

// checkedIf drops the check of a conversion that every value will do for.
func checkedIf(needed bool, c conversion) conversion {
	if !needed {
		c.check = nil
	}
	return c
}

func integral(kind protoreflect.Kind) bool {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return true
	}
	return false
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// limited is the conversion of STRING and BYTES, with their maximum length (case 38).
func limited(path string, limit int, name string, length func([]byte) int, show func([]byte) string) conversion {
	if limit == 0 {
		return always(func(s scalar) string { return show(s.text) })
	}
	check := func(s scalar) string {
		if n := len(s.text); n <= limit { // nor are there more characters
			return ""
		}
		if n := length(s.text); n > limit {
			return fmt.Sprintf("Field %s: %s(%d) has maximum length %d but got a value with length %d",
				path, name, limit, limit, n)
		}
		return ""
	}
	return conversion{check: check, value: func(s scalar) (Value, string) { return scalarValue(show(s.text)), check(s) }}
}

// jsonText checks a JSON document (case 42; the service's text is not known).
func jsonText(s scalar) ([]byte, string) {
	if !json.Valid(s.text) {
		return nil, "Invalid JSON value"
	}
	return s.text, ""
}

func showJSON(b []byte) Value {
	return scalarValue(compactJSON(b))
}
