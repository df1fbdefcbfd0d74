package rows_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
)

const ignoring = `[{"name":"a","type":"INTEGER"},{"name":"r","type":"RECORD","mode":"REPEATED","fields":[{"name":"x","type":"INTEGER"}]}]`

// Unknown fields at any depth are left out and counted under their column; the rest of the row is as
// without them. If it failed, data would be dropped without anyone knowing, or counted wrongly.
func TestIgnoreUnknownFields(t *testing.T) {
	plain := compileJSON(t, ignoring)
	enc, err := rows.Compile(parse(t, ignoring), rows.IgnoreUnknownFields())
	require.NoError(t, err)
	want, err := plain.Append(nil, []byte(`{"a":1,"r":[{"x":1},{"x":2}]}`))
	require.NoError(t, err)
	got, err := enc.Append(nil, []byte(`{"b":null,"a":1,"r":[{"y":[1,{"z":"\u0041"}],"x":1},{"x":2,"Y":"q","y":1.5}],"\u0062": {} ,"c":-0}`))
	require.NoError(t, err)
	require.Equal(t, want, got)
	byColumn, others := enc.Ignored()
	require.Equal(t, map[string]int64{"b": 2, "c": 1, "r.y": 2, "r.Y": 1}, byColumn)
	require.Zero(t, others)
	none, others := plain.Ignored()
	require.Empty(t, none)
	require.Zero(t, others)
}

// A refused row keeps all its fields, for the dead letters: nothing of it was ignored. What is ignored
// must be JSON all the same.
func TestIgnoredOfRefusedRows(t *testing.T) {
	enc, err := rows.Compile(parse(t, ignoring), rows.IgnoreUnknownFields())
	require.NoError(t, err)
	for object, want := range map[string]string{
		`{"b":1,"c":2,"a":"x"}`:            `a: wrong type: want INTEGER, got a string that is no number: "x"`,
		`{"b":1,"r":[{"y":1},{"x":true}]}`: `r[1].x: wrong type: want INTEGER, got a boolean: "true"`,
		`{"b":[1,}}`:                       `b: not valid JSON: a malformed value: "[1"`,
		`{"b":{"c":1,"c":2}}`:              `b: a name is there twice in the value`,
		`{"r":[{},{"b":tru}]}`:             `r[1].b: not valid JSON: want true: "tru}]}"`,
		`{"b" 1}`:                          `b: not valid JSON: want ':': "1}"`,
		`{"b":"\ud800"}`:                   `b: invalid UTF-8, or half of a surrogate pair, in the value`,
		`{"b":` + strings.Repeat("[", 501) + strings.Repeat("]", 501) + `}`: `b: nested more than 500 levels deep`,
	} {
		_, err := enc.Append(nil, []byte(object))
		require.EqualError(t, err, want)
	}
	byColumn, others := enc.Ignored()
	require.Empty(t, byColumn)
	require.Zero(t, others)
}

// However many names rows make up and however long they are, memory is bounded and nothing is lost
// from the counts; goroutines count together.
func TestIgnoredIsBounded(t *testing.T) {
	enc, err := rows.Compile(parse(t, ignoring), rows.IgnoreUnknownFields())
	require.NoError(t, err)
	long := strings.Repeat("n", 129)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 3000 {
				if _, err := enc.Append(nil, fmt.Appendf(nil, `{"n%d":1,"%s":2}`, i, long)); err != nil {
					panic(err)
				}
			}
		})
	}
	wg.Wait()
	byColumn, others := enc.Ignored()
	require.Len(t, byColumn, 1000)
	require.NotContains(t, byColumn, long)
	sum := others
	for _, n := range byColumn {
		sum += n
	}
	require.Equal(t, int64(4*3000*2), sum)
}

// The writer fetches the schema anew when a row has a field that the table lacks: it must be able to
// tell that from every other refusal.
func TestUnknownFieldIsRecognisable(t *testing.T) {
	enc := compileJSON(t, ignoring)
	_, err := enc.Append(nil, []byte(`{"r":[{"x":1},{"x":1,"new":2}]}`))
	e := asError(t, err)
	require.Equal(t, rows.Error{Kind: rows.UnknownField, Path: "r[1].new", Column: "r.new", Reason: "unknown field"}, *e)
	_, err = enc.Append(nil, []byte(`{"a":"new"}`))
	require.Equal(t, rows.BadValue, asError(t, err).Kind)
	require.Equal(t, "unknown field", rows.UnknownField.String())
	require.Equal(t, "too deep", rows.TooDeep.String())
	require.Equal(t, "Kind(99)", rows.Kind(99).String())
}
