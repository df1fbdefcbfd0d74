package rows_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
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

func drawFields(t *rapid.T, depth int) []*storagepb.TableFieldSchema {
	types := []storagepb.TableFieldSchema_Type{
		storagepb.TableFieldSchema_STRING, storagepb.TableFieldSchema_INT64, storagepb.TableFieldSchema_DOUBLE, storagepb.TableFieldSchema_BOOL,
		storagepb.TableFieldSchema_TIMESTAMP, storagepb.TableFieldSchema_DATE, storagepb.TableFieldSchema_STRUCT,
	}
	if depth == 3 {
		types = types[:6]
	}
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
			// Only ASCII: the client library can't describe a RECORD with another name.
			f.Name = "rec_" + strconv.Itoa(len(fields))
			f.Fields = drawFields(t, depth+1)
		case storagepb.TableFieldSchema_STRING:
			f.MaxLength = int64(rapid.IntRange(0, 20).Draw(t, "max length"))
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
		return rapid.SampledFrom([]string{`true`, `false`, `"true"`, `"false"`}).Draw(t, "bool")
	case storagepb.TableFieldSchema_TIMESTAMP:
		if rapid.Bool().Draw(t, "as integer") {
			return strconv.FormatInt(rapid.Int64Range(-62135596800000001, 253402300800000000).Draw(t, "micros"), 10)
		}
		s := drawDate(t) + rapid.StringMatching(`[T ]([01][0-9]|2[0-4]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]{1,7})?(Z|[+-]([01][0-9]|2[0-4]):[0-6][0-9])?`).Draw(t, "time")
		return drawString(t, s)
	case storagepb.TableFieldSchema_DATE:
		return drawString(t, drawDate(t))
	default:
		return drawObject(t, f.GetFields())
	}
}

// drawDate draws a date that mostly exists.
func drawDate(t *rapid.T) string {
	year := rapid.OneOf(rapid.IntRange(0, 9999), rapid.SampledFrom([]int{1, 1600, 1900, 1969, 1970, 2000, 2004, 9999})).Draw(t, "year")
	return fmt.Sprintf("%04d-%02d-%02d", year, rapid.IntRange(1, 12).Draw(t, "month"), rapid.SampledFrom([]int{1, 15, 28, 28, 29, 30, 31}).Draw(t, "day"))
}
