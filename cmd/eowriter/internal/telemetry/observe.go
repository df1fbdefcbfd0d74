package telemetry

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tail"
	"github.com/eowriter/eowriter/ledger"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Subject is what is looked at when somebody asks for metrics.
type Subject struct {
	Ledger *ledger.Ledger
	Stats  func() (*ingest.Stats, error)
	Ready  func(*ingest.Stats) error            // why the sidecar can't do its work, or nil
	Logs   func() (c tail.Counts, behind int64) // of --tail
	// TotalBytes and TotalAppends are the room that there is.
	TotalBytes   int64
	TotalAppends int
}

// gauges are the instruments for what is a state.
type gauges struct {
	about  Subject
	tables *tables
	states labels[eowriterv1.State]
	causes labels[ingest.Cause]

	build, ready                                                                        metric.Int64ObservableGauge
	inFlight, queued, open, intents, letters                                            metric.Int64ObservableGauge // by table
	oldest, moved                                                                       metric.Float64ObservableGauge
	partitions, stopped                                                                 metric.Int64ObservableGauge
	usedBytes, limitBytes, usedAppends, limitAppends, file, limit, segments, free, disk metric.Int64ObservableGauge
	behind                                                                              metric.Int64ObservableGauge
	logRows, logBytes, losses, lost                                                     metric.Int64ObservableCounter
}

// Observe has metrics look at s until stop is called, which waits for a look that goes on.
func (t *Telemetry) Observe(s Subject) (stop func() error, err error) {
	g := &gauges{about: s, tables: t.metrics.tables}
	var states []eowriterv1.State
	for n := range eowriterv1.State_name {
		if n > int32(eowriterv1.State_STATE_NEW) { // those that the sidecar doesn't know aren't counted
			states = append(states, eowriterv1.State(n))
		}
	}
	g.states = newLabels("state", states, stateText)
	g.causes = newLabels("cause", ingest.Causes, func(c ingest.Cause) string { return string(c) })
	all, err := g.instruments(t.metrics.meter)
	if err != nil {
		return nil, err
	}
	r, err := t.metrics.meter.RegisterCallback(g.observe, all...)
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	return r.Unregister, nil
}

// instruments makes them.
func (g *gauges) instruments(meter metric.Meter) (all []metric.Observable, err error) {
	gauge := func(name, unit, description string) metric.Int64ObservableGauge {
		i, wrong := meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		all, err = append(all, i), errors.Join(err, wrong)
		return i
	}
	counter := func(name, unit, description string) metric.Int64ObservableCounter {
		i, wrong := meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
		all, err = append(all, i), errors.Join(err, wrong)
		return i
	}
	age := func(name, description string) metric.Float64ObservableGauge {
		i, wrong := meter.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(description))
		all, err = append(all, i), errors.Join(err, wrong)
		return i
	}
	g.build = gauge("eowriter.build.info", "", "What the program was built from. Always 1.")
	g.ready = gauge("eowriter.ready", "", "Whether the sidecar can do its work, as /readyz says: 1 or 0.")
	g.inFlight = gauge("eowriter.requests.in_flight", "{request}", "Requests to BigQuery that await an answer.")
	g.queued = gauge("eowriter.appends.queued", "{append}", "Appends that were accepted and are not on their way to the ledger yet.")
	g.open = gauge("eowriter.appends.open", "{append}", "Appends that were handed to the writer and have not landed.")
	g.intents = gauge("eowriter.intents.open", "{intent}", "Batches, of one append or of several, that have not landed.")
	g.oldest = age("eowriter.oldest.append.age", "Since the oldest append that has not landed was accepted; 0 if there is none.")
	g.moved = age("eowriter.position.age", "Since rows landed last in the table, or its partitions were written before the start.")
	g.letters = gauge("eowriter.dead.letters", "{letter}", "Dead letters that wait in the ledger to be delivered.")
	g.partitions = gauge("eowriter.partitions", "{partition}", "Partitions by what they are doing.")
	g.stopped = gauge("eowriter.partitions.stopped", "{partition}", "Partitions that are waiting or halted, or being opened again after that, by the cause.")
	g.usedBytes = gauge("eowriter.room.used", "By", "Memory that appends take until they have landed.")
	g.limitBytes = gauge("eowriter.room.limit", "By", "How much that may be: --memory.")
	g.usedAppends = gauge("eowriter.room.used.appends", "{append}", "Appends that were accepted and have not landed.")
	g.limitAppends = gauge("eowriter.room.limit.appends", "{append}", "How many that may be: --appends.")
	g.file = gauge("eowriter.ledger.file", "By", "What the ledger's file takes of the disk.")
	g.limit = gauge("eowriter.ledger.file.limit", "By", "How large it can grow: beyond, the ledger fails.")
	g.segments = gauge("eowriter.ledger.segments", "By", "What the files with rows beside the ledger take of the disk.")
	g.free = gauge("eowriter.ledger.disk.free", "By", "What is free on the ledger's disk.")
	g.disk = gauge("eowriter.ledger.disk.size", "By", "How large the ledger's disk is.")
	g.behind = gauge("eowriter.logs.behind", "By", "Bytes of followed logs that are known to be there and are not read yet.")
	g.logRows = counter("eowriter.logs.rows", "{row}", "Rows that were read from followed logs.")
	g.logBytes = counter("eowriter.logs.read", "By", "Bytes that were read from followed logs.")
	g.losses = counter("eowriter.logs.losses", "{loss}", "How often something of a followed log was gone before it was read.")
	g.lost = counter("eowriter.logs.lost", "By", "How much that was, at least.")
	return all, err
}

// observe looks.
func (g *gauges) observe(_ context.Context, o metric.Observer) error {
	b := Build()
	o.ObserveInt64(g.build, 1, metric.WithAttributes(attribute.String("version", b.Version), attribute.String("revision", b.Revision), attribute.String("goversion", b.Go)))
	c, behind := g.about.Logs()
	o.ObserveInt64(g.behind, behind)
	o.ObserveInt64(g.logRows, c.Rows)
	o.ObserveInt64(g.logBytes, c.Bytes)
	o.ObserveInt64(g.losses, c.Losses)
	o.ObserveInt64(g.lost, c.LostBytes)
	return errors.Join(g.observeIngest(o), g.observeLedger(o))
}

func (g *gauges) observeIngest(o metric.Observer) error {
	s, err := g.about.Stats()
	if err != nil {
		return err
	}
	ready := int64(1)
	if g.about.Ready(s) != nil {
		ready = 0
	}
	o.ObserveInt64(g.ready, ready)
	for state, l := range g.states {
		o.ObserveInt64(g.partitions, int64(s.States[state]), l.observe...)
	}
	for cause, l := range g.causes {
		o.ObserveInt64(g.stopped, int64(s.Stopped[cause]), l.observe...)
	}
	o.ObserveInt64(g.usedBytes, s.Bytes)
	o.ObserveInt64(g.limitBytes, g.about.TotalBytes)
	o.ObserveInt64(g.usedAppends, int64(s.Appends))
	o.ObserveInt64(g.limitAppends, int64(g.about.TotalAppends))
	now := time.Now()
	for l, t := range g.byLabel(s.Tables) {
		o.ObserveInt64(g.inFlight, int64(t.InFlight), l.observe...)
		o.ObserveInt64(g.queued, int64(t.Queued), l.observe...)
		o.ObserveInt64(g.open, int64(t.Open), l.observe...)
		o.ObserveInt64(g.intents, int64(t.Intents), l.observe...)
		o.ObserveInt64(g.letters, t.Letters, l.observe...)
		o.ObserveFloat64(g.oldest, age(now, t.Oldest), l.observe...)
		o.ObserveFloat64(g.moved, age(now, t.Moved), l.observe...)
	}
	return nil
}

// byLabel adds up tables that share a label.
func (g *gauges) byLabel(all []ingest.TableStats) map[*table]*ingest.TableStats {
	sums := map[*table]*ingest.TableStats{}
	for _, t := range all {
		l := g.tables.of(t.Table)
		if sums[l] == nil {
			sums[l] = &t
			continue
		}
		sums[l].Add(&t)
	}
	return sums
}

// age is how long ago t was; 0 for the zero time, and for one that a clock that was set back makes the future.
func age(now, t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, now.Sub(t).Seconds())
}

func (g *gauges) observeLedger(o metric.Observer) error {
	led := g.about.Ledger
	size, err := led.Size()
	if err != nil {
		return err
	}
	o.ObserveInt64(g.file, size.File)
	o.ObserveInt64(g.limit, ledger.MaxFile)
	o.ObserveInt64(g.segments, size.Segments)
	if free, all, ok := diskOf(filepath.Dir(led.Path())); ok {
		o.ObserveInt64(g.free, free)
		o.ObserveInt64(g.disk, all)
	}
	return nil
}
