package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// managedwriter keeps one asleep for 20 s after each connection; it can't be told to stop.
		goleak.IgnoreAnyFunction("cloud.google.com/go/bigquery/storage/managedwriter.(*connection).getStream.func1"),
		goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"),
	)
}

func newTelemetry(t testing.TB, endpoint string) *Telemetry {
	tel, err := New(context.Background(), Options{Endpoint: endpoint, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { _ = tel.Close(context.Background()) }) // with an endpoint that isn't there it says so
	return tel
}

func (t *Telemetry) text() string {
	w := httptest.NewRecorder()
	t.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func keyOf(n int) ledger.Key {
	return ledger.Key{Table: fmt.Sprintf("projects/p/datasets/d/tables/t%d", n), Name: "a"}
}

// If it fails, a program with thousands of tables makes thousands of series, or some of its rows aren't counted.
func TestManyTables(t *testing.T) {
	tel := newTelemetry(t, "")
	w, in := tel.Writer(), tel.Ingest()
	for n := range 3 * maxTables {
		w.Landed(keyOf(n), committed.Ack{Rows: 2})
		in.Accepted(keyOf(n), false)
	}
	text := tel.text()
	require.Equal(t, maxTables+1, strings.Count(text, "eowriter_rows_landed_total{"))
	require.Equal(t, maxTables+1, strings.Count(text, "eowriter_appends_accepted_total{"))
	require.Contains(t, text, `eowriter_rows_landed_total{table="p.d.t0"} 2`)
	require.Contains(t, text, fmt.Sprintf(`eowriter_rows_landed_total{table="(others)"} %d`, 2*2*maxTables))
}

// If it fails, an alert that looks for an increase misses the first of its kind.
func TestCountersBeginAtZero(t *testing.T) {
	text := newTelemetry(t, "").text()
	for _, series := range []string{
		`eowriter_appends_refused_total{reason="halted"}`, `eowriter_connections_broken_total{answer="transient"}`,
		`eowriter_requests_total{repeated="true"}`, `eowriter_streams_created_total`,
	} {
		require.Contains(t, text, series+" 0\n")
	}
}

// If it fails, a name is cut wrong in two, or an event is counted as another.
func TestEventsAreCounted(t *testing.T) {
	tel := newTelemetry(t, "")
	w := tel.Writer()
	w.Answered(keyOf(0), committed.Answered{Class: retry.OutOfRange, Verdict: recovery.Acked}) // a probe's
	w.Answered(keyOf(0), committed.Answered{Class: retry.Transient, Broken: true})
	w.Answered(keyOf(0), committed.Answered{Class: retry.Gone, Verdict: recovery.InDoubt, Append: true, Broken: true})
	w.Sealed(keyOf(0), 1, ledger.Seal{Reason: ledger.TakeOver})
	w.Step(committed.StepEvent{Step: committed.R1})
	w.Step(committed.StepEvent{Step: committed.R1, Done: true})
	tel.Refused(eowriterv1.Reason_REASON_TOO_MANY_PARTITIONS)
	tel.Refused(eowriterv1.Reason_REASON_UNSPECIFIED) // never sent
	tel.Committed(ledger.Commit{Writes: 7, Took: 30 * time.Millisecond})
	text := tel.text()
	for _, line := range []string{
		`eowriter_answers_total{answer="gone",verdict="in_doubt"} 1`, `eowriter_connections_broken_total{answer="transient"} 1`,
		`eowriter_connections_broken_total{answer="gone"} 1`, `eowriter_streams_replaced_total{reason="take_over"} 1`,
		`eowriter_streams_created_total 1`, `eowriter_appends_refused_total{reason="too_many_partitions"} 1`,
		`eowriter_ledger_commit_writes_sum 7`, `eowriter_ledger_commit_duration_seconds_bucket{le="0.05"} 1`,
		`eowriter_ledger_commit_duration_seconds_bucket{le="0.025"} 0`,
	} {
		require.Contains(t, text, line+"\n")
	}
	require.Equal(t, 1, strings.Count(text, "eowriter_answers_total{"), "only answers to appends")
}

// If it fails, tracing costs something when nobody wants traces.
func TestNoTraces(t *testing.T) {
	tel := newTelemetry(t, "")
	require.Nil(t, tel.Ingest().Begin)
	next := http.NewServeMux()
	require.Same(t, next, tel.Continue(next))
	// Nor does an append that isn't sampled.
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	require.Nil(t, newTelemetry(t, "http://127.0.0.1:1").Ingest().Begin(context.Background(), keyOf(0), 1))
}

// oneAppend returns what tells of an append as ingest, writer and ledger do, if it has a batch and two commits for itself.
func oneAppend(tel *Telemetry) func() {
	in, w := tel.Ingest(), tel.Writer()
	key, ack := keyOf(0), committed.Ack{Rows: 1}
	return func() {
		in.Accepted(key, false)
		w.Sent(key, ledger.Intent{}, false)
		in.Stored(key, time.Millisecond)
		w.Answered(key, committed.Answered{Class: retry.OK, Verdict: recovery.Acked, Append: true})
		w.Landed(key, ack)
		in.Landed(key, 100, 2*time.Millisecond)
		tel.Committed(ledger.Commit{Writes: 1, Took: time.Millisecond})
		tel.Committed(ledger.Commit{Writes: 1, Took: time.Millisecond})
		for _, s := range []committed.Step{committed.B1, committed.B2, committed.B3, committed.B5, committed.B6, committed.B7} {
			w.Step(committed.StepEvent{Key: key, Step: s})
			w.Step(committed.StepEvent{Key: key, Step: s, Done: true})
		}
	}
}

// If it fails, each append makes garbage for metrics, or for traces that nobody wants.
func TestAllocatesNothing(t *testing.T) {
	one := oneAppend(newTelemetry(t, ""))
	one()
	require.Zero(t, testing.AllocsPerRun(1000, one))
}

func BenchmarkAppend(b *testing.B) {
	one := oneAppend(newTelemetry(b, ""))
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
}
