package emulator

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// columnDefault is a column's default value expression, evaluated: a constant, or what the clock says.
type columnDefault struct {
	value Value
	now   func(time.Time) Value // instead of value, for CURRENT_TIMESTAMP() and its like
}

func (d columnDefault) at(now time.Time) Value {
	if d.now != nil {
		return d.now(now)
	}
	return d.value
}

// clocks are the functions of the present, in UTC, by the type of their column.
var clocks = map[storagepb.TableFieldSchema_Type]struct{ name, layout string }{
	storagepb.TableFieldSchema_TIMESTAMP: {"CURRENT_TIMESTAMP", "2006-01-02T15:04:05.000000Z"},
	storagepb.TableFieldSchema_DATETIME:  {"CURRENT_DATETIME", "2006-01-02T15:04:05.000000"},
	storagepb.TableFieldSchema_DATE:      {"CURRENT_DATE", "2006-01-02"},
	storagepb.TableFieldSchema_TIME:      {"CURRENT_TIME", "15:04:05.000000"},
}

// parseDefault evaluates a column's default value expression: a literal, NULL, or a function of the present. Others
// would need SQL and are refused.
func parseDefault(column *storagepb.TableFieldSchema) (d columnDefault, err error) {
	expression := strings.TrimSpace(column.GetDefaultValueExpression())
	upper := strings.ToUpper(expression)
	scalarColumn := column.GetMode() != storagepb.TableFieldSchema_REPEATED && column.GetType() != storagepb.TableFieldSchema_STRUCT
	clock := clocks[column.GetType()]
	switch {
	case upper == "" || upper == "NULL":
		return d, nil
	case !scalarColumn:
		return d, fmt.Errorf("the emulator supports no default values of REPEATED and RECORD columns but NULL, not %s", expression)
	case clock.name != "" && (upper == clock.name || upper == clock.name+"()"):
		convert := scalarConversion(column, column.GetName(), protoreflect.StringKind, nil)
		d.now = func(now time.Time) Value {
			v, _ := convert.value(scalar{kind: protoreflect.StringKind, text: []byte(now.UTC().Format(clock.layout))})
			return v
		}
		return d, nil
	}
	literal, ok := parseLiteral(expression)
	if !ok {
		return d, fmt.Errorf("the emulator supports default values that are literals, such as 'text', 1.5, TRUE, NULL or "+
			"DATE '2024-02-29', and CURRENT_TIMESTAMP() and its like for a column of that type, not %s", expression)
	}
	s, ok := literal.scalar(column.GetType())
	if !ok {
		return d, fmt.Errorf("the literal %s is no %s", expression, typeName(column.GetType()))
	}
	v, problem := scalarConversion(column, column.GetName(), s.kind, nil).value(s)
	if problem != "" {
		return d, fmt.Errorf("the default value %s: %s", expression, problem)
	}
	d.value = v
	return d, nil
}

// literal is a literal of SQL: its type as far as it shows, and its text without quotes.
type literal struct{ of, text string }

var (
	numberLiteral = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$`)
	typedLiteral  = regexp.MustCompile(`(?s)^([A-Za-z]*)\s*(['"].*)$`)
	literalTypes  = map[string]string{"DECIMAL": "NUMERIC", "BIGDECIMAL": "BIGNUMERIC", "B": "BYTES", "R": "RAW", "": "STRING"}
)

func parseLiteral(s string) (l literal, ok bool) {
	switch upper := strings.ToUpper(s); {
	case upper == "TRUE" || upper == "FALSE":
		return literal{"BOOL", strings.ToLower(s)}, true
	case numberLiteral.MatchString(s):
		return literal{"NUMBER", s}, true
	}
	parts := typedLiteral.FindStringSubmatch(s)
	if parts == nil {
		return l, false
	}
	l.of = strings.ToUpper(parts[1])
	if short, known := literalTypes[l.of]; known {
		l.of = short
	}
	raw := l.of == "RAW"
	if raw {
		l.of = "STRING"
	}
	l.text, ok = unquote(parts[2], raw)
	return l, ok
}

// unquote takes the quotes off a string literal and resolves its escapes, unless it is raw.
func unquote(s string, raw bool) (string, bool) {
	if len(s) < 2 || s[len(s)-1] != s[0] {
		return "", false
	}
	quote, rest := s[0], s[1:len(s)-1]
	var text []byte
	for rest != "" {
		switch {
		case rest[0] == quote || rest[0] == '\n':
			return "", false
		case rest[0] != '\\' || raw:
			text, rest = append(text, rest[0]), rest[1:]
			continue
		case len(rest) > 1 && strings.IndexByte("'\"`?", rest[1]) >= 0:
			text, rest = append(text, rest[1]), rest[2:]
			continue
		}
		char, multibyte, tail, err := strconv.UnquoteChar(rest, 0)
		if err != nil {
			return "", false
		}
		if rest = tail; multibyte {
			text = utf8.AppendRune(text, char)
		} else {
			text = append(text, byte(char))
		}
	}
	return string(text), true
}

// scalar is the literal as a value that a column of type t reads.
func (l literal) scalar(t storagepb.TableFieldSchema_Type) (s scalar, ok bool) {
	s.text = []byte(l.text)
	switch t {
	case storagepb.TableFieldSchema_BOOL:
		s.kind = protoreflect.BoolKind
		if l.text == "true" {
			s.num = 1
		}
		return s, l.of == "BOOL"
	case storagepb.TableFieldSchema_INT64:
		n, err := strconv.ParseInt(l.text, 10, 64)
		s.kind, s.num = protoreflect.Int64Kind, uint64(n)
		return s, l.of == "NUMBER" && err == nil
	case storagepb.TableFieldSchema_DOUBLE:
		f, err := strconv.ParseFloat(l.text, 64)
		s.kind, s.num = protoreflect.DoubleKind, math.Float64bits(f)
		return s, l.of == "NUMBER" && err == nil
	case storagepb.TableFieldSchema_BYTES:
		s.kind = protoreflect.BytesKind
		return s, l.of == "BYTES"
	}
	s.kind = protoreflect.StringKind
	switch t {
	case storagepb.TableFieldSchema_NUMERIC, storagepb.TableFieldSchema_BIGNUMERIC:
		return s, l.of == "NUMBER" || l.of == t.String()
	case storagepb.TableFieldSchema_DATE, storagepb.TableFieldSchema_TIME, storagepb.TableFieldSchema_DATETIME,
		storagepb.TableFieldSchema_TIMESTAMP, storagepb.TableFieldSchema_STRING:
		return s, l.of == "STRING" || l.of == t.String()
	case storagepb.TableFieldSchema_JSON:
		return s, l.of == "JSON"
	}
	return s, false
}
