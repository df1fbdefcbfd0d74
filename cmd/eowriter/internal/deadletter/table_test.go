package deadletter

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

const deadTable = "projects/p/datasets/d/tables/dead"

func tableSchema(t require.TestingT, text string) *storagepb.TableSchema {
	ts, err := rows.ParseSchema([]byte(text))
	require.NoError(t, err)
	return ts
}

// withTable calls f with a table for letters, over and over with the same ledger and service.
func withTable(t *testing.T, s *emulator.Server, path string, f func(*Table)) {
	t.Helper()
	led, err := ledger.Open(path, nil)
	require.NoError(t, err)
	w, err := committed.Open(context.Background(), led, committed.Options{ClientOptions: s.ClientOptions()})
	require.NoError(t, err)
	table, err := OpenTable(w, deadTable, tableSchema(t, Schema))
	require.NoError(t, err)
	f(table)
	require.NoError(t, table.Close())
	require.NoError(t, w.Close(context.Background()))
	require.NoError(t, led.Close())
}

// numbers are those in the table, by partition, in order.
func numbers(t *testing.T, s *emulator.Server) map[int64][]int64 {
	t.Helper()
	got := map[int64][]int64{}
	for _, row := range s.Rows(deadTable) {
		v, err := row.Values()
		require.NoError(t, err)
		id := v["partition_id"].(int64)
		got[id] = append(got[id], v["number"].(int64))
	}
	return got
}

// A letter that the table has must not come again after a crash that left it in the ledger, nor one be left out.
func TestTableHasEachOnce(t *testing.T) {
	s, err := emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{deadTable: tableSchema(t, Schema)}})
	require.NoError(t, err)
	defer s.Close()
	path := filepath.Join(t.TempDir(), "ledger")
	ctx := context.Background()
	withTable(t, s, path, func(table *Table) {
		require.NoError(t, table.Put(ctx, letters(1, 1, 3)))
		require.NoError(t, table.Put(ctx, letters(2, 5, 6)))
		require.NoError(t, table.Put(ctx, letters(1, 1, 3)))
	})
	withTable(t, s, path, func(table *Table) {
		require.NoError(t, table.Put(ctx, letters(1, 2, 4)))
		require.NoError(t, table.Put(ctx, letters(2, 6, 7)))
	})
	require.Equal(t, map[int64][]int64{1: {1, 2, 3, 4}, 2: {5, 6, 7}}, numbers(t, s))
	text, err := s.Rows(deadTable)[0].JSON()
	require.NoError(t, err)
	require.JSONEq(t, `{"ledger":"l","partition_id":1,"number":1,"table":"p.d.t","partition_name":"a","before":"start",
		"after":"line 7, byte 9","row":0,"refused_by":"encoder","reason":"x: unknown field","refused_at":1767323045000006,
		"record":"row 1\nof 1\u0000 <&>"}`, string(text))
}

// Many and large letters must be cut into appends that the service takes; one that it can't take must be an error that
// says what to do, not lost.
func TestTableOfLargeLetters(t *testing.T) {
	s, err := emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{deadTable: tableSchema(t, Schema)}})
	require.NoError(t, err)
	defer s.Close()
	withTable(t, s, filepath.Join(t.TempDir(), "ledger"), func(table *Table) {
		large := letters(1, 1, 4)
		text := strings.Repeat("x", 3<<20)
		for i := range large {
			large[i].Record = &text
		}
		require.NoError(t, table.Put(context.Background(), large))
		huge := letters(1, 5, 5)
		text = strings.Repeat("x", 12<<20)
		huge[0].Record = &text
		err := table.Put(context.Background(), huge)
		require.ErrorIs(t, err, committed.ErrTooLarge)
		require.ErrorContains(t, err, "have it delivered to a file")
	})
	require.Equal(t, map[int64][]int64{1: {1, 2, 3, 4}}, numbers(t, s))
}

// A table that can't take letters must be refused with all that is wrong, before a row is loaded.
func TestTableFits(t *testing.T) {
	with := func(more string) string { return strings.TrimSuffix(strings.TrimSpace(Schema), "]") + "," + more + "]" }
	for name, c := range map[string]struct{ schema, wrong string }{
		"as documented":        {Schema, ""},
		"another column":       {with(`{"name": "x", "type": "STRING"}`), ""},
		"upper case":           {strings.Replace(Schema, `"reason"`, `"REASON"`, 1), ""},
		"nullable":             {strings.ReplaceAll(Schema, "REQUIRED", "NULLABLE"), ""},
		"a required column":    {with(`{"name": "x", "type": "STRING", "mode": "REQUIRED"}`), "its column x is REQUIRED, and no letter has it"},
		"record required":      {strings.Replace(Schema, `"record", "type": "STRING", "mode": "NULLABLE"`, `"record", "type": "STRING", "mode": "REQUIRED"`, 1), "its column record is REQUIRED, not NULLABLE"},
		"repeated":             {strings.Replace(Schema, `"reason", "type": "STRING", "mode": "REQUIRED"`, `"reason", "type": "STRING", "mode": "REPEATED"`, 1), "its column reason is REPEATED, not REQUIRED"},
		"another type":         {strings.Replace(Schema, `"number", "type": "INTEGER"`, `"number", "type": "STRING"`, 1), "its column number is STRING, not INT64"},
		"a max length":         {strings.Replace(Schema, `"reason",`, `"reason", "maxLength": 100,`, 1), "its column reason has a max length"},
		"missing, and another": {strings.Replace(strings.Replace(Schema, `"schema"`, `"x"`, 1), `"row"`, `"y"`, 1), "it has no column row, it has no column schema, its column y is REQUIRED, and no letter has it"},
	} {
		err := fits(tableSchema(t, c.schema))
		if c.wrong == "" {
			require.NoError(t, err, name)
		} else {
			require.EqualError(t, err, c.wrong, name)
		}
	}
}
