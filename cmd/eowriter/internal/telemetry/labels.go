package telemetry

import (
	"sync"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// maxTables bounds the tables that have series of their own. What all others have is added up under otherTables.
const (
	maxTables   = 100
	otherTables = "(others)"
)

// label is a set of labels in the form that each kind of instrument wants, made once. As slices, so that recording makes
// none.
type label struct {
	add     []metric.AddOption
	record  []metric.RecordOption
	observe []metric.ObserveOption
}

func labelOf(attrs ...attribute.KeyValue) *label {
	set := metric.WithAttributeSet(attribute.NewSet(attrs...))
	return &label{[]metric.AddOption{set}, []metric.RecordOption{set}, []metric.ObserveOption{set}}
}

// tables are the labels of tables, first come first served. Those that don't exist never come: nothing is told of an
// append before its table was opened.
type tables struct {
	mu     sync.RWMutex // guards known
	known  map[string]*label
	others *label
}

func newTables() *tables {
	return &tables{known: map[string]*label{}, others: labelOf(attribute.String("table", otherTables))}
}

// of returns the label of a table, projects/P/datasets/D/tables/T or P.D.T.
func (t *tables) of(table string) *label {
	t.mu.RLock()
	l := t.known[table]
	full := len(t.known) >= maxTables
	t.mu.RUnlock()
	switch {
	case l != nil:
		return l
	case full:
		return t.others
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if l = t.known[table]; l != nil {
		return l
	}
	if len(t.known) >= maxTables {
		return t.others
	}
	l = labelOf(attribute.String("table", tablename.Short(table)))
	t.known[table] = l
	return l
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
