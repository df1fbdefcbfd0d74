package load

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/deadletter"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
)

func parse(t *testing.T, text string) *storagepb.TableSchema {
	t.Helper()
	ts, err := rows.ParseSchema([]byte(text))
	require.NoError(t, err)
	return ts
}

// startChanging starts a service whose table changes when the first append comes, or already when the first probe does:
// before anything is read but what an earlier run had bound.
func startChanging(t *testing.T, probe bool, before, after string, p emulator.Propagation) *emulator.Server {
	t.Helper()
	var s *emulator.Server
	var once sync.Once
	next := parse(t, after)
	s, err := emulator.Start(emulator.Options{
		Tables: map[string]*storagepb.TableSchema{table: parse(t, before), deadTable: parse(t, deadletter.Schema)}, Propagation: p,
		OnAppend: func(r emulator.Request) {
			if probe || r.Offset < 1<<62 {
				once.Do(func() {
					if err := s.AlterTable(table, next); err != nil {
						t.Error(err)
					}
				})
			}
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// When the table gets what the rows further on need, the load must go on without a restart, a dead letter or a row that
// lost its new column; also while the service's backends don't know the column yet.
func TestSchemaChangesWhileLoading(t *testing.T) {
	for name, c := range map[string]struct {
		before, after string
		late          string // the rows from the 60th on, with a number
		column        string // in all of them
		propagation   emulator.Propagation
	}{
		"a new column": {
			`[{"name": "n", "type": "INTEGER"}]`, `[{"name": "n", "type": "INTEGER"}, {"name": "c", "type": "STRING"}]`,
			`{"n": %d, "c": "new"}`, "c", emulator.Propagation{},
		},
		"a new column, late": {
			`[{"name": "n", "type": "INTEGER"}]`, `[{"name": "n", "type": "INTEGER"}, {"name": "c", "type": "STRING"}]`,
			`{"n": %d, "c": "new"}`, "c", emulator.Propagation{Delay: 300 * time.Millisecond},
		},
		"a new column inside": {
			`[{"name": "n", "type": "INTEGER"}, {"name": "r", "type": "RECORD", "fields": [{"name": "a", "type": "DATE"}]}]`,
			`[{"name": "n", "type": "INTEGER"}, {"name": "r", "type": "RECORD", "fields": [{"name": "a", "type": "DATE"}, {"name": "b", "type": "BOOLEAN"}]}]`,
			`{"n": %d, "r": {"b": true}}`, "r", emulator.Propagation{},
		},
		"a column that is not needed any more": {
			`[{"name": "n", "type": "INTEGER"}, {"name": "m", "type": "INTEGER", "mode": "REQUIRED"}]`,
			`[{"name": "n", "type": "INTEGER"}, {"name": "m", "type": "INTEGER", "mode": "NULLABLE"}]`,
			`{"n": %d}`, "n", emulator.Propagation{},
		},
		"a longer string": {
			`[{"name": "n", "type": "INTEGER"}, {"name": "s", "type": "STRING", "maxLength": 3}]`,
			`[{"name": "n", "type": "INTEGER"}, {"name": "s", "type": "STRING", "maxLength": 9}]`,
			`{"n": %d, "s": "longer"}`, "s", emulator.Propagation{},
		},
	} {
		for _, limit := range []Limit{{}, {Count: 10}} {
			t.Run(fmt.Sprintf("%s, %s dead letters", name, limit.String()), func(t *testing.T) {
				t.Parallel()
				s := startChanging(t, true, c.before, c.after, c.propagation)
				dir := t.TempDir()
				var text bytes.Buffer
				for i := range 60 {
					fmt.Fprintf(&text, "{\"n\": %d, \"m\": 1}\n", i)
				}
				if !bytes.Contains([]byte(c.before), []byte(`"m"`)) {
					text = *bytes.NewBuffer(bytes.ReplaceAll(text.Bytes(), []byte(`, "m": 1`), nil))
				}
				for i := 60; i < 120; i++ {
					fmt.Fprintf(&text, c.late+"\n", i)
				}
				require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), text.Bytes(), 0o600))
				opt := options(s, dir, "a")
				opt.MaxDead = limit
				r, err := Run(context.Background(), opt)
				require.NoError(t, err)
				requireRuns(t, s, 120)
				require.Equal(t, int64(120), r.RowsAppended+r.RowsConfirmed)
				for _, row := range s.Rows(table)[60:] {
					v, err := row.Values()
					require.NoError(t, err)
					require.Contains(t, v, c.column)
				}
			})
		}
	}
}

// Rows that are wrong in any schema must come out as dead letters, while those that only the new schema takes land: the
// service is asked about each column anew.
func TestGarbageWhileTheSchemaChanges(t *testing.T) {
	s := startChanging(t, false, `[{"name": "n", "type": "INTEGER"}]`, `[{"name": "n", "type": "INTEGER"}, {"name": "c", "type": "STRING"}]`, emulator.Propagation{})
	dir := t.TempDir()
	var text bytes.Buffer
	for i := range 200 {
		switch {
		case i%10 == 3:
			fmt.Fprintf(&text, "{\"n\": %d, \"garbage\": 1}\n", i)
		case i >= 60:
			fmt.Fprintf(&text, "{\"n\": %d, \"c\": \"new\"}\n", i)
		default:
			fmt.Fprintf(&text, "{\"n\": %d}\n", i)
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), text.Bytes(), 0o600))
	opt := options(s, dir, "a")
	opt.MaxDead, opt.DeadLetters = Limit{Count: 20}, filepath.Join(dir, "dead")
	r, err := Run(context.Background(), opt)
	require.NoError(t, err)
	require.Equal(t, int64(20), r.RowsDead)
	require.Equal(t, int64(180), r.RowsAppended+r.RowsConfirmed)
	require.Len(t, s.Rows(table), 180)
}

// With the user's own schema nothing is asked: what it doesn't have is refused.
func TestSchemaOfTheUserStays(t *testing.T) {
	s := startChanging(t, false, `[{"name": "n", "type": "INTEGER"}]`, `[{"name": "n", "type": "INTEGER"}, {"name": "c", "type": "STRING"}]`, emulator.Propagation{})
	dir := t.TempDir()
	write(t, dir, "a", 0, 60, `{"n": 60, "c": "new"}`, "")
	opt := options(s, dir, "a")
	opt.Schema = parse(t, `[{"name": "n", "type": "INTEGER"}]`)
	_, err := Run(context.Background(), opt)
	require.ErrorContains(t, err, "a: line 61: c: ")
	requireRuns(t, s, 60)
}

// The sum is what people believe: one that is wrong must be told, loudly.
func TestBalance(t *testing.T) {
	r := Report{RowsRead: 6, RowsAppended: 1, RowsConfirmed: 2, RowsDead: 3}
	require.NoError(t, r.balance())
	r.RowsDead--
	require.ErrorContains(t, r.balance(), "ROWS ARE UNACCOUNTED FOR: 6 rows read, but 1 appended, 2 confirmed and 2 dead")
}
