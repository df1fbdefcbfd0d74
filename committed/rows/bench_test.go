package rows_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

// benchSet is the same rows for both contenders.
type benchSet struct {
	name   string
	schema *storagepb.TableSchema
	ours   [][]byte
	theirs [][]byte // with timestamps as integers: protojson reads no RFC 3339 for an int64
}

func benchSets(t testing.TB) []benchSet {
	var sets []benchSet
	for _, s := range []struct{ folder, file string }{
		{"flights", "flights/flights-2013-01.ndjson.gz"},
		{"earthquakes", "earthquakes/earthquakes.ndjson.gz"},
	} {
		set := benchSet{name: s.folder, schema: schemaOf(t, s.folder), ours: lines(t, s.file)}
		for _, line := range set.ours {
			set.theirs = append(set.theirs, integerTimes(t, line))
		}
		sets = append(sets, set)
	}
	schema, in := fortyColumns(t)
	return append(sets, benchSet{name: "forty", schema: schema, ours: in, theirs: in})
}

// fortyColumns makes 500 rows of 40 columns and about 1.7 KB, of the types that protojson reads as
// BigQuery does.
func fortyColumns(t testing.TB) (*storagepb.TableSchema, [][]byte) {
	types := []string{"STRING", "INTEGER", "STRING", "FLOAT", "STRING", "TIMESTAMP", "STRING", "BOOL", "STRING", "BYTES"}
	var def []string
	for i := range 40 {
		more := ""
		switch i {
		case 20, 21:
			more = `,"mode":"REPEATED"`
		case 30:
			def = append(def, `{"name":"record_of_30","type":"RECORD","fields":[{"name":"street","type":"STRING"},{"name":"number","type":"INTEGER"}]}`)
			continue
		case 0, 1:
			more = `,"mode":"REQUIRED"`
		}
		def = append(def, fmt.Sprintf(`{"name":"some_column_%02d","type":%q%s}`, i, types[i%len(types)], more))
	}
	schema := parse(t, "["+strings.Join(def, ",")+"]")
	words := []string{"Ørsted", "lamp", "quartz", "n/a", "the quick brown fox", "E-2013-01-01", "Zürich HB", "she said \\\"no\\\"", "https://example.com/a?b=c"}
	random := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		var b strings.Builder
		for b.Len() < 20 {
			b.WriteString(words[random.IntN(len(words))] + " ")
		}
		return `"` + b.String() + `"`
	}
	value := func(typ storagepb.TableFieldSchema_Type) string {
		switch typ {
		case storagepb.TableFieldSchema_INT64:
			return strconv.FormatInt(random.Int64N(1e12)-5e11, 10)
		case storagepb.TableFieldSchema_DOUBLE:
			return strconv.FormatFloat(math.Round(random.NormFloat64()*1e8)/1e5, 'f', -1, 64)
		case storagepb.TableFieldSchema_TIMESTAMP:
			return strconv.FormatInt(1.3e15+random.Int64N(3e14), 10)
		case storagepb.TableFieldSchema_BOOL:
			return strconv.FormatBool(random.IntN(2) == 0)
		case storagepb.TableFieldSchema_BYTES:
			b := make([]byte, 30)
			binary.LittleEndian.PutUint64(b, random.Uint64())
			return `"` + base64.StdEncoding.EncodeToString(b) + `"`
		case storagepb.TableFieldSchema_STRUCT:
			return `{"street":` + text() + `,"number":` + strconv.Itoa(random.IntN(200)) + `}`
		}
		return text()
	}
	var in [][]byte
	for range 500 {
		var members []string
		for i, f := range schema.GetFields() {
			v := value(f.GetType())
			if f.GetMode() == storagepb.TableFieldSchema_REPEATED {
				v = "[" + v + "," + value(f.GetType()) + "," + value(f.GetType()) + "]"
			} else if i > 1 && random.IntN(20) == 0 {
				v = "null"
			}
			members = append(members, `"`+f.GetName()+`":`+v)
		}
		in = append(in, []byte("{"+strings.Join(members, ",")+"}"))
	}
	return schema, in
}

func size(lines [][]byte) (n int64) {
	for _, l := range lines {
		n += int64(len(l)) + 1
	}
	return n
}

// BenchmarkEncode reports bytes of JSON per second, to be read beside BenchmarkProtojson.
func BenchmarkEncode(b *testing.B) {
	sets := benchSets(b)
	row := []byte(everyType)
	sets = append(sets, benchSet{name: "types", schema: parse(b, everything), ours: [][]byte{row}})
	for _, set := range sets {
		b.Run(set.name, func(b *testing.B) {
			enc, err := rows.Compile(set.schema, rows.IgnoreUnknownFields())
			require.NoError(b, err)
			b.SetBytes(size(set.ours))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				for _, line := range set.ours {
					if dst, err = enc.Append(dst[:0], line); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkProtojson does the same job with protojson and dynamicpb. Both read the same bytes of
// "forty"; elsewhere protojson gets less work, and its figure counts the bytes that we read.
func BenchmarkProtojson(b *testing.B) {
	for _, set := range benchSets(b) {
		b.Run(set.name, func(b *testing.B) {
			md := message(b, compile(b, set.schema))
			b.SetBytes(size(set.ours))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				for _, line := range set.theirs {
					m := dynamicpb.NewMessage(md)
					if err := protojson.Unmarshal(line, m); err != nil {
						b.Fatal(err)
					}
					var err error
					if dst, err = (proto.MarshalOptions{}).MarshalAppend(dst[:0], m); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// integerTimes replaces the RFC 3339 text of the columns time and time_hour by microseconds.
func integerTimes(t testing.TB, line []byte) []byte {
	for _, name := range []string{`"time":"`, `"time_hour":"`} {
		before, rest, ok := bytes.Cut(line, []byte(name))
		if !ok {
			continue
		}
		text, after, _ := bytes.Cut(rest, []byte(`"`))
		at, err := time.Parse(time.RFC3339, string(text))
		require.NoError(t, err)
		line = bytes.Join([][]byte{before, []byte(name[:len(name)-1]), strconv.AppendInt(nil, at.UnixMicro(), 10), after}, nil)
		require.True(t, json.Valid(line))
	}
	return line
}

// Both contenders make the same message of a row of "forty": otherwise their speeds say nothing.
func TestBenchmarkedRowsAreEqual(t *testing.T) {
	schema, in := fortyColumns(t)
	enc := compile(t, schema)
	md := message(t, enc)
	total := 0
	for _, line := range in {
		row, err := enc.Append(nil, line)
		require.NoError(t, err)
		want := dynamicpb.NewMessage(md)
		require.NoError(t, protojson.Unmarshal(line, want))
		require.True(t, proto.Equal(want, decode(t, md, row)), "%s", line)
		total += len(line)
	}
	require.InDelta(t, 1700, total/len(in), 60)
}
