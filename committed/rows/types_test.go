package rows_test

import (
	"math"
	"strings"
	"testing"

	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
)

// typeCase is a column's definition behind its name, with the values that it takes, as they are on
// the wire (bytes as hexadecimal digits), and those that it refuses, with kind and reason.
type typeCase struct {
	def      string
	accepted map[string]any
	refused  map[string]string
}

const (
	notTimestamp = "bad value: not a TIMESTAMP: want a date, a time and a time zone, as 2006-01-02T15:04:05.999999Z"
	notDatetime  = "bad value: not a DATETIME: want YYYY-MM-DD HH:MM:SS.ffffff"
	notInterval  = "bad value: not an INTERVAL: want years-months days hours:minutes:seconds, as 1-2 3 4:5:6.789"
)

// Spellings beyond TestAcceptedSpellings' and TestRefusedSpellings' of each type. All values are
// written out by hand or by other means than this package; a wrong one is a wrong value in a table.
var typeCases = []typeCase{
	{`"type":"INTEGER"`, map[string]any{`"+5"`: int64(5), `"007"`: int64(7), `"5."`: int64(5), `".5e1"`: int64(5)},
		map[string]string{`"."`: "bad value: wrong type: want INTEGER, got a string that is no number", `"1e"`: "bad value: wrong type: want INTEGER, got a string that is no number", `"1_000"`: "bad value: wrong type: want INTEGER, got a string that is no number", `"1.5"`: "too fine: not an integer"}},
	{`"type":"FLOAT"`, map[string]any{`"nan"`: math.Float64bits(math.NaN()), `"+INF"`: math.Float64bits(math.Inf(1)), `"-inf"`: math.Float64bits(math.Inf(-1)), `"infinity"`: math.Float64bits(math.Inf(1)), `".5"`: math.Float64bits(.5), `"+5."`: math.Float64bits(5)},
		map[string]string{`"infinit"`: "bad value: wrong type: want FLOAT, got a string that is no number", `"1e309"`: "out of range: out of range for FLOAT", `""`: "bad value: wrong type: want FLOAT, got a string that is no number"}},
	{`"type":"BOOL"`, map[string]any{`1`: true, `0`: false, `"1"`: true, `"0"`: false, `"TRUE"`: true, `"t"`: true, `"Yes"`: true, `"y"`: true, `"F"`: false, `"no"`: false, `"N"`: false},
		map[string]string{`1.0`: "bad value: wrong type: want BOOL, got a number that is neither 1 nor 0", `"tr"`: "bad value: wrong type: want BOOL, got a string that is neither true nor false", `-1`: "bad value: wrong type: want BOOL, got a number that is neither 1 nor 0"}},
	{`"type":"DATE"`, map[string]any{`"2000-2-9"`: int64(10996), `10996`: int64(10996), `-719162`: int64(-719162), `2932896`: int64(2932896)},
		map[string]string{`-719163`: "out of range: out of range for DATE", `2932897`: "out of range: out of range for DATE", `"2000-02-29T00:00:00"`: "bad value: not a DATE: want YYYY-MM-DD", `true`: "wrong type: wrong type: want DATE, got a boolean"}},
	{`"type":"TIME"`, map[string]any{
		`"00:00:00"`: int64(0), `"12:34:56.789012"`: int64(12<<32 | 34<<26 | 56<<20 | 789012), `"1:2"`: int64(1<<32 | 2<<26), `"23:59:59.999999"`: int64(23<<32 | 59<<26 | 59<<20 | 999999),
		`53880818196`: int64(12<<32 | 34<<26 | 56<<20 | 789012), `"1:2:3.5"`: int64(1<<32 | 2<<26 | 3<<20 | 500000)},
		map[string]string{`"24:00:00"`: "bad value: not a TIME: want HH:MM:SS.ffffff", `"12"`: "bad value: not a TIME: want HH:MM:SS.ffffff", `"12:00:00Z"`: "bad value: not a TIME: want HH:MM:SS.ffffff", `"12:00:00."`: "bad value: not a TIME: want HH:MM:SS.ffffff",
			`"12:00:00.1234567"`: "too fine: finer than a microsecond", `-1`: "out of range: out of range for TIME", `103079215104`: "out of range: out of range for TIME", `1000000`: "out of range: out of range for TIME", `62914560`: "out of range: out of range for TIME"}},
	{`"type":"DATETIME"`, map[string]any{
		`"2021-09-27T20:51:10.752"`: int64(142258614586538368), // as in the clients' samples
		`"2019-02-11T11:24:00"`:     int64(142084851271467008), `"2019-02-11 11:24"`: int64(142084851271467008), `142084851271467008`: int64(142084851271467008),
		`"0001-01-01"`: int64(1<<46 | 1<<42 | 1<<37), `"9999-12-31t23:59:59.999999"`: int64(9999<<46 | 12<<42 | 31<<37 | 23<<32 | 59<<26 | 59<<20 | 999999)},
		map[string]string{`"2019-02-11 11:24:00Z"`: "bad value: not a DATETIME: it has no time zone, want YYYY-MM-DD HH:MM:SS.ffffff", `"2019-02-30"`: notDatetime, `"2019/02/11"`: notDatetime, `"11:24"`: notDatetime, `"2019-02-11  11:24:00"`: notDatetime,
			`1550402640`: "out of range: out of range for DATETIME", `"0000-01-01"`: notDatetime}},
	{`"type":"TIMESTAMP"`, map[string]any{
		`"2013-01-01"`: int64(1356998400000000), `"2013/01/01 10:00:00"`: int64(1357034400000000), `"2013-1-1 10:0:0 UTC"`: int64(1357034400000000), `"2013-01-01 10:00UTC"`: int64(1357034400000000), `"2013-01-01 05:00:00-05"`: int64(1357034400000000),
		`"2013-01-01 15:30:00 +5:30"`: int64(1357034400000000), `"2013-01-01 11:00:00 Europe/Berlin"`: int64(1357034400000000), `"2013-07-01 12:00:00.5 Europe/Berlin"`: int64(1372672800500000),
		`"2013-11-03 01:30:00 America/New_York"`: int64(1383456600000000),  // summer time's, the first of two
		`"1890-01-01 00:00:00 Europe/Berlin"`:    int64(-2524524808000000), // 53 minutes and 28 seconds ahead
		`"9999-12-31 23:59:59.999999"`:           int64(253402300799999999)},
		map[string]string{`"2013-03-10 02:30:00 America/New_York"`: "bad value: not a TIMESTAMP: the clocks of that time zone skipped this time", `"2013-01-01 10:00:00 Local"`: "bad value: not a TIMESTAMP: unknown time zone", `"2013-01-01 10:00:00 Mars/Base"`: "bad value: not a TIMESTAMP: unknown time zone",
			`"2013-01-01 10:00:00 ../../etc/passwd"`: "bad value: not a TIMESTAMP: unknown time zone", `"2013-01-01 10:00:00 "`: notTimestamp, `"2013-01/01"`: notTimestamp, `"2013-01-01 10"`: notTimestamp, `"2013-01-01 10:00:00+0530"`: notTimestamp, `"2013-01-01 10:00:00  UTC"`: "bad value: not a TIMESTAMP: unknown time zone",
			`"10:00:00"`: notTimestamp, `"1357034400"`: notTimestamp, `"2013-01-01Z"`: notTimestamp}},
	{`"type":"TIMESTAMP","timestampPrecision":12`, map[string]any{
		`"2013-01-01 10:00:00.123456789012 UTC"`: "2013-01-01T10:00:00.123456789012Z", `"2013-01-01 10:00:00.1+01"`: "2013-01-01T09:00:00.1Z", `"0001-01-01"`: "0001-01-01T00:00:00Z", `-1`: "1969-12-31T23:59:59.999999Z", `1357034400500000`: "2013-01-01T10:00:00.5Z"},
		map[string]string{`"2013-01-01 10:00:00.1234567890123"`: "too fine: finer than a picosecond", `"1"`: notTimestamp, `253402300800000000`: "out of range: out of range for TIMESTAMP", `[]`: "wrong type: wrong type: want TIMESTAMP(12), got an array"}},
	{`"type":"BYTES","maxLength":"4"`, map[string]any{`""`: "", `"AQID"`: "010203", `"AQ=="`: "01", `"AQ"`: "01", `"AQI="`: "0102", `"+/8="`: "fbff", `"-_8"`: "fbff", `"\u0041Q=="`: "01", `"AQIDBA"`: "01020304", `"\/\/\/\/"`: "ffffff", `[]`: "", `[1, -1,255,0]`: "01ffff00"},
		map[string]string{`"A"`: "bad value: not BYTES: want base64", `"AQ="`: "bad value: not BYTES: want base64", `"AR=="`: "bad value: not BYTES: want base64", `"AQJ"`: "bad value: not BYTES: want base64", `"AQI=="`: "bad value: not BYTES: want base64", `"A\nQ="`: "bad value: not BYTES: want base64", `"===="`: "bad value: not BYTES: want base64",
			`"AQID BA=="`: "bad value: not BYTES: want base64", `"AQIDBAU="`: "too long: longer than 4 bytes", `[1,2,3,4,5]`: "too long: longer than 4 bytes", `[256]`: "out of range: out of range for a byte", `[-129]`: "out of range: out of range for a byte", `["1"]`: "wrong type: wrong type: want a byte, got a string", `1`: "wrong type: wrong type: want BYTES, got a number"}},
	{`"type":"NUMERIC"`, map[string]any{
		`0`: "00", `-0`: "00", `1e-9`: "01", `-1e-9`: "ff", `0.000000127`: "7f", `0.000000128`: "8000", `-0.000000128`: "80", `-0.000000129`: "7fff", `1`: "00ca9a3b", `"1"`: "00ca9a3b", `"+1.000"`: "00ca9a3b", `1.0000000000000`: "00ca9a3b", `100e-2`: "00ca9a3b", `1e0`: "00ca9a3b",
		`"99999999999999999999999999999.999999999"`: "ffffffff3f228a097ac4865aa84c3b4b", `-99999999999999999999999999999.999999999`: "01000000c0dd75f6853b79a557b3c4b4"},
		map[string]string{`100000000000000000000000000000`: "out of range: out of range for NUMERIC", `-1e29`: "out of range: out of range for NUMERIC", `1e999999999999`: "out of range: out of range for NUMERIC", `1e-10`: "too fine: more than 9 digits behind the point, which NUMERIC can't hold", `0.1234567891`: "too fine: more than 9 digits behind the point, which NUMERIC can't hold",
			`"NaN"`: "bad value: wrong type: want NUMERIC, got a string that is no number", `"1,5"`: "bad value: wrong type: want NUMERIC, got a string that is no number", `true`: "wrong type: wrong type: want NUMERIC, got a boolean", `1e-999999999999`: "too fine: more than 9 digits behind the point, which NUMERIC can't hold"}},
	{`"type":"NUMERIC","precision":"5","scale":"2"`, map[string]any{`999.99`: "80790cd4e800", `999.994`: "808249d4e800", `-999.994999999`: "413ba72b17ff"},
		map[string]string{`1000`: "out of range: more digits than the column's precision", `999.995`: "out of range: more digits than the column's precision", `-999.995`: "out of range: more digits than the column's precision", `1e29`: "out of range: out of range for NUMERIC"}},
	{`"type":"BIGNUMERIC"`, map[string]any{
		`0`: "00", `1e-38`: "01", `1`: "0000000040228a097ac4865aa84c3b4b", `"578960446186580977117854925043439539266.34992332820282019728792003956564819967"`: strings.Repeat("ff", 31) + "7f",
		`-578960446186580977117854925043439539266.34992332820282019728792003956564819968`: strings.Repeat("00", 31) + "80"},
		map[string]string{`578960446186580977117854925043439539266.34992332820282019728792003956564819968`: "out of range: out of range for BIGNUMERIC", `-578960446186580977117854925043439539266.34992332820282019728792003956564819969`: "out of range: out of range for BIGNUMERIC",
			`1e39`: "out of range: out of range for BIGNUMERIC", `1e-39`: "too fine: more than 38 digits behind the point, which BIGNUMERIC can't hold", strings.Repeat("9", 200): "out of range: out of range for BIGNUMERIC"}},
	{`"type":"INTERVAL"`, map[string]any{`"0-0 0 0:0:0"`: "0-0 0 0:0:0", `"-1-11 +3 -4:05:06.789"`: "-1-11 +3 -4:05:06.789", `"10000-0 3660000 87840000:0:0"`: "10000-0 3660000 87840000:0:0", `"1-2 3 4:5:\u0036"`: "1-2 3 4:5:6"},
		map[string]string{`"10000-1 0 0:0:0"`: "out of range: out of range for INTERVAL", `"0-0 3660001 0:0:0"`: "out of range: out of range for INTERVAL", `"0-0 0 87840000:0:0.000001"`: "out of range: out of range for INTERVAL", `"0-0 0 99999999999999999999:0:0"`: "out of range: out of range for INTERVAL",
			`"1-12 0 0:0:0"`: notInterval, `"1-2"`: notInterval, `"P1Y"`: notInterval, `"0-0 0 0:60:0"`: notInterval, `"0-0  0 0:0:0"`: notInterval, `"0-0 0 0:0:0 "`: notInterval, `"0-0 0 0:0:0.1234567"`: "too fine: finer than a microsecond", `"--1-0 0 0:0:0"`: notInterval, `5`: "wrong type: wrong type: want INTERVAL, got a number"}},
	{`"type":"RANGE","rangeElementType":{"type":"DATE"}`, map[string]any{
		`"[1970-01-02, 1970-01-03)"`: tree{"start": int64(1), "end": int64(2)}, `"[1970-01-02,UNBOUNDED)"`: tree{"start": int64(1)}, `"[null, 1969-12-31)"`: tree{"end": int64(-1)}, `"[Unbounded,NULL)"`: tree{},
		`{"start":"1970-01-02","end":"1970-01-03"}`: tree{"start": int64(1), "end": int64(2)}, `{"END":2,"start":-1}`: tree{"start": int64(-1), "end": int64(2)}, `{"start":null}`: tree{}, `{}`: tree{}, `"[\u0031970-01-02, 1970-01-03)"`: tree{"start": int64(1), "end": int64(2)}},
		map[string]string{`"[1970-01-02, 1970-01-02)"`: "out of range: the RANGE doesn't start before it ends", `{"start":2,"end":-1}`: "out of range: the RANGE doesn't start before it ends", `"[1970-01-02, 1970-01-03]"`: "bad value: not a RANGE: want [start, end)", `"1970-01-02"`: "bad value: not a RANGE: want [start, end)",
			`"[1970-01-02)"`: "bad value: not a RANGE: want [start, end)", `"[,)"`: "bad value: not a DATE: want YYYY-MM-DD", `"[1, 2)"`: "bad value: not a DATE: want YYYY-MM-DD", `{"start":1,"start":2}`: "duplicate field: the field is there twice", `{"from":1}`: "unknown field: unknown field", `[1,2]`: "wrong type: wrong type: want RANGE, got an array", `"["`: "bad value: not a RANGE: want [start, end)"}},
	{`"type":"RANGE","rangeElementType":{"type":"TIMESTAMP"}`, map[string]any{`"[1970-01-01 00:00:01 UTC, 1970-01-01 01:00:02 Europe/Berlin)"`: tree{"start": int64(1000000), "end": int64(2000000)}, `{"end":7}`: tree{"end": int64(7)}},
		map[string]string{`"[1970-01-01, 1970-01-01 00:00:00+01)"`: "out of range: the RANGE doesn't start before it ends"}},
	{`"type":"RANGE","rangeElementType":{"type":"DATETIME"}`, map[string]any{`"[0001-01-01, 2019-02-11 11:24)"`: tree{"start": int64(1<<46 | 1<<42 | 1<<37), "end": int64(142084851271467008)}},
		map[string]string{`{"start":"2019-02-11 11:24:00Z"}`: "bad value: not a DATETIME: it has no time zone, want YYYY-MM-DD HH:MM:SS.ffffff"}},
	{`"type":"GEOGRAPHY"`, map[string]any{`"POINT(1 2)"`: "POINT(1 2)", `"{\"type\":\"Point\"}"`: `{"type":"Point"}`, `{ "type" : "Point" , "coordinates" : [ 1.50 , -2 ] }`: `{"coordinates":[1.50,-2],"type":"Point"}`},
		map[string]string{`[1,2]`: "wrong type: wrong type: want GEOGRAPHY, got an array", `7`: "wrong type: wrong type: want GEOGRAPHY, got a number"}},
}

func TestTypes(t *testing.T) {
	for _, c := range typeCases {
		schema := parse(t, `[{"name":"v",`+c.def+`}]`)
		repeated := parse(t, `[{"name":"v","mode":"REPEATED",`+c.def+`}]`)
		enc, encRepeated := compile(t, schema), compile(t, repeated)
		md, mdRepeated := message(t, enc), message(t, encRepeated)
		for text, want := range c.accepted {
			row, err := enc.Append(nil, []byte(`{"v":`+text+`}`))
			require.NoError(t, err, "%s %s", c.def, text)
			require.Equal(t, tree{"v": want}, treeOf(schema.GetFields(), decode(t, md, row)), "%s %s", c.def, text)

			row, err = encRepeated.Append(nil, []byte(`{"v":[`+text+` , `+text+`]}`))
			require.NoError(t, err, "%s %s", c.def, text)
			require.Equal(t, tree{"v": []any{want, want}}, treeOf(repeated.GetFields(), decode(t, mdRepeated, row)), "%s %s", c.def, text)
		}
		for text, want := range c.refused {
			_, err := enc.Append(nil, []byte(`{"v":`+text+`}`))
			require.Error(t, err, "%s %s", c.def, text)
			e := asError(t, err)
			require.Equal(t, want, e.Kind.String()+": "+e.Reason, "%s %s", c.def, text)
			_, err = encRepeated.Append(nil, []byte(`{"v":[`+text+`]}`))
			require.Equal(t, want, asError(t, err).Kind.String()+": "+asError(t, err).Reason, "%s %s", c.def, text)
		}
	}
}

// A JSON column's text, exactly: compact, but strings and numbers as they are spelt. Reading the text
// of an already decoded string, as JSONAsText does, must not eat into it.
func TestJSONColumn(t *testing.T) {
	schema := parse(t, `[{"name":"v","type":"JSON"},{"name":"vv","type":"JSON","mode":"REPEATED"}]`)
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	const twice = "duplicate field: a name is there twice in the value"
	for _, c := range []struct {
		asText   bool
		accepted map[string]string
		refused  map[string]string
	}{
		{false, map[string]string{
			`1.50`: `1.50`, `-0`: `-0`, `1e999`: `1e999`, `true`: `true`, `"a b"`: `"a b"`, `"\u00e4 \/"`: `"\u00e4 \/"`, `[]`: `[]`, ` { "a" : [ 1 , { "b c" : null } , "x\" y\\" ] , "d":false } `: `{"a":[1,{"b c":null},"x\" y\\"],"d":false}`,
			"[\r\n\t1 ,2]": `[1,2]`, deep(500): deep(500), `{"a":{"a":1},"b":[{"a":2}]}`: `{"a":{"a":1},"b":[{"a":2}]}`,
		}, map[string]string{
			`{"a":1,"a":2}`: twice, `[{"a":1,"\u0061":2}]`: twice, `[1,]`: "syntax: not valid JSON: a malformed value", `{"a" 1}`: "syntax: not valid JSON: a malformed value", `[1 2]`: "syntax: not valid JSON: a malformed value", `{1:2}`: "syntax: not valid JSON: a malformed value", `[}`: "syntax: not valid JSON: a malformed value",
			`"\ud800"`: "invalid UTF-8: invalid UTF-8, or half of a surrogate pair, in the value", `["\x"]`: "syntax: not valid JSON: a malformed value", `01`: "syntax: not valid JSON: a malformed number", `[01]`: "syntax: not valid JSON: a malformed number", deep(501): "too deep: nested more than 500 levels deep",
			`]`: "syntax: not valid JSON: want a value", `nul`: "syntax: not valid JSON: want null", "[\"\xff\"]": "invalid UTF-8: invalid UTF-8",
		}},
		{true, map[string]string{`"1"`: `1`, `"{\"a\": [1, \"\\u00e4 x\"]}"`: `{"a":[1,"\u00e4 x"]}`, `" [ ] "`: `[]`, `"null"`: `null`},
			map[string]string{`1`: "wrong type: wrong type: want a string of JSON, got a number", `{}`: "wrong type: wrong type: want a string of JSON, got an object", `"a"`: "syntax: not valid JSON: want a value (in the string)", `""`: "syntax: not valid JSON: want a value, got the end (in the string)",
				`"1 2"`: "syntax: not valid JSON: more text after the value (in the string)", `"{\"a\":1,\"a\":2}"`: twice + " (in the string)"}},
	} {
		var opts []rows.Option
		if c.asText {
			opts = append(opts, rows.JSONAsText())
		}
		enc, err := rows.Compile(schema, opts...)
		require.NoError(t, err)
		md := message(t, enc)
		for text, want := range c.accepted {
			row, err := enc.Append(nil, []byte(`{"v":`+text+`,"vv":[`+text+`,`+text+`]}`))
			require.NoError(t, err, text)
			m := decode(t, md, row)
			fields := md.Fields()
			require.Equal(t, want, m.Get(fields.ByNumber(1)).String())
			require.Equal(t, want, m.Get(fields.ByNumber(2)).List().Get(1).String())
		}
		for text, want := range c.refused {
			_, err := enc.Append(nil, []byte(`{"v":`+text+`}`))
			require.Error(t, err, text)
			require.Equal(t, want, asError(t, err).Kind.String()+": "+asError(t, err).Reason, text)
			require.Equal(t, "v", asError(t, err).Path)
		}
	}
}
