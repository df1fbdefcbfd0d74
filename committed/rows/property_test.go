package rows_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

// Objects of any schema, spelt in any way that JSON and BigQuery allow; about half have a wrong value,
// a string that is too long or a day that doesn't exist. Decision and values are the oracle's. Random
// text as in FuzzAppend hardly ever makes such objects. If it failed, rows would be refused or stored
// wrongly because of how they are spelt.
func TestAnySchemaAnySpelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		schema := &storagepb.TableSchema{Fields: drawFields(t, 0)}
		enc, err := rows.Compile(schema)
		require.NoError(t, err)
		md := message(t, enc)
		for range 5 {
			requireAgrees(t, schema, enc, md, []byte(drawObject(t, schema.GetFields())))
		}
	})
}

// A string of JSON under JSONAsText is the column that the JSON itself is without it, byte for byte, and
// refused when that is. If it failed, one of the two spellings would store something else.
func TestJSONAsTextAgrees(t *testing.T) {
	schema := parse(t, `[{"name":"j","type":"JSON"}]`)
	asValue := compile(t, schema)
	asText, err := rows.Compile(schema, rows.JSONAsText())
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		value := drawJSON(t, 3)
		want, wantErr := asValue.Append(nil, []byte(`{"j":`+value+`}`))
		got, err := asText.Append(nil, []byte(`{"j":`+drawString(t, value)+`}`))
		require.Equal(t, wantErr == nil, err == nil, "%v, %v: %s", wantErr, err, value)
		require.Equal(t, want, got, value)
	})
}

func drawFields(t *rapid.T, depth int) []*storagepb.TableFieldSchema {
	types := []storagepb.TableFieldSchema_Type{storagepb.TableFieldSchema_STRUCT}
	if depth == 3 {
		types = nil
	}
	for t := range storagepb.TableFieldSchema_Type_name {
		if t != 0 && t != int32(storagepb.TableFieldSchema_STRUCT) {
			types = append(types, storagepb.TableFieldSchema_Type(t))
		}
	}
	slices.Sort(types)
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zA-Zäß_][a-z0-9_]{0,9}`), 1, 9, strings.ToLower).Draw(t, "names")
	var fields []*storagepb.TableFieldSchema
	for _, name := range names {
		f := &storagepb.TableFieldSchema{
			Name: name,
			Type: rapid.SampledFrom(types).Draw(t, "type"),
			Mode: storagepb.TableFieldSchema_Mode(rapid.IntRange(1, 3).Draw(t, "mode")),
		}
		switch f.GetType() {
		case storagepb.TableFieldSchema_STRUCT:
			f.Fields = drawFields(t, depth+1)
		case storagepb.TableFieldSchema_STRING, storagepb.TableFieldSchema_BYTES:
			f.MaxLength = int64(rapid.IntRange(0, 20).Draw(t, "max length"))
		case storagepb.TableFieldSchema_NUMERIC:
			if f.Scale = rapid.Int64Range(-1, 9).Draw(t, "scale"); f.Scale < 0 {
				f.Scale = 0
				break
			}
			f.Precision = rapid.Int64Range(max(1, f.Scale), f.Scale+29).Draw(t, "precision")
		case storagepb.TableFieldSchema_BIGNUMERIC:
			if f.Scale = rapid.Int64Range(-1, 38).Draw(t, "scale"); f.Scale < 0 {
				f.Scale = 0
				break
			}
			f.Precision = rapid.Int64Range(max(1, f.Scale), f.Scale+38).Draw(t, "precision")
		case storagepb.TableFieldSchema_TIMESTAMP:
			if rapid.IntRange(0, 3).Draw(t, "picoseconds") == 0 {
				f.TimestampPrecision = wrapperspb.Int64(12)
			}
		case storagepb.TableFieldSchema_RANGE:
			f.RangeElementType = &storagepb.TableFieldSchema_FieldElementType{Type: rapid.SampledFrom([]storagepb.TableFieldSchema_Type{
				storagepb.TableFieldSchema_DATE, storagepb.TableFieldSchema_DATETIME, storagepb.TableFieldSchema_TIMESTAMP}).Draw(t, "element")}
		}
		fields = append(fields, f)
	}
	return fields
}

func drawObject(t *rapid.T, fields []*storagepb.TableFieldSchema) string {
	var members []string
	for _, f := range fields {
		if f.GetMode() != storagepb.TableFieldSchema_REQUIRED && rapid.IntRange(0, 3).Draw(t, "absent") == 0 {
			continue
		}
		value := ""
		switch {
		case f.GetMode() != storagepb.TableFieldSchema_REQUIRED && rapid.IntRange(0, 5).Draw(t, "null") == 0:
			value = "null"
		case f.GetMode() == storagepb.TableFieldSchema_REPEATED:
			var elements []string
			for range rapid.IntRange(0, 4).Draw(t, "elements") {
				elements = append(elements, drawValue(t, f))
			}
			value = "[" + strings.Join(elements, ","+drawSpace(t)) + drawSpace(t) + "]"
		default:
			value = drawValue(t, f)
		}
		name := rapid.SampledFrom([]string{f.GetName(), f.GetName(), strings.ToUpper(f.GetName()), strings.ToLower(f.GetName())}).Draw(t, "spelling")
		members = append(members, drawSpace(t)+drawString(t, name)+drawSpace(t)+":"+drawSpace(t)+value+drawSpace(t))
	}
	if rapid.Bool().Draw(t, "shuffled") {
		members = rapid.Permutation(members).Draw(t, "members")
	}
	return "{" + drawSpace(t) + strings.Join(members, ",") + "}"
}

func drawSpace(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", "", " ", "\r\n\t"}).Draw(t, "space")
}

// drawString spells s as JSON, some of its characters as escapes.
func drawString(t *rapid.T, s string) string {
	escape := rapid.IntRange(0, 3).Draw(t, "escapes") == 0
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < ' ' || r == '"' || r == '\\' || r < 0x10000 && escape && r%3 == 0:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

func drawValue(t *rapid.T, f *storagepb.TableFieldSchema) string {
	if rapid.IntRange(0, 60).Draw(t, "wrong") == 0 {
		return rapid.SampledFrom([]string{`null`, `[]`, `{}`, `1.5`, `"x"`, `true`, `1e30`, `""`, `-`, `"2013-02-30"`, `tru`}).Draw(t, "wrong value")
	}
	switch f.GetType() {
	case storagepb.TableFieldSchema_STRING:
		return drawString(t, rapid.StringN(0, int(f.GetMaxLength())+1, 300).Draw(t, "string"))
	case storagepb.TableFieldSchema_INT64:
		s := strconv.FormatInt(rapid.Int64().Draw(t, "integer"), 10)
		return rapid.SampledFrom([]string{s, s, `"` + s + `"`, s + ".0", s + "0e-1", `"` + s + `E0"`}).Draw(t, "spelling")
	case storagepb.TableFieldSchema_DOUBLE:
		format := rapid.SampledFrom([]byte("eg")).Draw(t, "format")
		s := strconv.FormatFloat(rapid.Float64().Draw(t, "float"), format, rapid.IntRange(-1, 20).Draw(t, "digits"), 64)
		return rapid.SampledFrom([]string{s, `"` + s + `"`, `"NaN"`, `"-Infinity"`}).Draw(t, "spelling")
	case storagepb.TableFieldSchema_BOOL:
		return rapid.SampledFrom([]string{`true`, `false`, `"true"`, `"false"`, `"YES"`, `"n"`, `"T"`, `0`, `1`, `"1"`}).Draw(t, "bool")
	case storagepb.TableFieldSchema_TIMESTAMP:
		if rapid.Bool().Draw(t, "as integer") {
			return strconv.FormatInt(rapid.Int64Range(-62135596800000001, 253402300800000000).Draw(t, "micros"), 10)
		}
		return drawString(t, drawDate(t)+drawClock(t)+rapid.SampledFrom(zoneSpellings).Draw(t, "zone"))
	case storagepb.TableFieldSchema_DATE:
		if rapid.IntRange(0, 3).Draw(t, "as integer") == 0 {
			return strconv.FormatInt(rapid.Int64Range(-719163, 2932897).Draw(t, "days"), 10)
		}
		return drawString(t, drawDate(t))
	case storagepb.TableFieldSchema_TIME:
		if rapid.IntRange(0, 3).Draw(t, "as integer") == 0 {
			return strconv.FormatInt(rapid.Int64Range(0, 24<<32).Draw(t, "civil"), 10)
		}
		return drawString(t, drawClock(t)[1:])
	case storagepb.TableFieldSchema_DATETIME:
		if rapid.IntRange(0, 3).Draw(t, "as integer") == 0 {
			return strconv.FormatInt(rapid.Int64Range(0, 10000<<46).Draw(t, "civil"), 10)
		}
		return drawString(t, drawDate(t)+drawClock(t))
	case storagepb.TableFieldSchema_BYTES:
		b := rapid.SliceOfN(rapid.Byte(), 0, 22).Draw(t, "bytes")
		encoding := rapid.SampledFrom([]*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding}).Draw(t, "encoding")
		return drawString(t, encoding.EncodeToString(b))
	case storagepb.TableFieldSchema_NUMERIC, storagepb.TableFieldSchema_BIGNUMERIC:
		s := rapid.StringMatching(`-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,39})?([eE][+-]?[0-9])?`).Draw(t, "number")
		return rapid.SampledFrom([]string{s, `"` + s + `"`, `"+` + strings.TrimPrefix(s, "-") + `"`}).Draw(t, "spelling")
	case storagepb.TableFieldSchema_INTERVAL:
		return drawString(t, rapid.StringMatching(`-?[0-9]{1,5}-[0-9]{1,2} -?[0-9]{1,7} [+-]?[0-9]{1,8}:[0-6]?[0-9]:[0-5]?[0-9](\.[0-9]{1,7})?`).Draw(t, "interval"))
	case storagepb.TableFieldSchema_RANGE:
		element := &storagepb.TableFieldSchema{Type: f.GetRangeElementType().GetType()}
		start, end := drawValue(t, element), drawValue(t, element)
		return rapid.SampledFrom([]string{
			`{"start":` + start + `,"end":` + end + `}`, `{"END":` + end + `}`, `{"start":` + start + `,"end":null}`,
			`"[` + strings.Trim(start, `"`) + `, ` + strings.Trim(end, `"`) + `)"`, `"[` + strings.Trim(start, `"`) + `,unbounded)"`, `"[NULL, UNBOUNDED)"`,
		}).Draw(t, "range")
	case storagepb.TableFieldSchema_GEOGRAPHY:
		return rapid.SampledFrom([]string{`"POINT(1 2)"`, `{"type":"Point", "coordinates":[ -1.50, 2e0]}`}).Draw(t, "geography")
	case storagepb.TableFieldSchema_JSON:
		return drawJSON(t, 3)
	default:
		return drawObject(t, f.GetFields())
	}
}

// drawDate draws a date that mostly exists.
func drawDate(t *rapid.T) string {
	year := rapid.OneOf(rapid.IntRange(0, 9999), rapid.SampledFrom([]int{1, 1600, 1900, 1969, 1970, 2000, 2004, 9999})).Draw(t, "year")
	return fmt.Sprintf("%04d-%02d-%02d", year, rapid.IntRange(1, 12).Draw(t, "month"), rapid.SampledFrom([]int{1, 15, 28, 28, 29, 30, 31}).Draw(t, "day"))
}

var zoneSpellings = []string{"", "Z", " UTC", "+05:30", "-8", " +14:59", "+24", " Europe/Berlin", " America/New_York", "Asia/Kathmandu", " Australia/Lord_Howe", " Nowhere/Land", " Local"}

// drawClock draws a time that mostly exists, behind T or a space.
func drawClock(t *rapid.T) string {
	return rapid.StringMatching(`[T ]([01]?[0-9]|2[0-4]):[0-5]?[0-9](:([0-5]?[0-9]|60)(\.[0-9]{1,7})?)?`).Draw(t, "clock")
}

// drawJSON draws any value, with white space and escapes.
func drawJSON(t *rapid.T, depth int) string {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	var parts []string
	switch rapid.IntRange(1, kinds).Draw(t, "kind") {
	case 1:
		return drawString(t, rapid.StringN(0, 20, 100).Draw(t, "string"))
	case 2:
		return rapid.StringMatching(`-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number")
	case 3:
		return "true"
	case 4:
		return "false"
	case 5:
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			parts = append(parts, drawSpace(t)+drawJSON(t, depth-1)+drawSpace(t))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	for _, name := range rapid.SliceOfN(rapid.StringN(0, 3, 9), 0, 3).Draw(t, "names") {
		parts = append(parts, drawSpace(t)+drawString(t, name)+drawSpace(t)+":"+drawSpace(t)+drawJSON(t, depth-1))
	}
	return "{" + drawSpace(t) + strings.Join(parts, ",") + "}"
}
