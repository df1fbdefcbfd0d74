package rows_test

import (
	"bytes"
	"runtime"
	"testing"
	"unicode/utf8"

	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
)

// everything has each type in each mode, bounded and parameterized ones, names beyond ASCII, also of
// RECORDs and inside them, and two levels.
const everything = `[
 {"name":"s","type":"STRING"},{"name":"s3","type":"STRING","maxLength":"3"},{"name":"ss","type":"STRING","mode":"REPEATED"},
 {"name":"i","type":"INTEGER"},{"name":"ii","type":"INTEGER","mode":"REPEATED"},
 {"name":"f","type":"FLOAT"},{"name":"ff","type":"FLOAT","mode":"REPEATED"},
 {"name":"b","type":"BOOL"},{"name":"bb","type":"BOOL","mode":"REPEATED"},
 {"name":"t","type":"TIMESTAMP"},{"name":"tt","type":"TIMESTAMP","mode":"REPEATED"},{"name":"t12","type":"TIMESTAMP","timestampPrecision":"12"},
 {"name":"d","type":"DATE"},{"name":"dd","type":"DATE","mode":"REPEATED"},
 {"name":"c","type":"TIME"},{"name":"cc","type":"TIME","mode":"REPEATED"},
 {"name":"dt","type":"DATETIME"},{"name":"dtdt","type":"DATETIME","mode":"REPEATED"},
 {"name":"y","type":"BYTES"},{"name":"y3","type":"BYTES","maxLength":"3"},{"name":"yy","type":"BYTES","mode":"REPEATED"},
 {"name":"n","type":"NUMERIC"},{"name":"n52","type":"NUMERIC","precision":"5","scale":"2"},{"name":"nn","type":"NUMERIC","mode":"REPEATED"},
 {"name":"bn","type":"BIGNUMERIC"},{"name":"bn40","type":"BIGNUMERIC","precision":"40","scale":"2"},{"name":"bnbn","type":"BIGNUMERIC","mode":"REPEATED"},
 {"name":"g","type":"GEOGRAPHY"},{"name":"gg","type":"GEOGRAPHY","mode":"REPEATED"},
 {"name":"j","type":"JSON"},{"name":"jj","type":"JSON","mode":"REPEATED"},
 {"name":"iv","type":"INTERVAL"},{"name":"iviv","type":"INTERVAL","mode":"REPEATED"},
 {"name":"rd","type":"RANGE","rangeElementType":{"type":"DATE"}},{"name":"rt","type":"RANGE","rangeElementType":{"type":"TIMESTAMP"}},
 {"name":"rdt","type":"RANGE","mode":"REPEATED","rangeElementType":{"type":"DATETIME"}},
 {"name":"Größe","type":"INTEGER"},
 {"name":"ÿÿÿ","type":"RECORD","fields":[{"name":"naïve","type":"NUMERIC"}]},
 {"name":"r","type":"RECORD","fields":[
   {"name":"must","type":"INTEGER","mode":"REQUIRED"},{"name":"s","type":"STRING"},
   {"name":"rr","type":"RECORD","mode":"REPEATED","fields":[{"name":"x","type":"FLOAT"},{"name":"s","type":"STRING"}]}]}]`

// Any text at all: Append must not panic, must accept exactly what the oracle accepts, and the row
// must decode to the oracle's values. If it failed, rows would be dropped that are fine or loaded
// with values that aren't in the file.
func FuzzAppend(f *testing.F) {
	schema, err := rows.ParseSchema([]byte(everything))
	require.NoError(f, err)
	enc := compile(f, schema)
	md := message(f, enc)
	for _, seed := range []string{
		`{}`, ` { "s" : "a" , "i" : -1 } `, `{"s":"\u00e9\ud83d\ude00\n","S3":"äöü"}`, `{"s":"\ud800"}`, "{\"s\":\"\xff\"}",
		`{"i":"12","ii":[1,2,9223372036854775807,-9223372036854775808],"f":1e-3,"ff":["NaN",-0.0,"1e5"]}`,
		`{"i":9223372036854775808}`, `{"i":120e-1}`, `{"i":0.10e1}`, `{"b":"true","bb":[false,true]}`,
		`{"t":"2013-01-01T10:00:00.123456+14:00","tt":[0,"0001-01-01 00:00:00Z","9999-12-31t23:59:59.999999z"]}`,
		`{"d":"2000-02-29","dd":["1900-02-28","9999-12-31"]}`, `{"GRÖSSE":1}`, `{"GRÖßE":1}`,
		`{"r":{"must":1,"rr":[{"x":1.5},{},{"s":"b"}]}}`, `{"r":{}}`, `{"r":null,"ss":null,"ss":[]}`, `{"\u0073":"x"}`,
		`{"ss":["a",null]}`, `{"s":1}`, `{"s":"a"} {`, `{"s":"a",}`, `{"i":01}`, `{"i":1.}`, `{"i":--1}`, `nul`, `{"s":nul}`, ``,
		`{"b":"Yes","bb":[0,1,"n","T"]}`, `{"i":"+007","ii":["1.0"],"f":".5","ff":["+inf","nAn","5."]}`,
		`{"t":"2013-1-1 1:2:3 America/New_York","tt":["2013/01/01 10:00","2013-03-10 02:30:00 America/New_York","2013-11-03 01:30:00 America/New_York"]}`,
		`{"t12":"2013-01-01T10:00:00.123456789012+05","t":"2013-01-01 10:00:00 Local"}`, `{"t12":-1}`, `{"t":"2013-01-01"}`,
		`{"c":"1:2","cc":["23:59:59.999999",0],"dt":"2013-01-01","dtdt":["2013-01-01T10:00:00.5",142140010168139776]}`, `{"d":15706,"c":94557999999}`,
		`{"y":"\u0041QID","yy":["AQ==","AQ","_-8",[1,-1,255],""],"y3":"AQIDBA=="}`, `{"y":"A\nQ=="}`,
		`{"n":1e-9,"nn":["-99999999999999999999999999999.999999999","+1.5e3",0],"n52":999.994}`, `{"n52":999.995}`, `{"n":1e-10}`,
		`{"bn":"-578960446186580977117854925043439539266.34992332820282019728792003956564819968","bnbn":[1e38,".1"],"bn40":1e37}`,
		`{"g":"POINT(1 2)","gg":[{"type":"Point", "coordinates":[1, 2]}]}`, `{"j":{"a":[1, 2.50,"\u00e4"]},"jj":[1,"x",[],{}]}`, `{"j":{"a":1,"\u0061":2}}`, `{"j":[1,}`,
		`{"iv":"-1-2 3 -4:5:6.789","iviv":["0-0 0 0:0:0","10000-0 3660000 87840000:0:0"]}`, `{"iv":"P1Y"}`,
		`{"rd":"[2000-01-01, UNBOUNDED)","rt":{"end":0},"rdt":[{"start":"2000-01-01","END":"2000-01-02"}]}`, `{"rd":"[2000-01-01, 2000-01-01)"}`, `{"rd":{"start":1,"end":null}}`,
		`{"ÿÿÿ":{"NAÏVE":1}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		if hugeExponent.Match(object) {
			_, _ = enc.Append(nil, object) // no panic, no time without end
			return
		}
		requireAgrees(t, schema, enc, md, object)
	})
}

// Any text at all, with every option: no panic, a row and memory that are bounded by the object's size,
// and nothing allocated for a row that is accepted. If it failed, one object could exhaust the memory
// of a writer that takes rows from strangers.
func FuzzAppendIsBounded(f *testing.F) {
	schema, err := rows.ParseSchema([]byte(everything))
	require.NoError(f, err)
	enc, err := rows.Compile(schema, rows.IgnoreUnknownFields(), rows.JSONAsText())
	require.NoError(f, err)
	for _, seed := range []string{everyType, everyTypeEscaped, `{"dd":[-1,-1,-1]}`, `{"j":"[1, 2]","jj":["{\"a\": {}}"]}`, `{"a":[[[[{"a":{}}]]]],"b":1e999,"a":2}`, `{"rdt":[{},{},"[null,null)"]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		// A DATE of -1 has the longest row for its text: ten bytes for two and a comma.
		buf := make([]byte, 0, 8*len(object)+64)
		out, err := enc.Append(buf, object)
		require.LessOrEqual(t, len(out), cap(buf))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		again, errAgain := enc.Append(buf, object)
		runtime.ReadMemStats(&after)
		require.Equal(t, err, errAgain)
		require.Equal(t, out, again)
		spent := after.TotalAlloc - before.TotalAlloc
		if err == nil && utf8.Valid(object) && !beyondASCII(object) {
			require.Less(t, spent, uint64(4096), "for a row")
		}
		require.Less(t, spent, uint64(64*len(object)+65536), "for a refusal")
	})
}

func beyondASCII(b []byte) bool {
	return bytes.ContainsFunc(b, func(r rune) bool { return r >= utf8.RuneSelf })
}

// Any text as a schema: no panic, and what is accepted and supported compiles to an encoder whose
// descriptor the writer can make a valid probe from.
func FuzzParseSchema(f *testing.F) {
	for _, seed := range []string{everything, `[]`, `[{"name":"a","type":"NUMERIC"}]`, `[{"name":"a b","type":"RECORD","fields":[{"name":"b","type":"DATE","mode":"required"}]}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		schema, err := rows.ParseSchema(data)
		if err != nil {
			return
		}
		if enc, err := rows.Compile(schema); err == nil {
			_, err := committed.NewSchema("projects/p/datasets/d/tables/t", schema, enc.Descriptor())
			require.NoError(t, err)
		}
	})
}
