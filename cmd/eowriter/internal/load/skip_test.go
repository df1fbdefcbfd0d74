package load

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
)

// A kill while a batch is skipped must neither lose nor repeat a row of it, in the table or among the letters, for a file
// and for standard input.
func TestKillWhileSkipping(t *testing.T) {
	for _, step := range []committed.Step{committed.O3, committed.R1, committed.R2, committed.R3, committed.R4, committed.R5, committed.B6, "D1", "D3", "D4"} {
		for _, done := range []bool{false, true} {
			if step[0] == 'D' && !done {
				continue // they are only told when they are done
			}
			c := child{Step: string(step), Done: done, Nth: 1}
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				testKillWhileSkipping(t, c)
			})
		}
	}
}

func testKillWhileSkipping(t *testing.T, c child) {
	narrow, err := rows.ParseSchema([]byte(`[{"name": "n", "type": "INTEGER"}, {"name": "s", "type": "STRING", "maxLength": 3}]`))
	require.NoError(t, err)
	var s *emulator.Server
	var full atomic.Bool // until then no append is taken, only probes
	s, err = emulator.Start(emulator.Options{
		Tables: map[string]*storagepb.TableSchema{table: narrow},
		OnAppend: func(r emulator.Request) {
			if r.Offset < 1<<62 && !full.Load() {
				s.Inject(emulator.Fault{Kind: emulator.CloseBefore, Stream: r.Stream})
			}
		},
	})
	require.NoError(t, err)
	defer s.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "a")
	require.NoError(t, os.WriteFile(file, dirty(0, 120), 0o600))
	stdin := dirty(1000, 60)
	c.Addr, c.Ledger, c.File, c.Files = s.Addr(), filepath.Join(dir, "ledger"), filepath.Join(dir, "dead"), []string{file, source.Stdin}

	// The windows of both are full, and nothing has landed.
	first := c
	first.Step, first.Done, first.Nth = string(committed.B2), true, 8
	_, killed := first.run(t, stdin)
	require.True(t, killed)
	full.Store(true)
	s.ClearFaults()
	skipped := skipSecond(t, c.Ledger)
	require.Len(t, skipped, 2)

	letters := c.toTheEnd(t, s, stdin)
	requireEachOnce(t, s, letters, func(i int) string {
		switch {
		case i%7 == 3:
			return "encoder"
		case i%11 == 5 || skipped[i/10*10]:
			return "service"
		}
		return "landed"
	})
	for _, l := range letters {
		if l.RefusedBy == "service" && strings.HasPrefix(l.Before, "line 10,") { // the second batch
			require.Equal(t, "skipped", l.Reason)
		}
	}
}

// skipSecond has the second open batch of each partition skipped, and says with which rows they begin.
func skipSecond(t *testing.T, path string) map[int]bool {
	led, err := ledger.Open(path, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, led.Close()) }()
	parts, err := led.Partitions()
	require.NoError(t, err)
	skipped := map[int]bool{}
	for _, p := range parts {
		_, open, err := led.Partition(p.Key)
		require.NoError(t, err)
		done := make(chan error, 1)
		led.Skip(p.ID, p.Epoch, open[1].Number, "skipped", func(err error) { done <- err })
		require.NoError(t, <-done)
		at, err := source.ParsePosition(open[1].Before)
		require.NoError(t, err)
		first := int(at.Rows)
		if p.Mode == ledger.Frozen {
			first += 1000
		}
		skipped[first] = true
	}
	return skipped
}
