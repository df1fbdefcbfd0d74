package rows_test

import (
	"fmt"
	"sync"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// All flights of 2013 become rows, and those of one month are, value by value, what the oracle reads
// in the file.
func TestFlights(t *testing.T) {
	schema := schemaOf(t, "flights")
	enc := compile(t, schema)
	md := message(t, enc)
	count := 0
	for month := 1; month <= 12; month++ {
		var dst []byte
		for i, line := range lines(t, fmt.Sprintf("flights/flights-2013-%02d.ndjson.gz", month)) {
			var err error
			dst, err = enc.Append(dst[:0], line)
			require.NoError(t, err)
			count++
			if month == 2 && i%5 == 0 {
				requireAgrees(t, schema, enc, md, line)
			}
		}
	}
	require.Equal(t, 336_776, count)
}

// Nested rows with repeated coordinates, absent values and both spellings of a TIMESTAMP.
func TestEarthquakes(t *testing.T) {
	schema := schemaOf(t, "earthquakes")
	enc := compile(t, schema)
	md := message(t, enc)
	in := lines(t, "earthquakes/earthquakes.ndjson.gz")
	require.Len(t, in, 1707)
	for _, line := range in {
		_, err := enc.Append(nil, line)
		require.NoError(t, err)
		requireAgrees(t, schema, enc, md, line)
	}
}

// Exactly the ten untidy films are refused, each for its own reason; nine titles are numbers, one is
// null. With the release date as a DATE, as a reader might expect it, nothing is let through.
func TestMovies(t *testing.T) {
	refusals := func(schema *storagepb.TableSchema) map[string]int {
		enc := compile(t, schema)
		md := message(t, enc)
		got := map[string]int{}
		for _, line := range lines(t, "movies/movies.ndjson.gz") {
			requireAgrees(t, schema, enc, md, line)
			if _, err := enc.Append(nil, line); err != nil {
				e := asError(t, err)
				got[e.Path+": "+e.Reason]++
			}
		}
		return got
	}
	schema := schemaOf(t, "movies")
	require.Equal(t, map[string]int{
		"Title: wrong type: want STRING, got a number": 9,
		"Title: null for a REQUIRED field":             1,
	}, refusals(schema))

	asDate := proto.CloneOf(schema)
	asDate.GetFields()[5].Type = storagepb.TableFieldSchema_DATE
	require.Equal(t, map[string]int{
		"Title: wrong type: want STRING, got a number": 9,
		"Title: null for a REQUIRED field":             1,
		"Release Date: not a DATE: want YYYY-MM-DD":    3191,
	}, refusals(asDate))
}

// everyType is a row of the schema everything with a value of each type, and unknown fields;
// everyTypeEscaped has its strings as escapes.
const (
	everyType = `{"s":"a","i":"9223372036854775807","f":"Infinity","b":"yes","t":"2013-07-01 12:00:00.5 Europe/Berlin","tt":["2013-01-01T10:00:00Z",7],"t12":"2013-01-01 10:00:00.123456789012 UTC",
		"d":"2013-01-01","c":"10:00:00.5","dt":"2013-01-01 10:00:00","y":"AQIDBAUGBwgJCgsMDQ4P","yy":[[1,2,3]],"n":-123456789012345678901234567.123456789,"n52":"1.25","bn":1234567890123456789012345678901234567.5,
		"g":{"type":"Point", "coordinates":[1, 2]},"gg":["POINT(1 2)"],"j":{"a":[1, 2.50, "x\u00e4", {"b":null}]},"jj":["a", 1],"iv":"1-2 3 4:5:6","rd":"[2013-01-01, UNBOUNDED)","rt":{"start":0,"end":1},
		"ÿÿÿ":{"naïve":1},"nobody":{"knows":["it", 1]},"r":{"must":1,"neither":1}}`
	everyTypeEscaped = `{"\u0074":"2013-07-01 12:00:00 Europe\/Berlin","t12":"\u0032013-01-01","d":"\u0032013-01-01","c":"10\u003a00","dt":"\u0032013-01-01","y":"\/\/\/\/","n":"\u0031","b":"\u0079","f":"\u0031",
		"g":"\u0050OINT(1 2)","j":"\u0050","iv":"\u0031-2 3 4:5:6","rd":"[2013-01-01\u002c UNBOUNDED)","n\u006fbody":"\u0031"}`
)

// Append allocates nothing once dst is large enough: not for nested rows, not for escapes, names in
// another case or records of more columns than the small set holds.
func TestAppendAllocatesNothing(t *testing.T) {
	wide := []byte(`[{"name":"c0","type":"STRING"}`)
	for i := 1; i < 10_000; i++ {
		wide = fmt.Appendf(wide, `,{"name":"c%d","type":"STRING"}`, i)
	}
	wideSchema := string(append(wide, ']'))
	cases := map[string]struct {
		schema  *storagepb.TableSchema
		objects [][]byte
	}{
		"flights":     {schemaOf(t, "flights"), lines(t, "flights/flights-2013-01.ndjson.gz")[:1000]},
		"earthquakes": {schemaOf(t, "earthquakes"), lines(t, "earthquakes/earthquakes.ndjson.gz")},
		"escapes":     {parse(t, everything), [][]byte{[]byte(`{"\u0053":"\u00e4","S3":"\u00e4","i":"\u0031","t":"1970-01-01T00:00:0\u0031Z","f":1.7976931348623157e308,"ii":[1e3]}`)}},
		"types":       {parse(t, everything), [][]byte{[]byte(everyType), []byte(everyTypeEscaped)}},
		"wide":        {parse(t, wideSchema), [][]byte{[]byte(`{"c9999":"x","C1":"y"}`)}},
	}
	if underRace {
		delete(cases, "types")
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			enc, err := rows.Compile(c.schema, rows.IgnoreUnknownFields())
			require.NoError(t, err)
			dst := make([]byte, 0, 1<<20)
			require.Zero(t, testing.AllocsPerRun(5, func() {
				for _, o := range c.objects {
					if out, err := enc.Append(dst, o); err != nil || len(out) == 0 {
						panic(err)
					}
				}
			}))
		})
	}
}

// One Encoder serves any number of goroutines (meant for -race), and always with the same bytes: the
// digest of a batch rests on that.
func TestConcurrentAppend(t *testing.T) {
	enc := compile(t, schemaOf(t, "earthquakes"))
	in := lines(t, "earthquakes/earthquakes.ndjson.gz")[:300]
	encode := func() (out []byte) {
		for _, line := range in {
			var err error
			if out, err = enc.Append(out, line); err != nil {
				panic(err)
			}
		}
		return out
	}
	want := encode()
	var wg sync.WaitGroup
	results := make([][]byte, 4)
	for i := range results {
		wg.Go(func() { results[i] = encode() })
	}
	wg.Wait()
	for _, got := range results {
		require.Equal(t, want, got)
	}
}
