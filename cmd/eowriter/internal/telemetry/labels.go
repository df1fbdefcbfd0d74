package telemetry

import (
	"sync"
	"sync/atomic"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// label is a set of labels in the form that counters and gauges want, made once. As slices, so that using them makes none.
type label struct {
	add     []metric.AddOption
	observe []metric.ObserveOption
}

func labelOf(attrs ...attribute.KeyValue) *label {
	set := metric.WithAttributeSet(attribute.NewSet(attrs...))
	return &label{[]metric.AddOption{set}, []metric.ObserveOption{set}}
}

// labels are those of one attribute whose values are known beforehand.
type labels[V comparable] map[V]*label

func newLabels[V comparable](name string, values []V, text func(V) string) labels[V] {
	all := labels[V]{}
	for _, v := range values {
		all[v] = labelOf(attribute.String(name, text(v)))
	}
	return all
}

// maxTables bounds the tables that have series of their own. What all others have is added up under otherTables.
const (
	maxTables   = 100
	otherTables = "(others)"
)

// table is what is counted of one. It is counted here and not by an instrument since that costs ten times as much, for every
// append.
type table struct {
	*label
	accepted, duplicates, rows, dead, bytes atomic.Int64
}

// tables are the labels and counts of tables, first come first served. Those that don't exist never come: nothing is told of an
// append before its table was opened.
type tables struct {
	mu     sync.RWMutex // guards known
	known  map[string]*table
	others *table
}

func newTables() *tables {
	return &tables{known: map[string]*table{}, others: &table{label: labelOf(attribute.String("table", otherTables))}}
}

// of returns a table, projects/P/datasets/D/tables/T.
func (t *tables) of(name string) *table {
	t.mu.RLock()
	one := t.known[name]
	full := len(t.known) >= maxTables
	t.mu.RUnlock()
	switch {
	case one != nil:
		return one
	case full:
		return t.others
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if one = t.known[name]; one != nil {
		return one
	}
	if len(t.known) >= maxTables {
		return t.others
	}
	one = &table{label: labelOf(attribute.String("table", tablename.Short(name)))}
	t.known[name] = one
	return one
}

// each calls f with every table that has come, and with all others if there are any.
func (t *tables) each(f func(*table)) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, one := range t.known {
		f(one)
	}
	if len(t.known) >= maxTables {
		f(t.others)
	}
}
