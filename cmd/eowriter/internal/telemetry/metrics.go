package telemetry

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// instruments are what events are counted with. Names and units are OpenTelemetry's; Prometheus has them as
// docs/metrics.md says.
type instruments struct {
	meter  metric.Meter
	err    error // of what was made so far
	tables *tables

	durations *durations
	refused   metric.Int64Counter
	reasons   labels[eowriterv1.Reason]

	requests, answers, waits, opened, broken, created, replaced metric.Int64Counter
	first, again                                                *label

	commit metric.Float64Histogram
	writes metric.Int64Histogram
}

var (
	commits = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	groups  = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}
)

// background is for instruments, which want a context and don't need it.
var background = context.Background()

func newInstruments(meter metric.Meter, d *durations) (*instruments, error) {
	m := &instruments{meter: meter, tables: newTables(), durations: d}
	m.refused = m.counter("eowriter.appends.refused", "{append}", "Appends that were answered with an error, by its reason.")
	m.countTables()

	m.requests = m.counter("eowriter.requests", "{request}", "Requests to BigQuery with rows, the first of a batch or repeated.")
	m.answers = m.counter("eowriter.answers", "{answer}", "What came back for requests with rows, and what it was judged to mean.")
	m.waits = m.counter("eowriter.waits", "{wait}", "Waits of partitions before they try again.")
	m.opened = m.counter("eowriter.connections.opened", "{connection}", "Connections to write streams that were opened.")
	m.broken = m.counter("eowriter.connections.broken", "{connection}", "Connections that the service or the network ended, by what came back.")
	m.created = m.counter("eowriter.streams.created", "{stream}", "Write streams that were created.")
	m.replaced = m.counter("eowriter.streams.replaced", "{stream}", "Write streams that were sealed to be replaced, by the reason.")

	m.commit = m.seconds("eowriter.ledger.commit.duration", commits, "How long a commit of the ledger took.")
	var err error
	m.writes, err = meter.Int64Histogram("eowriter.ledger.commit.writes", metric.WithUnit("{write}"), metric.WithDescription("Writes that shared a commit of the ledger."),
		metric.WithExplicitBucketBoundaries(groups...))
	m.err = errors.Join(m.err, err)

	m.first, m.again = labelOf(attribute.Bool("repeated", false)), labelOf(attribute.Bool("repeated", true))
	m.begin()
	return m, m.err
}

// begin has counters show 0: a first event is an increase then.
func (m *instruments) begin() {
	var reasons []eowriterv1.Reason
	for r := range eowriterv1.Reason_name {
		if r != 0 {
			reasons = append(reasons, eowriterv1.Reason(r))
		}
	}
	m.reasons = newLabels("reason", reasons, reasonText)
	for _, l := range m.reasons {
		m.refused.Add(background, 0, l.add...)
	}
	m.requests.Add(background, 0, m.first.add...)
	m.requests.Add(background, 0, m.again.add...)
	m.opened.Add(background, 0)
	m.created.Add(background, 0)
	m.broken.Add(background, 0, answerLabel(retry.Transient))
	for kind := range waitNames {
		m.waits.Add(background, 0, metric.WithAttributes(attribute.String("kind", waitNames[kind])))
	}
	for _, reason := range []ledger.Reason{ledger.RowErrors, ledger.TooLarge, ledger.TakeOver, ledger.Aging} {
		m.replaced.Add(background, 0, metric.WithAttributes(attribute.String("reason", word(reason.String()))))
	}
}

// countTables has what is counted by table looked up.
func (m *instruments) countTables() {
	observed := func(name, unit, description string, of func(*table) *atomic.Int64) {
		_, err := m.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description),
			metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
				m.tables.each(func(t *table) { o.Observe(of(t).Load(), t.observe...) })
				return nil
			}))
		m.err = errors.Join(m.err, err)
	}
	observed("eowriter.appends.accepted", "{append}", "Appends that were accepted from producers.",
		func(t *table) *atomic.Int64 { return &t.accepted })
	observed("eowriter.appends.duplicate", "{append}", "Repeated appends that were answered with the result of the first.",
		func(t *table) *atomic.Int64 { return &t.duplicates })
	observed("eowriter.rows.landed", "{row}", "Rows that have landed.", func(t *table) *atomic.Int64 { return &t.rows })
	observed("eowriter.rows.dead", "{row}", "Rows that became dead letters.", func(t *table) *atomic.Int64 { return &t.dead })
	observed("eowriter.landed", "By", "Bytes of the rows that have landed, encoded.", func(t *table) *atomic.Int64 { return &t.bytes })
}

func (m *instruments) counter(name, unit, description string) metric.Int64Counter {
	c, err := m.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	m.err = errors.Join(m.err, err)
	return c
}

func (m *instruments) seconds(name string, buckets []float64, description string) metric.Float64Histogram {
	h, err := m.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(buckets...))
	m.err = errors.Join(m.err, err)
	return h
}

// Committed is for ledger.Options.
func (t *Telemetry) Committed(c ledger.Commit) {
	t.metrics.commit.Record(background, c.Took.Seconds())
	t.metrics.writes.Record(background, int64(c.Writes))
}

// Refused counts an append that was answered with an error.
func (t *Telemetry) Refused(reason eowriterv1.Reason) {
	if l := t.metrics.reasons[reason]; l != nil {
		t.metrics.refused.Add(background, 1, l.add...)
	}
}

// Ingest is for ingest.Options.
func (t *Telemetry) Ingest() ingest.Events {
	m := t.metrics
	e := ingest.Events{
		Accepted: func(key ledger.Key, duplicate bool) {
			t := m.tables.of(key.Table)
			if duplicate {
				t.duplicates.Add(1)
			} else {
				t.accepted.Add(1)
			}
		},
		Stored: func(_ ledger.Key, took time.Duration) { m.durations.stored.record(took) },
		Landed: func(key ledger.Key, bytes int64, took time.Duration) {
			m.tables.of(key.Table).bytes.Add(bytes)
			m.durations.landed.record(took)
		},
	}
	if t.tracer != nil {
		e.Begin = t.begin
	}
	return e
}

// Writer is for committed.Options.
func (t *Telemetry) Writer() committed.Events {
	m := t.metrics
	return committed.Events{
		Step: func(e committed.StepEvent) {
			if e.Done && (e.Step == committed.O1 || e.Step == committed.R1) {
				m.created.Add(background, 1)
			}
		},
		Sent: func(_ ledger.Key, _ ledger.Intent, again bool) {
			l := m.first
			if again {
				l = m.again
			}
			m.requests.Add(background, 1, l.add...)
		},
		Connected: func(ledger.Key) { m.opened.Add(background, 1) },
		Answered:  m.answered,
		Landed: func(key ledger.Key, ack committed.Ack) {
			t := m.tables.of(key.Table)
			t.rows.Add(ack.Rows)
			t.dead.Add(int64(ack.Dead))
		},
		Waiting: func(_ ledger.Key, kind recovery.WaitKind, _ int, _ time.Duration) {
			m.waits.Add(background, 1, metric.WithAttributes(attribute.String("kind", waitNames[kind])))
		},
		Sealed: func(_ ledger.Key, _ uint64, seal ledger.Seal) {
			m.replaced.Add(background, 1, metric.WithAttributes(attribute.String("reason", word(seal.Reason.String()))))
		},
	}
}

// landedAnswer is what nearly all answers are.
var landedAnswer = labelOf(attribute.String("answer", retry.OK.String()), attribute.String("verdict", word(recovery.Acked.String())))

func (m *instruments) answered(_ ledger.Key, a committed.Answered) {
	if a.Broken {
		m.broken.Add(background, 1, answerLabel(a.Class))
	}
	switch {
	case !a.Append || a.Verdict == 0:
	case a.Class == retry.OK && a.Verdict == recovery.Acked:
		m.answers.Add(background, 1, landedAnswer.add...)
	default:
		m.answers.Add(background, 1, metric.WithAttributes(attribute.String("answer", a.Class.String()), attribute.String("verdict", word(a.Verdict.String()))))
	}
}

func answerLabel(c retry.Class) metric.AddOption {
	return metric.WithAttributes(attribute.String("answer", c.String()))
}

var waitNames = map[recovery.WaitKind]string{recovery.Backoff: "backoff", recovery.Lag: "lag", recovery.Propagation: "propagation"}
