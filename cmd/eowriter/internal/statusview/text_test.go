package statusview

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/rivo/uniseg"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func at(ago time.Duration) *timestamppb.Timestamp { return timestamppb.New(noon.Add(-ago)) }

func aView() *View {
	return &View{
		Target: "run/s", More: 1200,
		Status: &eowriterv1.GetStatusResponse{
			Now: at(0), Started: at(3*time.Hour + 2*time.Minute), Build: &eowriterv1.Build{Version: "v1.2.3"},
			Ledger: &eowriterv1.LedgerStatus{Path: "/var/lib/eowriter/l", Incarnation: 7, FileBytes: 3 << 19, SegmentBytes: 64 << 20,
				CommitsPerSecond: 33.3, CommitP50: durationpb.New(2 * time.Millisecond), CommitP99: durationpb.New(9 * time.Millisecond)},
			Room: &eowriterv1.Room{Bytes: 5 << 20, MaxBytes: 64 << 20, Appends: 40, MaxAppends: 2000, Partitions: 1203, MaxPartitions: 10000},
			Totals: &eowriterv1.Totals{
				States:    []*eowriterv1.StateCount{{State: eowriterv1.State_STATE_OPEN, Partitions: 1201}, {State: eowriterv1.State_STATE_HALTED, Partitions: 1}},
				Attention: []*eowriterv1.AttentionCount{{Attention: eowriterv1.Attention_ATTENTION_HALTED, Partitions: 1}},
				Rows:      1234567, DeadRows: 12, LettersWaiting: 3, InFlight: 1, Oldest: at(90 * time.Second),
			},
			Pace: &eowriterv1.Pace{RowsPerSecond: 1234.4, BytesPerSecond: 3.4e6, AppendsPerSecond: 4.24, LandedP50: durationpb.New(12 * time.Millisecond), LandedP99: durationpb.New(80 * time.Millisecond)},
		},
		Partitions: []*eowriterv1.PartitionStatus{
			{Attention: eowriterv1.Attention_ATTENTION_HALTED, Partition: &eowriterv1.Partition{Table: "p.d.t", Partition: "b\u202e\x1b[2J", State: eowriterv1.State_STATE_HALTED, Error: "fenced\nagain", Oldest: at(90 * time.Second)}},
			{Attention: eowriterv1.Attention_ATTENTION_WAITING, Partition: &eowriterv1.Partition{Table: "p.d.t", Partition: "c", State: eowriterv1.State_STATE_WAITING, Error: "no permission", RetryAt: at(-4 * time.Second)}},
			{RowsPerSecond: 0.34, Partition: &eowriterv1.Partition{Table: "p.d.t", Partition: "東京", State: eowriterv1.State_STATE_OPEN, Rows: 1000, OpenAppends: 2, Oldest: at(50 * time.Millisecond), Position: "1\t000"}},
		},
	}
}

// If it fails, what needs a person isn't what is seen first, or somebody's name for a partition writes on the terminal.
func TestLines(t *testing.T) {
	var all []string
	for _, l := range aView().Lines() {
		all = append(all, l.Text)
	}
	require.Equal(t, strings.TrimPrefix(`
eowriter v1.2.3 at run/s, up 3h02m

halted    b\u202e\x1b[2J of p.d.t, an append waits for 1m30s: fenced\nagain
waiting   c of p.d.t, tried again in 4s: no permission
to resolve it: stop the sidecar, then eowriter ledger show /var/lib/eowriter/l

landed      1,234,567 rows, 12 dead letters (3 in the ledger)
pace        1,234 rows/s, 3.2 MiB/s, 4.2 appends/s, landed within 12ms (half), 80ms (99%)
on its way  40 of 2,000 appends, 5.0 MiB of 64.0 MiB, 1 request in flight; the oldest for 1m30s
partitions  1,203 of 10,000 at most: 1,201 open, 1 halted
ledger      /var/lib/eowriter/l, opened 7 times, 1.5 MiB, rows 64.0 MiB, 33 commits/s, each within 2ms (half), 9ms (99%)

PARTITION  TABLE  STATE  ROWS/S  OPEN  OLDEST  ROWS   POSITION
東京       p.d.t  open   0.3     2     50ms    1,000  1\t000
and 1,200 more`, "\n"), strings.Join(all, "\n"))
	v := aView()
	v.Status.Ledger.Error = "disk full"
	require.Contains(t, v.Lines()[2].Text, "the ledger has failed")
	require.False(t, v.Fine())
}

// If it fails, a name makes a line of the terminal overflow, and every one below it is out of place; or it does something there.
func TestPropertyLinesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := aView()
		for _, s := range v.Partitions {
			s.Partition.Partition = rapid.String().Draw(t, "partition")
			s.Partition.Error = rapid.String().Draw(t, "error")
			s.Partition.Position = rapid.String().Draw(t, "position")
		}
		width := rapid.IntRange(1, 200).Draw(t, "width")
		s := &Screen{}
		for _, l := range v.Lines() {
			text := s.line(l, width)
			require.LessOrEqual(t, uniseg.StringWidth(text), width, "%q", text)
			for _, r := range text {
				require.True(t, unicode.IsPrint(r), "%q", text)
			}
		}
	})
}

// If it fails, a script that asks with --check goes on although rows wait, or is stopped by another table's.
func TestFine(t *testing.T) {
	v := aView()
	require.False(t, v.Fine())
	v.Table = "p.d.t"
	require.False(t, v.Fine())
	v.Partitions = v.Partitions[2:]
	require.True(t, v.Fine())
	v.Table, v.Status.Totals.Attention = "", nil
	require.True(t, v.Fine())
}

// If it fails, whoever watches isn't told that what is seen is old, or that the sidecar was away.
func TestWatcher(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var out strings.Builder
		w := watcher{screen: &Screen{Out: &out}}
		if terminal {
			w.screen.Size = func() (int, int) { return 120, 40 }
		}
		shown := func(v *View, err error, later time.Duration) string {
			out.Reset()
			require.NoError(t, w.show(v, err, noon.Add(later)))
			return out.String()
		}
		v := aView()
		require.Contains(t, shown(nil, errors.New("not reached"), 0), "since 12:00:00: not reached")
		require.Contains(t, shown(v, nil, time.Second), "reached again at 12:00:01")
		require.Contains(t, shown(nil, errors.New("not reached"), 2*time.Second), "since 12:00:02: not reached")
		again := shown(nil, errors.New("not reached"), 3*time.Second)
		if terminal {
			require.Contains(t, again, "since 12:00:02: not reached")
			require.Contains(t, again, "1,234,567 rows", "what was known last")
		} else {
			require.Empty(t, again)
		}
		anew := aView()
		anew.Status.Started = at(-4 * time.Second)
		require.Contains(t, shown(anew, nil, 5*time.Second), "the sidecar was started anew at ")
	}
}
