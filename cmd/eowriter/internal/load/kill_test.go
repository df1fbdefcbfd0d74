package load

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/deadletter"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/stretchr/testify/require"
)

// A kill at any step of a batch, of a stream and of a letter must lose and repeat nothing: the table and the delivered
// letters together are the input, each row once, for a file, which can be read again, and standard input, which can't.
func TestKillWithDeadLetters(t *testing.T) {
	var points []child
	for _, step := range committed.Steps {
		if step == committed.B4 {
			continue // the service's
		}
		points = append(points, child{Step: string(step), Nth: 1}, child{Step: string(step), Done: true, Nth: 2})
	}
	for _, toTable := range []bool{false, true} {
		all := points
		if toTable {
			for _, c := range points {
				if c.Step[0] != 'R' {
					c.Step = "letters' " + c.Step
					all = append(slices.Clip(all), c)
				}
			}
		}
		for _, step := range deliverySteps(toTable) {
			all = append(slices.Clip(all), child{Step: string(step), Done: true, Nth: 1}, child{Step: string(step), Done: true, Nth: 3})
		}
		for _, c := range all {
			t.Run(fmt.Sprintf("table %v, %v", toTable, c), func(t *testing.T) {
				t.Parallel()
				testKill(t, c, toTable)
			})
		}
	}
}

func testKill(t *testing.T, c child, toTable bool) {
	s, c, stdin := withDeadLetters(t, c, toTable)
	requireAllOnce(t, s, c.toTheEnd(t, s, stdin))
}

// A writer that is killed at its first delivery each time it starts must get on, and deliver each letter once. At each
// step of a letter writers are killed at least twenty times.
func TestKillAtEachDelivery(t *testing.T) {
	for _, toTable := range []bool{false, true} {
		for _, step := range deliverySteps(toTable) {
			t.Run(fmt.Sprintf("table %v, %s", toTable, step), func(t *testing.T) {
				t.Parallel()
				for kills := 0; kills < 20; {
					s, c, stdin := withDeadLetters(t, child{Step: string(step), Done: true, Nth: 1}, toTable)
					for range 8 {
						_, killed := c.run(t, stdin)
						if !killed {
							break
						}
						kills++
					}
					requireAllOnce(t, s, c.finish(t, s, stdin))
				}
			})
		}
	}
}

// deliverySteps are those of a letter.
func deliverySteps(toTable bool) []deadletter.Step {
	if toTable {
		return []deadletter.Step{deadletter.D1, deadletter.D4} // between them it is a batch
	}
	return []deadletter.Step{deadletter.D1, deadletter.D2, deadletter.D3, deadletter.D4}
}

// withDeadLetters returns a load of a file and of standard input, rows of which are refused.
func withDeadLetters(t *testing.T, c child, toTable bool) (s *emulator.Server, _ child, stdin []byte) {
	narrow, err := rows.ParseSchema([]byte(`[{"name": "n", "type": "INTEGER"}, {"name": "s", "type": "STRING", "maxLength": 3}]`))
	require.NoError(t, err)
	dead, err := rows.ParseSchema([]byte(deadletter.Schema))
	require.NoError(t, err)
	s, err = emulator.Start(emulator.Options{Tables: map[string]*storagepb.TableSchema{table: narrow, deadTable: dead}})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	dir := t.TempDir()
	file := filepath.Join(dir, "a")
	require.NoError(t, os.WriteFile(file, dirty(0, 120), 0o600))
	c.Addr, c.Ledger, c.Files = s.Addr(), filepath.Join(dir, "ledger"), []string{file, source.Stdin}
	if toTable {
		c.Table = deadTable
	} else {
		c.File = filepath.Join(dir, "dead")
	}
	return s, c, dirty(1000, 60)
}

// requireAllOnce compares the table and the letters with what withDeadLetters has loaded.
func requireAllOnce(t *testing.T, s *emulator.Server, letters []deadletter.Record) {
	t.Helper()
	requireEachOnce(t, s, letters, func(i int) string {
		switch {
		case i%7 == 3:
			return "encoder"
		case i%11 == 5:
			return "service"
		}
		return "landed"
	})
}

// A kill while the table's schema changes, with batches of both schemas open, must lose and repeat nothing, and no row
// may lose its new column.
func TestKillWhileTheSchemaChanges(t *testing.T) {
	for _, step := range committed.Steps {
		for _, nth := range []int{1, 4, 9} {
			if step == committed.B4 || step[0] == 'R' || step[0] == 'O' && nth > 1 {
				continue
			}
			c := child{Step: string(step), Done: nth != 4, Nth: nth, Discover: true}
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				s := startChanging(t, true, `[{"name": "n", "type": "INTEGER"}]`, `[{"name": "n", "type": "INTEGER"}, {"name": "c", "type": "STRING"}]`,
					emulator.Propagation{Delay: 20 * time.Millisecond})
				dir := t.TempDir()
				lines := func(start, n int) []byte {
					text := bytes.Split(dirty(start, n), []byte("\n"))
					for i := range text[:n] {
						text[i] = bytes.ReplaceAll(text[i], []byte(`, "s": "too long"`), nil)
						if i < n/2 { // nothing that the service would be asked about
							text[i] = bytes.ReplaceAll(text[i], []byte(`, "bad": true`), nil)
						} else {
							text[i] = bytes.ReplaceAll(text[i], []byte(`}`), []byte(`, "c": "new"}`))
						}
					}
					return bytes.Join(text, []byte("\n"))
				}
				c.Addr, c.Ledger, c.File = s.Addr(), filepath.Join(dir, "ledger"), filepath.Join(dir, "dead")
				c.Files = []string{filepath.Join(dir, "a"), source.Stdin}
				require.NoError(t, os.WriteFile(c.Files[0], lines(0, 120), 0o600))
				letters := c.toTheEnd(t, s, lines(1000, 60))
				requireEachOnce(t, s, letters, func(i int) string {
					if i%7 == 3 && (i >= 60 && i < 1000 || i >= 1030) {
						return "encoder"
					}
					return "landed"
				})
				for _, row := range s.Rows(table) {
					v, err := row.Values()
					require.NoError(t, err)
					if n := v["n"].(int64); n >= 60 && n < 1000 || n >= 1030 {
						require.Equal(t, "new", v["c"])
					}
				}
			})
		}
	}
}
