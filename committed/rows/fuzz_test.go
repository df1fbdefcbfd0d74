package rows_test

import (
	"testing"

	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
)

// everything has each type in each mode, a bounded STRING, a name beyond ASCII and two levels.
const everything = `[
 {"name":"s","type":"STRING"},{"name":"s3","type":"STRING","maxLength":"3"},{"name":"ss","type":"STRING","mode":"REPEATED"},
 {"name":"i","type":"INTEGER"},{"name":"ii","type":"INTEGER","mode":"REPEATED"},
 {"name":"f","type":"FLOAT"},{"name":"ff","type":"FLOAT","mode":"REPEATED"},
 {"name":"b","type":"BOOL"},{"name":"bb","type":"BOOL","mode":"REPEATED"},
 {"name":"t","type":"TIMESTAMP"},{"name":"tt","type":"TIMESTAMP","mode":"REPEATED"},
 {"name":"d","type":"DATE"},{"name":"dd","type":"DATE","mode":"REPEATED"},
 {"name":"Größe","type":"INTEGER"},
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
