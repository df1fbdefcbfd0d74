package rows_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

// Every spelling that a type accepts, with the exact value the service will store. The values are
// written out by hand: this is the one test that agrees with no other program.
func TestAcceptedSpellings(t *testing.T) {
	inf, nan, negZero := math.Float64bits(math.Inf(1)), math.Float64bits(math.NaN()), uint64(1)<<63
	bits := math.Float64bits
	for typ, cases := range map[string]map[string]any{
		"STRING": {
			`""`: "", `"a"`: "a", `"null"`: "null", `"ä€😀"`: "ä€😀", `"\u00e4\ud83d\ude00\/\"\\\b\f\n\r\t"`: "ä😀/\"\\\b\f\n\r\t",
			`"` + strings.Repeat("x", 1000) + `"`: strings.Repeat("x", 1000), `"\n` + strings.Repeat("y", 127) + `"`: "\n" + strings.Repeat("y", 127),
		},
		"INTEGER": {
			`0`: int64(0), `-0`: int64(0), `7`: int64(7), `-7`: int64(-7), `"12"`: int64(12), `"-12"`: int64(-12), `1.0`: int64(1), `1e3`: int64(1000),
			`1.50e1`: int64(15), `120e-1`: int64(12), `0e999999999999`: int64(0), `0.000`: int64(0), `"1e2"`: int64(100), `"\u0031"`: int64(1),
			`999999999999999999`: int64(999999999999999999), `9223372036854775807`: int64(math.MaxInt64), `-9223372036854775808`: int64(math.MinInt64),
			`9007199254740993`: int64(9007199254740993), `9223372036854775807.000`: int64(math.MaxInt64), `0.9223372036854775807e19`: int64(math.MaxInt64),
			`1` + strings.Repeat("0", 30) + `e-30`: int64(1), `0.` + strings.Repeat("0", 30) + `1e31`: int64(1),
		},
		"FLOAT": {
			`0`: bits(0), `-0`: negZero, `-0.0`: negZero, `1`: bits(1), `-1.5`: bits(-1.5), `1e3`: bits(1000), `1E+3`: bits(1000), `0.1`: bits(0.1), `"2.5"`: bits(2.5),
			`"NaN"`: nan, `"Infinity"`: inf, `"-Infinity"`: inf | 1<<63, `1.7976931348623157e308`: bits(math.MaxFloat64), `5e-324`: uint64(1), `1e-400`: bits(0),
			`9007199254740993`: bits(9007199254740992), `"\u0031"`: bits(1),
		},
		"BOOL": {`true`: true, `false`: false, `"true"`: true, `"false"`: false, `"tru\u0065"`: true},
		"TIMESTAMP": {
			`"1970-01-01T00:00:00Z"`: int64(0), `"1970-01-01 00:00:00Z"`: int64(0), `"1970-01-01t00:00:00z"`: int64(0), `"1969-12-31T23:59:59.999999Z"`: int64(-1),
			`"2013-01-01T10:00:00Z"`: int64(1357034400000000), `"2013-01-01T05:00:00-05:00"`: int64(1357034400000000), `"2013-01-01T15:30:00.5+05:30"`: int64(1357034400500000),
			`"0001-01-01T00:00:00Z"`: int64(-62135596800000000), `"9999-12-31T23:59:59.999999Z"`: int64(253402300799999999), `"2000-02-29T00:00:00-00:00"`: int64(951782400000000),
			`"1970-01-01T00:00:0\u0031Z"`: int64(1000000),
			`0`:                           int64(0), `-1`: int64(-1), `1357034400000000`: int64(1357034400000000), `1e6`: int64(1000000), `-62135596800000000`: int64(-62135596800000000), `253402300799999999`: int64(253402300799999999),
		},
		"DATE": {
			`"1970-01-01"`: int64(0), `"1969-12-31"`: int64(-1), `"2000-02-29"`: int64(11016), `"2000-03-01"`: int64(11017), `"1900-03-01"`: int64(-25508), `"0001-01-01"`: int64(-719162), `"9999-12-31"`: int64(2932896),
		},
	} {
		for _, mode := range []string{"NULLABLE", "REQUIRED", "REPEATED"} {
			def := fmt.Sprintf(`[{"name":"v","type":%q,"mode":%q}]`, typ, mode)
			schema, err := rows.ParseSchema([]byte(def))
			require.NoError(t, err)
			enc := compile(t, schema)
			md := message(t, enc)
			for text, want := range cases {
				if mode == "REPEATED" {
					text, want = "["+text+" , "+text+"]", []any{want, want}
				}
				row, err := enc.Append(nil, []byte(`{"v":`+text+`}`))
				require.NoError(t, err, "%s %s", typ, text)
				require.Equal(t, tree{"v": want}, treeOf(schema.GetFields(), decode(t, md, row)), "%s %s", typ, text)
			}
		}
	}
}

// Every kind of refusal with its path and reason: what a user reads to find the row and mend it. A
// case that is accepted instead is a value that would be stored wrongly.
func TestRefusedSpellings(t *testing.T) {
	enc := compileJSON(t, everything)
	required := compileJSON(t, `[{"name":"a","type":"INTEGER","mode":"REQUIRED"},{"name":"b","type":"STRING"},{"name":"c","type":"RECORD","mode":"REQUIRED","fields":[{"name":"x","type":"BOOL","mode":"REQUIRED"}]}]`)
	cases := []struct {
		enc          *rows.Encoder
		object, want string
	}{
		{enc, ``, `not valid JSON: want an object, got the end`},
		{enc, `[]`, `not valid JSON: want an object: "[]"`},
		{enc, "\ufeff{}", `not valid JSON: want an object: "\ufeff{}"`},
		{enc, `{} {}`, `not valid JSON: more text after the object: "{}"`},
		{enc, "{}\x00", `not valid JSON: more text after the object: "\x00"`},
		{enc, `{`, `not valid JSON: want a field name, got the end`},
		{enc, `{"s":"a",}`, `not valid JSON: want a field name: "}"`},
		{enc, `{"s"}`, `s: not valid JSON: want ':': "}"`},
		{enc, `{"s":"a" "i":1}`, `s: not valid JSON: want ',' or '}': "\"i\":1}"`},
		{enc, `{"s":`, `s: not valid JSON: want a value, got the end`},
		{enc, `{"s":}`, `s: not valid JSON: want a value: "}"`},
		{enc, `{"s":"a`, `s: not valid JSON: the string doesn't end: "\"a"`},
		{enc, `{"s":"a\`, `s: not valid JSON: the string doesn't end: "\"a\\"`},
		{enc, "{\"s\":\"a\nb\"}", `s: not valid JSON: a control character in a string: "\"a\nb\"}"`},
		{enc, `{"s":"\x"}`, `s: not valid JSON: a bad escape in a string, or half of a surrogate pair`},
		{enc, `{"s":"\ud800"}`, `s: not valid JSON: a bad escape in a string, or half of a surrogate pair`},
		{enc, "{\"s\":\"caf\xe9\"}", `s: invalid UTF-8: "caf\xe9"`},
		{enc, "{\"caf\xe9\":1}", `invalid UTF-8: "caf\xe9"`},
		{enc, `{"s":nul}`, `s: not valid JSON: want null: "nul}"`},
		{enc, `{"b":truth}`, `b: not valid JSON: want true: "truth}"`},
		{enc, `{"ss":["a" "b"]}`, `ss[0]: not valid JSON: want ',' or ']': "\"b\"]}"`},
		{enc, `{"ss":["a",]}`, `ss[1]: not valid JSON: want a value: "]}"`},

		{enc, `{"x":1}`, `x: unknown field`},
		{enc, `{"r":{"must":1,"nope":1}}`, `r.nope: unknown field`},
		{enc, `{"a.b":1}`, `"a.b": unknown field`},
		{enc, `{"` + strings.Repeat("x", 400) + `":1}`, `"` + strings.Repeat("x", 40) + `…": unknown field`},
		{enc, `{"i":1,"I":2}`, `i: the field is there twice`},
		{enc, `{"i":null,"\u0069":2}`, `i: the field is there twice`},

		{enc, `{"s":1}`, `s: wrong type: want STRING, got a number: "1"`},
		{enc, `{"s":true}`, `s: wrong type: want STRING, got a boolean: "true"`},
		{enc, `{"s":{}}`, `s: wrong type: want STRING, got an object`},
		{enc, `{"s":["a"]}`, `s: wrong type: want STRING, got an array`},
		{enc, `{"s3":"äöüß"}`, `s3: longer than 3 characters: "äöüß"`},
		{enc, `{"s3":"\u00e4\u00e4\u00e4\u00e4"}`, `s3: longer than 3 characters: "ääää"`},
		{enc, `{"s3":"` + strings.Repeat("\\u0061", 200) + `"}`, `s3: longer than 3 characters: "` + strings.Repeat("a", 40) + `…"`},
		{enc, `{"ss":"a"}`, `ss: wrong type: want an array, got a string: "a"`},
		{enc, `{"ss":["a",null]}`, `ss[1]: null in an array`},
		{enc, `{"ss":["a",2]}`, `ss[1]: wrong type: want STRING, got a number: "2"`},
		{enc, `{"ss":[["a"]]}`, `ss[0]: wrong type: want STRING, got an array`},

		{enc, `{"i":1.5}`, `i: not an integer: "1.5"`},
		{enc, `{"i":1e-1}`, `i: not an integer: "1e-1"`},
		{enc, `{"i":1e-999999999999999999999}`, `i: not an integer: "1e-999999999999999999999"`},
		{enc, `{"i":0.1234567890123456789012345}`, `i: not an integer: "0.1234567890123456789012345"`},
		{enc, `{"i":1e99}`, `i: out of range for INTEGER: "1e99"`},
		{enc, `{"i":1e999999999999999999999}`, `i: out of range for INTEGER: "1e999999999999999999999"`},
		{enc, `{"i":9223372036854775808}`, `i: out of range for INTEGER: "9223372036854775808"`},
		{enc, `{"i":-9223372036854775809}`, `i: out of range for INTEGER: "-9223372036854775809"`},
		{enc, `{"i":18446744073709551617}`, `i: out of range for INTEGER: "18446744073709551617"`},
		{enc, `{"ii":[1,"99999999999999999999"]}`, `ii[1]: out of range for INTEGER: "99999999999999999999"`},
		{enc, `{"i":"1x"}`, `i: wrong type: want INTEGER, got a string that is no number: "1x"`},
		{enc, `{"i":""}`, `i: wrong type: want INTEGER, got a string that is no number: ""`},
		{enc, `{"i":" 1"}`, `i: wrong type: want INTEGER, got a string that is no number: " 1"`},
		{enc, `{"i":true}`, `i: wrong type: want INTEGER, got a boolean: "true"`},
		{enc, `{"i":01}`, `i: not valid JSON: a malformed number: "01}"`},
		{enc, `{"i":-}`, `i: not valid JSON: a malformed number: "-}"`},
		{enc, `{"i":1.}`, `i: not valid JSON: a malformed number: "1.}"`},
		{enc, `{"i":1e}`, `i: not valid JSON: a malformed number: "1e}"`},
		{enc, `{"i":+1}`, `i: not valid JSON: want a value: "+1}"`},
		{enc, `{"i":0x10}`, `i: not valid JSON: want ',' or '}': "x10}"`},

		{enc, `{"f":1e400}`, `f: out of range for FLOAT: "1e400"`},
		{enc, `{"f":"-1e400"}`, `f: out of range for FLOAT: "-1e400"`},
		{enc, `{"f":"-nan"}`, `f: wrong type: want FLOAT, got a string that is no number: "-nan"`},
		{enc, `{"f":"0x1p3"}`, `f: wrong type: want FLOAT, got a string that is no number: "0x1p3"`},
		{enc, `{"f":NaN}`, `f: not valid JSON: want a value: "NaN}"`},
		{enc, `{"f":false}`, `f: wrong type: want FLOAT, got a boolean: "false"`},
		{enc, `{"b":2}`, `b: wrong type: want BOOL, got a number that is neither 1 nor 0: "2"`},
		{enc, `{"b":"on"}`, `b: wrong type: want BOOL, got a string that is neither true nor false: "on"`},

		{enc, `{"t":"2013-01-01T10:00:00.1234567Z"}`, `t: finer than a microsecond: "2013-01-01T10:00:00.1234567Z"`},
		{enc, `{"t":"2013-01-01T10:00:00.Z"}`, `t: not a TIMESTAMP: want a date, a time and a time zone, as 2006-01-02T15:04:05.999999Z: "2013-01-01T10:00:00.Z"`},
		{enc, `{"t":"2013-02-29T10:00:00Z"}`, `t: not a TIMESTAMP: want a date, a time and a time zone, as 2006-01-02T15:04:05.999999Z: "2013-02-29T10:00:00Z"`},
		{enc, `{"t":"2016-12-31T23:59:60Z"}`, `t: not a TIMESTAMP: want a date, a time and a time zone, as 2006-01-02T15:04:05.999999Z: "2016-12-31T23:59:60Z"`},
		{enc, `{"t":"2013-01-01T10:00:00+24:00"}`, `t: not a TIMESTAMP: want a date, a time and a time zone, as 2006-01-02T15:04:05.999999Z: "2013-01-01T10:00:00+24:00"`},
		{enc, `{"t":"0001-01-01T00:00:00+00:01"}`, `t: out of range for TIMESTAMP: "0001-01-01T00:00:00+00:01"`},
		{enc, `{"t":"9999-12-31T23:59:59-00:01"}`, `t: out of range for TIMESTAMP: "9999-12-31T23:59:59-00:01"`},
		{enc, `{"t":"1357034400000000"}`, `t: not a TIMESTAMP: want a date, a time and a time zone, as 2006-01-02T15:04:05.999999Z: "1357034400000000"`},
		{enc, `{"t":253402300800000000}`, `t: out of range for TIMESTAMP: "253402300800000000"`},
		{enc, `{"t":-62135596800000001}`, `t: out of range for TIMESTAMP: "-62135596800000001"`},
		{enc, `{"t":1e30}`, `t: out of range for TIMESTAMP: "1e30"`},
		{enc, `{"t":0.5}`, `t: not an integer: "0.5"`},
		{enc, `{"t":true}`, `t: wrong type: want TIMESTAMP, got a boolean: "true"`},
		{enc, `{"d":"2013-13-01"}`, `d: not a DATE: want YYYY-MM-DD: "2013-13-01"`},
		{enc, `{"d":"1900-02-29"}`, `d: not a DATE: want YYYY-MM-DD: "1900-02-29"`},
		{enc, `{"d":"0000-01-01"}`, `d: not a DATE: want YYYY-MM-DD: "0000-01-01"`},
		{enc, `{"d":"2013-0x-01"}`, `d: not a DATE: want YYYY-MM-DD: "2013-0x-01"`},
		{enc, `{"d":"20/3-01-01"}`, `d: not a DATE: want YYYY-MM-DD: "20/3-01-01"`},
		{enc, `{"d":"2013/01/01"}`, `d: not a DATE: want YYYY-MM-DD: "2013/01/01"`},
		{enc, `{"d":"2013-01-01`, `d: not valid JSON: the string doesn't end: "\"2013-01-01"`},
		{enc, `{"f":"1.5`, `f: not valid JSON: the string doesn't end: "\"1.5"`},

		{enc, `{"r":[]}`, `r: wrong type: want RECORD, got an array`},
		{enc, `{"r":{}}`, `r.must: missing REQUIRED field`},
		{enc, `{"r":{"must":1,"rr":[{},{"x":"y"}]}}`, `r.rr[1].x: wrong type: want FLOAT, got a string that is no number: "y"`},
		{required, `{"c":{"x":true}}`, `a: missing REQUIRED field`},
		{required, `{"a":null,"c":{"x":true}}`, `a: null for a REQUIRED field`},
		{required, `{"a":1,"c":null}`, `c: null for a REQUIRED field`},
		{required, `{"a":1,"c":{"x":null}}`, `c.x: null for a REQUIRED field`},
		{required, `{"a":1}`, `c: missing REQUIRED field`},
	}
	for _, c := range cases {
		dst, err := c.enc.Append([]byte("kept"), []byte(c.object))
		require.Equal(t, "kept", string(dst), c.object)
		var e *rows.Error
		require.ErrorAs(t, err, &e, c.object)
		got := e.Error()
		if strings.HasPrefix(got, c.want) && strings.Contains(c.want, "surrogate") {
			got = c.want // the excerpt of a bad escape is not worth a promise
		}
		require.Equal(t, c.want, got, c.object)
	}
}

// The line that a reader fills in comes first, as in the message that the documentation shows.
func TestErrorNamesLine(t *testing.T) {
	enc := compileJSON(t, `[{"name":"items","type":"RECORD","mode":"REPEATED","fields":[{"name":"price","type":"INTEGER"}]}]`)
	_, err := enc.Append(nil, []byte(`{"items":[{},{},{},{"price":1e99}]}`))
	var e *rows.Error
	require.True(t, errors.As(err, &e))
	e.Line = 12
	require.Equal(t, `line 12: items[3].price: out of range for INTEGER: "1e99"`, err.Error())
	require.Equal(t, rows.Error{Line: 12, Path: "items[3].price", Kind: rows.OutOfRange, Column: "items.price", Reason: "out of range for INTEGER", Excerpt: `"1e99"`}, *e)
}

// Absent, null and, for REPEATED, [] leave nothing on the wire: NULL, or [] for REPEATED. An empty
// RECORD is there, though: it isn't NULL.
func TestNullIsAbsent(t *testing.T) {
	enc := compileJSON(t, everything)
	row, err := enc.Append(nil, []byte(`{"s":null,"ss":null,"ii":[],"r":null,"t":null,"dd":[ ]}`))
	require.NoError(t, err)
	require.Empty(t, row)
	enc = compileJSON(t, `[{"name":"r","type":"RECORD","fields":[{"name":"x","type":"DATE"}]}]`)
	row, err = enc.Append(nil, []byte(`{"r":{}}`))
	require.NoError(t, err)
	require.Equal(t, []byte{0x0a, 0x00}, row)
}

// Lengths around the sizes at which their varint grows. A value moved wrongly is a row whose bytes
// mean something else, or that the service can't parse.
func TestNestedLengths(t *testing.T) {
	schema, err := rows.ParseSchema([]byte(`[{"name":"r","type":"RECORD","fields":[{"name":"s","type":"STRING"},{"name":"ii","type":"INTEGER","mode":"REPEATED"}]}]`))
	require.NoError(t, err)
	enc := compile(t, schema)
	md := message(t, enc)
	for _, n := range []int{0, 1, 120, 124, 125, 126, 127, 128, 129, 16379, 16380, 16383, 16384, 2097148, 2097152} {
		object := `{"r":{"s":"` + strings.Repeat("x", n) + `","ii":[` + strings.Repeat("1,", n%1000) + `-1]}}`
		requireAgrees(t, schema, enc, md, []byte(object))
		object = `{"r":{"s":"\n` + strings.Repeat("x", n) + `"}}`
		requireAgrees(t, schema, enc, md, []byte(object))
	}
}

// Names match whatever their case and order, and as escapes; the schema may have more fields than
// the small set of seen fields holds. A field mistaken for another is the worst that can happen.
func TestFieldLookup(t *testing.T) {
	for _, n := range []int{1, 5, 64, 65, 255, 256, 257, 1000} {
		var def, object []string
		for i := range n {
			def = append(def, fmt.Sprintf(`{"name":"Column_%d","type":"INTEGER"}`, i))
		}
		schema, err := rows.ParseSchema([]byte("[" + strings.Join(def, ",") + "]"))
		require.NoError(t, err)
		enc := compile(t, schema)
		md := message(t, enc)
		for i := n - 1; i >= 0; i -= 1 + i%3 {
			name := []string{"Column_%d", "column_%d", "COLUMN_%d", `\u0043olumn_%d`}[i%4]
			object = append(object, fmt.Sprintf(`"`+name+`":%d`, i, i))
		}
		requireAgrees(t, schema, enc, md, []byte("{"+strings.Join(object, ",")+"}"))
		_, err = enc.Append(nil, []byte("{"+strings.Join(object, ",")+`,"column_`+fmt.Sprint(n-1)+`":0}`))
		require.ErrorContains(t, err, "the field is there twice")
	}
}

// Repeated scalars are packed exactly if the descriptor says so (docs/service-facts.md, case 47: both are
// accepted, but a reader that holds us to the descriptor must not be surprised).
func TestPackedAsDescribed(t *testing.T) {
	enc := compileJSON(t, everything)
	row, err := enc.Append(nil, []byte(`{"ii":[1,2],"ss":["a","b"]}`))
	require.NoError(t, err)
	seen := map[protowire.Number]int{}
	for len(row) > 0 {
		num, typ, n := protowire.ConsumeTag(row)
		require.Positive(t, n)
		require.Equal(t, protowire.BytesType, typ)
		row = row[n:]
		n = protowire.ConsumeFieldValue(num, typ, row)
		require.Positive(t, n)
		row = row[n:]
		seen[num]++
	}
	require.Equal(t, map[protowire.Number]int{5: 1, 3: 2}, seen)
	require.True(t, enc.Descriptor().GetField()[4].GetOptions().GetPacked())
}
