package rows_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

var benchSets = []struct{ name, folder, file string }{
	{"flights", "flights", "flights/flights-2013-01.ndjson.gz"},
	{"earthquakes", "earthquakes", "earthquakes/earthquakes.ndjson.gz"},
}

func size(lines [][]byte) (n int64) {
	for _, l := range lines {
		n += int64(len(l)) + 1
	}
	return n
}

// BenchmarkEncode reports bytes of JSON per second, to be read beside BenchmarkProtojson.
func BenchmarkEncode(b *testing.B) {
	for _, set := range benchSets {
		b.Run(set.name, func(b *testing.B) {
			enc := compile(b, schemaOf(b, set.folder))
			in := lines(b, set.file)
			b.SetBytes(size(in))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				for _, line := range in {
					var err error
					if dst, err = enc.Append(dst[:0], line); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkProtojson does the same job with protojson and dynamicpb. They know no RFC 3339 for an
// int64, so they get the same rows with timestamps as integers, which is less work.
func BenchmarkProtojson(b *testing.B) {
	for _, set := range benchSets {
		b.Run(set.name, func(b *testing.B) {
			md := message(b, compile(b, schemaOf(b, set.folder)))
			in := lines(b, set.file)
			for i, line := range in {
				in[i] = integerTimes(b, line)
			}
			b.SetBytes(size(in))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				for _, line := range in {
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
