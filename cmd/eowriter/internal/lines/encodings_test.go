package lines

import (
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

const table = "projects/p/datasets/d/tables/t"

func parse(t *testing.T, text string) *storagepb.TableSchema {
	t.Helper()
	schema, err := rows.ParseSchema([]byte(text))
	require.NoError(t, err)
	return schema
}

// A schema that comes back must be the one that files take, or they would go to and fro between two for ever.
func TestNewestEncoding(t *testing.T) {
	e := NewEncodings(table, nil, false)
	one := parse(t, `[{"name": "n", "type": "INTEGER"}]`)
	two := parse(t, `[{"name": "n", "type": "INTEGER"}, {"name": "c", "type": "STRING"}]`)
	first, err := e.Of(one, nil)
	require.NoError(t, err)
	second, err := e.Of(two, nil)
	require.NoError(t, err)
	require.Same(t, second, e.Newest())
	again, err := e.Of(parse(t, `[{"name": "n", "type": "INTEGER"}]`), nil)
	require.NoError(t, err)
	require.Same(t, first, again)
	require.Same(t, first, e.Newest())

	// The rows go by the encoder's descriptor, whoever derives it.
	every := parse(t, `[{"name": "i", "type": "INTERVAL"}, {"name": "ü", "type": "RECORD", "fields": [{"name": "r", "type": "RANGE", "rangeElementType": {"type": "DATE"}}]}]`)
	for _, fixed := range []bool{false, true} {
		e.fixed, e.all = fixed, nil
		got, err := e.Of(every, nil)
		require.NoError(t, err)
		require.True(t, proto.Equal(got.Enc.Descriptor(), got.Schema.Descriptor()))
	}
}

// A batch that is read again must be encoded for the schema that the writer asks for, and no file must be turned back
// to that.
func TestEncodeAgain(t *testing.T) {
	e := NewEncodings(table, nil, false)
	schema := func(columns string) *committed.Schema {
		s, err := committed.NewSchema(table, parse(t, columns), nil)
		require.NoError(t, err)
		return s
	}
	one, two := schema(`[{"name": "n", "type": "INTEGER"}]`), schema(`[{"name": "c", "type": "STRING"}]`)
	newest, err := e.Of(two.Table(), two)
	require.NoError(t, err)
	for _, s := range []*committed.Schema{one, two, one} {
		enc, err := e.again(s)
		require.NoError(t, err)
		require.True(t, proto.Equal(s.Descriptor(), enc.Descriptor()))
		require.Same(t, newest, e.Newest())
	}
	require.Len(t, e.all, 2)
	gone, err := committed.NewSchema(table, nil, one.Descriptor())
	require.NoError(t, err)
	_, err = e.again(gone)
	require.ErrorContains(t, err, "is not known any more")
}
