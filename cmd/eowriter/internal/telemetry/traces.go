package telemetry

import (
	"context"
	"errors"
	"net/http"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// A span is one append of a producer, from its request to its landing, or to its refusal. The numbered steps of ARCHITECTURE.md
// are its events. Appends that share a batch have that batch's steps, each in its own span: how many they are is an
// attribute. A span has names and numbers, and never an error's text, which may have values of rows in it.

var propagator = propagation.TraceContext{}

// Continue has requests carry on with the trace that their traceparent header names. Without traces it is next itself.
func (t *Telemetry) Continue(next http.Handler) http.Handler {
	if t.tracer == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Traceparent") != "" {
			r = r.WithContext(propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
		}
		next.ServeHTTP(w, r)
	})
}

// begin starts the span of an append, or returns nil if nobody wants it.
func (t *Telemetry) begin(ctx context.Context, key ledger.Key, rows int) ingest.Span {
	_, s := t.tracer.Start(ctx, "append", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("eowriter.table", tablename.Short(key.Table)),
		attribute.String("eowriter.partition", key.Name),
		attribute.Int("eowriter.rows", rows),
	))
	if !s.IsRecording() {
		s.End()
		return nil
	}
	return span{s}
}

// span implements ingest.Span.
type span struct{ trace.Span }

// stepNames are the names of events.
var stepNames = map[committed.Step]string{
	committed.B1: "B1 accept", committed.B2: "B2 bind", committed.B3: "B3 send", committed.B5: "B5 answer",
	committed.B6: "B6 acknowledge", committed.B7: "B7 resolve",
}

// Shared implements ingest.Span.
func (s span) Shared(appends int) { s.SetAttributes(attribute.Int("eowriter.batch.appends", appends)) }

// Step implements ingest.Span.
func (s span) Step(step committed.Step) { s.AddEvent(stepNames[step]) }

// End implements ingest.Span.
func (s span) End(err error) {
	if err != nil {
		reason := "gave up"
		if refused := (*ingest.Error)(nil); errors.As(err, &refused) {
			reason = reasonText(refused.Reason)
		}
		s.SetStatus(codes.Error, reason)
	}
	s.Span.End()
}
