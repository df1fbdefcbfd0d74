// Package telemetry is what the sidecar tells of itself: metrics, for Prometheus and by OTLP, and traces, by OTLP.
//
// [New] comes first. The ledger, the writer and Ingest report through plain funcs (Committed, Writer, Ingest) and know nothing
// of OpenTelemetry; what is a state and no event is asked for when somebody looks ([Telemetry.Observe]). [Telemetry.Close] comes
// last.
//
// docs/metrics.md is the reference of the metrics; a test holds it against what is exposed.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options say where to tell it, beside /metrics.
type Options struct {
	// Endpoint is the URL of an OpenTelemetry collector that speaks OTLP over HTTP, such as http://127.0.0.1:4318; "": none.
	// Without it nothing is traced. Everything else comes from the variables OTEL_*, as the SDK has them.
	Endpoint string
	Log      *slog.Logger
}

// Telemetry is what is told. Safe for concurrent use.
type Telemetry struct {
	registry *prometheus.Registry
	meters   *metric.MeterProvider
	traces   *sdktrace.TracerProvider // nil: none
	tracer   trace.Tracer             // nil: none
	metrics  *instruments
}

const scope = "github.com/eowriter/eowriter"

// New begins to tell. ctx is for reaching the collector at all: whether it is there doesn't matter.
func New(ctx context.Context, opt Options) (*Telemetry, error) {
	t := &Telemetry{registry: prometheus.NewRegistry()}
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	d := &durations{began: time.Now()}
	reader, err := otelprometheus.New(otelprometheus.WithProducer(d), otelprometheus.WithRegisterer(t.registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("export metrics: %w", err)
	}
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "eowriter"), attribute.String("service.version", Build().Version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("describe this process: %w", err)
	}
	options := []metric.Option{metric.WithReader(reader), metric.WithResource(about), metric.WithExemplarFilter(exemplar.AlwaysOffFilter)}
	if opt.Endpoint != "" {
		more, err := t.export(ctx, opt, about, d)
		if err != nil {
			return nil, err
		}
		options = append(options, more)
	}
	t.meters = metric.NewMeterProvider(options...)
	if t.metrics, err = newInstruments(t.meters.Meter(scope), d); err != nil {
		return nil, errors.Join(err, t.Close(ctx))
	}
	return t, nil
}

// export has metrics and traces sent to the collector. One that isn't there costs nothing but a line of the log now and then:
// what waits to be sent is bounded, and dropped beyond.
func (t *Telemetry) export(ctx context.Context, opt Options, about *resource.Resource, d *durations) (metric.Option, error) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { opt.Log.Warn("OpenTelemetry", "error", err) }))
	metrics, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(opt.Endpoint+"/v1/metrics"))
	if err != nil {
		return nil, fmt.Errorf("export metrics to %s: %w", opt.Endpoint, err)
	}
	traces, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(opt.Endpoint+"/v1/traces"))
	if err != nil {
		return nil, fmt.Errorf("export traces to %s: %w", opt.Endpoint, err)
	}
	t.traces = sdktrace.NewTracerProvider(sdktrace.WithBatcher(traces), sdktrace.WithResource(about))
	t.tracer = t.traces.Tracer(scope)
	return metric.WithReader(metric.NewPeriodicReader(metrics, metric.WithProducer(d))), nil
}

// closeTimeout is how long a collector may take for the last metrics and spans.
const closeTimeout = 5 * time.Second

// Close tells what is left to tell, as far as ctx and a few seconds allow, and ends.
func (t *Telemetry) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var traces, metrics error
	if t.traces != nil {
		traces = t.traces.Shutdown(ctx)
	}
	if t.meters != nil {
		metrics = t.meters.Shutdown(ctx)
	}
	return errors.Join(traces, metrics)
}

// Handler answers /metrics.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4})
}

// BuildInfo is what the program was built from, as far as the build knows.
type BuildInfo struct{ Version, Revision, Go string }

// Build returns what this program was built from.
func Build() BuildInfo {
	b := BuildInfo{Version: "unknown", Revision: "unknown", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}
