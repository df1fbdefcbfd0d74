package emulator

import (
	"bytes"
	"encoding/json"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// elementOf is a column of a RANGE's element type.
func elementOf(column *storagepb.TableFieldSchema) *storagepb.TableFieldSchema {
	return &storagepb.TableFieldSchema{
		Name: column.GetName(), Type: column.GetRangeElementType().GetType(), TimestampPrecision: column.GetTimestampPrecision(),
	}
}

// rangeConversion reads a message {start, end} of two elements; an unset one is unbounded.
func rangeConversion(column *storagepb.TableFieldSchema, path string, md protoreflect.MessageDescriptor) conversion {
	element := elementOf(column)
	bound := func(name protoreflect.Name) func([]byte) (Value, string) {
		fd := md.Fields().ByName(name)
		if fd == nil {
			return func([]byte) (Value, string) { return Value{}, "" }
		}
		c := conversionOf(element, path, fd)
		return func(msg []byte) (Value, string) {
			s, present := member(msg, fd)
			if !present {
				return Value{}, ""
			}
			return c.value(s)
		}
	}
	start, end := bound("start"), bound("end")
	return convert(func(s scalar) (Value, string) {
		a, problem := start(s.text)
		if problem != "" {
			return Value{}, problem
		}
		b, problem := end(s.text)
		if problem != "" {
			return Value{}, problem
		}
		if a.Kind != NullValue && b.Kind != NullValue && !before(a, b) {
			return Value{}, "Range start must be less than range end: " + rangeText(a, b)
		}
		return Value{Kind: RangeValue, Text: rangeText(a, b), Items: []Value{a, b}}, ""
	}, func(v Value) Value { return v })
}

// before orders elements: the spellings of DATE and DATETIME sort as they are, and so do those of one precision of
// TIMESTAMP within a microsecond.
func before(a, b Value) bool {
	if a.Micros != b.Micros {
		return a.Micros < b.Micros
	}
	return a.Text < b.Text
}

func rangeText(start, end Value) string {
	text := func(v Value) string {
		if v.Kind == NullValue {
			return "UNBOUNDED"
		}
		return v.Text
	}
	return "[" + text(start) + ", " + text(end) + ")"
}

var geographyWords = []string{"POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON",
	"GEOMETRYCOLLECTION", "FULLGLOBE"}

// geographyText tells WKT and GeoJSON from anything else by their first word; the shapes themselves aren't looked into.
func geographyText(s scalar) (string, string) {
	text := strings.TrimSpace(string(s.text))
	if strings.HasPrefix(text, "{") && json.Valid([]byte(text)) {
		return text, ""
	}
	word, _, _ := strings.Cut(strings.ToUpper(text), "(")
	word, _, _ = strings.Cut(word, " ")
	for _, known := range geographyWords {
		if word == known {
			return text, ""
		}
	}
	return "", "Invalid geography value: " + excerpt(s.text)
}

func compactJSON(b []byte) string {
	var text bytes.Buffer
	if json.Compact(&text, b) != nil {
		return string(b)
	}
	return text.String()
}
