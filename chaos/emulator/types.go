package emulator

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// typeName is the type as the service's messages call it.
func typeName(t storagepb.TableFieldSchema_Type) string {
	switch t {
	case storagepb.TableFieldSchema_INT64:
		return "INTEGER"
	case storagepb.TableFieldSchema_DOUBLE:
		return "FLOAT"
	case storagepb.TableFieldSchema_BOOL:
		return "BOOLEAN"
	case storagepb.TableFieldSchema_STRUCT:
		return "RECORD"
	}
	return t.String()
}

// acceptedKinds is the table of section 7: the scalar proto types a column takes.
var acceptedKinds = map[storagepb.TableFieldSchema_Type][]protoreflect.Kind{
	storagepb.TableFieldSchema_BOOL: {protoreflect.BoolKind, protoreflect.Int32Kind, protoreflect.Int64Kind,
		protoreflect.Uint32Kind, protoreflect.Uint64Kind},
	storagepb.TableFieldSchema_BYTES:     {protoreflect.BytesKind, protoreflect.StringKind},
	storagepb.TableFieldSchema_DATE:      {protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.StringKind},
	storagepb.TableFieldSchema_DATETIME:  {protoreflect.StringKind, protoreflect.Int64Kind},
	storagepb.TableFieldSchema_TIME:      {protoreflect.StringKind, protoreflect.Int64Kind},
	storagepb.TableFieldSchema_DOUBLE:    {protoreflect.DoubleKind, protoreflect.FloatKind},
	storagepb.TableFieldSchema_GEOGRAPHY: {protoreflect.StringKind},
	storagepb.TableFieldSchema_INT64: {protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind,
		protoreflect.EnumKind, protoreflect.Sint32Kind, protoreflect.Sint64Kind, protoreflect.Sfixed32Kind,
		protoreflect.Sfixed64Kind, protoreflect.Fixed32Kind},
	storagepb.TableFieldSchema_JSON:       {protoreflect.StringKind},
	storagepb.TableFieldSchema_NUMERIC:    numericKinds,
	storagepb.TableFieldSchema_BIGNUMERIC: numericKinds,
	storagepb.TableFieldSchema_STRING:     {protoreflect.StringKind, protoreflect.EnumKind},
	storagepb.TableFieldSchema_TIMESTAMP: {protoreflect.Int64Kind, protoreflect.Int32Kind, protoreflect.Uint32Kind,
		protoreflect.StringKind},
	storagepb.TableFieldSchema_INTERVAL: {protoreflect.StringKind},
}

var numericKinds = []protoreflect.Kind{protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Uint32Kind,
	protoreflect.Uint64Kind, protoreflect.DoubleKind, protoreflect.FloatKind, protoreflect.StringKind, protoreflect.BytesKind}

// acceptedMessages is the same for messages, by the end of their name: a nested type is flattened to a name like
// google_protobuf_Timestamp.
var acceptedMessages = map[storagepb.TableFieldSchema_Type][]string{
	storagepb.TableFieldSchema_BOOL:       {"BoolValue"},
	storagepb.TableFieldSchema_BYTES:      {"BytesValue"},
	storagepb.TableFieldSchema_DOUBLE:     {"DoubleValue", "FloatValue"},
	storagepb.TableFieldSchema_INT64:      {"Int32Value", "Int64Value", "UInt32Value"},
	storagepb.TableFieldSchema_NUMERIC:    {"BytesValue"},
	storagepb.TableFieldSchema_BIGNUMERIC: {"BytesValue"},
	storagepb.TableFieldSchema_STRING:     {"StringValue"},
	storagepb.TableFieldSchema_TIMESTAMP:  {"Timestamp"},
	storagepb.TableFieldSchema_INTERVAL:   {"Duration"},
}

func accepts(t storagepb.TableFieldSchema_Type, fd protoreflect.FieldDescriptor) bool {
	if md := fd.Message(); md != nil {
		switch t {
		case storagepb.TableFieldSchema_STRUCT:
			return true
		case storagepb.TableFieldSchema_RANGE:
			return md.Fields().ByName("start") != nil || md.Fields().ByName("end") != nil
		case storagepb.TableFieldSchema_TIMESTAMP: // flattened under any name (case 72)
			if s := md.Fields().ByName("seconds"); s != nil && s.Kind() == protoreflect.Int64Kind {
				return true
			}
		}
		for _, name := range acceptedMessages[t] {
			if strings.HasSuffix(string(md.Name()), name) {
				return true
			}
		}
		return false
	}
	for _, kind := range acceptedKinds[t] {
		if kind == fd.Kind() {
			return true
		}
	}
	return false
}

// value is one decoded scalar: num for varint and fixed kinds (as int64 bits), text for string and bytes.
type value struct {
	num  int64
	text []byte
}

const (
	minTimestamp = -62135596800000000 // 0001-01-01 00:00:00, in microseconds
	maxTimestamp = 253402300799999999 // 9999-12-31 23:59:59.999999
)

// valueCheck returns the check of a column's values, nil if every value will do. The texts are those of cases 38 to
// 40; that of case 42 is not known.
func valueCheck(column *storagepb.TableFieldSchema, fd protoreflect.FieldDescriptor) func(string, value) string {
	limit := int(column.GetMaxLength())
	switch t := column.GetType(); {
	case t == storagepb.TableFieldSchema_STRING && fd.Kind() == protoreflect.StringKind && limit > 0:
		return func(column string, v value) string {
			if n := utf8.RuneCount(v.text); n > limit {
				return fmt.Sprintf("Field %s: STRING(%d) has maximum length %d but got a value with length %d on field %s.",
					column, limit, limit, n, column)
			}
			return ""
		}
	case t == storagepb.TableFieldSchema_TIMESTAMP && fd.Kind() == protoreflect.Int64Kind:
		return func(column string, v value) string {
			if v.num < minTimestamp || v.num > maxTimestamp {
				return fmt.Sprintf("Timestamp field value is out of range: %d on field %s.", v.num, column)
			}
			return ""
		}
	case t == storagepb.TableFieldSchema_DATETIME && fd.Kind() == protoreflect.Int64Kind:
		return func(column string, v value) string {
			if !validCivil(v.num) {
				return fmt.Sprintf("Cannot return an invalid datetime value of %d microseconds expressed as civil time, "+
					"according to civil_time encoding. The range of valid datetime values is [0001-01-01 00:00:00, "+
					"9999-12-31 23:59:59.999999] on field %s.", v.num, column)
			}
			return ""
		}
	case t == storagepb.TableFieldSchema_JSON:
		return func(column string, v value) string {
			if !json.Valid(v.text) {
				return fmt.Sprintf("Invalid JSON value on field %s.", column)
			}
			return ""
		}
	}
	return nil
}

// validCivil checks a DATETIME: year, month, day, hour, minute, second packed above 20 bits of microseconds.
func validCivil(v int64) bool {
	part := func(shift, bits uint) int64 { return v >> shift & (1<<bits - 1) }
	year, month, day := v>>46, part(42, 4), part(37, 5)
	return year >= 1 && year <= 9999 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month) &&
		part(32, 5) < 24 && part(26, 6) < 60 && part(20, 6) < 60 && part(0, 20) < 1_000_000
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
