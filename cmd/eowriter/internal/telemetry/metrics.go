package telemetry

import (
	"context"
	"errors"
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

	accepted, duplicates, rows, dead, bytes metric.Int64Counter // by table
	refused                                 metric.Int64Counter
	reasons                                 labels[eowriterv1.Reason]
	duration                                metric.Float64Histogram
	landed, stored                          *label

	requests, answers, waits, opened, broken, created, replaced metric.Int64Counter
	first, again                                                *label

	commit metric.Float64Histogram
	writes metric.Int64Histogram
}

var (
	latencies = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	commits   = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	groups    = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}
)

// background is for instruments, which want a context and don't need it.
var background = context.Background()

func newInstruments(meter metric.Meter) (*instruments, error) {
	m := &instruments{meter: meter, tables: newTables()}
	m.accepted = m.counter("eowriter.appends.accepted", "{append}", "Appends that were accepted from producers.")
	m.duplicates = m.counter("eowriter.appends.duplicate", "{append}", "Repeated appends that were answered with the result of the first.")
	m.refused = m.counter("eowriter.appends.refused", "{append}", "Appends that were answered with an error, by its reason.")
	m.duration = m.seconds("eowriter.append.duration", latencies, "From accepting an append until it was stored or had landed.")
	m.rows = m.counter("eowriter.rows.landed", "{row}", "Rows that have landed.")
	m.dead = m.counter("eowriter.rows.dead", "{row}", "Rows that became dead letters.")
	m.bytes = m.counter("eowriter.landed", "By", "Bytes of the rows that have landed, encoded.")

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

	m.landed, m.stored = labelOf(attribute.String("acknowledge", "landed")), labelOf(attribute.String("acknowledge", "stored"))
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
			c := m.accepted
			if duplicate {
				c = m.duplicates
			}
			c.Add(background, 1, m.tables.of(key.Table).add...)
		},
		Stored: func(_ ledger.Key, took time.Duration) {
			m.duration.Record(background, took.Seconds(), m.stored.record...)
		},
		Landed: func(key ledger.Key, bytes int64, took time.Duration) {
			m.bytes.Add(background, bytes, m.tables.of(key.Table).add...)
			m.duration.Record(background, took.Seconds(), m.landed.record...)
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
			l := m.tables.of(key.Table)
			m.rows.Add(background, ack.Rows, l.add...)
			m.dead.Add(background, int64(ack.Dead), l.add...)
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
