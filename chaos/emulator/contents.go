package emulator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
)

// Contents are a table's rows as its schema of this moment shows them, in the order of their arrival. Later appends and
// changes of the schema don't show. It is safe for concurrent use, but for Row, which one goroutine may call at a time.
type Contents struct {
	Schema *storagepb.TableSchema // must not be modified

	versions []*version
	batches  []batch
	ends     []int64 // rows up to the end of each batch
	views    map[*form]view
}

// Contents returns a table's rows; false: there is no such table. With Options.Discard there are no rows.
func (s *Server) Contents(tableName string) (*Contents, bool) {
	s.mu.Lock()
	t := s.tables[tableName]
	if t == nil {
		s.mu.Unlock()
		return nil, false
	}
	c := &Contents{versions: t.schema.all(), views: map[*form]view{}}
	s.mu.Unlock()
	c.Schema = c.versions[len(c.versions)-1].schema
	s.store.mu.Lock()
	c.batches = t.batches[:len(t.batches):len(t.batches)]
	s.store.mu.Unlock()

	var n int64
	c.ends = make([]int64, len(c.batches))
	for i, b := range c.batches {
		n += int64(len(b.rows))
		c.ends[i] = n
	}
	return c, true
}

// Len is the number of rows.
func (c *Contents) Len() int {
	if len(c.ends) == 0 {
		return 0
	}
	return int(c.ends[len(c.ends)-1])
}

// Row decodes row i, from 0 to Len-1: one Value for each field of Schema, in its order. A column that the row was
// written without is NULL or holds the default that was filled in; so is one that was added, or dropped and added
// again, after the row was written. A row that AppendForeign wrote may be no message of its schema: that is an error.
func (c *Contents) Row(i int) ([]Value, error) {
	at, _ := slices.BinarySearch(c.ends, int64(i)+1)
	b := c.batches[at]
	n := i - (int(c.ends[at]) - len(b.rows))
	where := fmt.Sprintf("decode row %d of %s", b.offset+int64(n), b.stream.name)
	if b.form == nil {
		return nil, fmt.Errorf("%s: its schema is not known", where)
	}
	written, problem := b.form.plan.values(b.rows[n], b.form.filled)
	if problem != "" {
		return nil, fmt.Errorf("%s: %s", where, problem)
	}
	v, known := c.views[b.form]
	if !known {
		v = newView(columnSets(c.versions[b.form.version:]))
		c.views[b.form] = v
	}
	values, err := v.show(written)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	return values, nil
}

// columnSets are the columns of each version of a table's schema.
func columnSets(versions []*version) (sets [][]*storagepb.TableFieldSchema) {
	for _, v := range versions {
		sets = append(sets, v.schema.GetFields())
	}
	return sets
}

// view shows values of an older version of a table, or of a record, as the present one does.
type view []columnView

type columnView struct {
	from     int // position in the older version; -1: the column is younger
	old, now *storagepb.TableFieldSchema
	sub      view // of a record
}

// newView makes the view from the first of several versions, oldest first, to the last. A column is the same only if
// each version has it.
func newView(versions [][]*storagepb.TableFieldSchema) view {
	v := make(view, 0, len(versions[len(versions)-1]))
	for _, now := range versions[len(versions)-1] {
		c := columnView{from: -1, now: now}
		var history [][]*storagepb.TableFieldSchema
		for _, columns := range versions {
			at := slices.IndexFunc(columns, func(f *storagepb.TableFieldSchema) bool { return strings.EqualFold(f.GetName(), now.GetName()) })
			if at < 0 {
				break
			}
			if len(history) == 0 {
				c.from, c.old = at, columns[at]
			}
			history = append(history, columns[at].GetFields())
		}
		if len(history) < len(versions) {
			c.from = -1
		} else if now.GetType() == storagepb.TableFieldSchema_STRUCT {
			c.sub = newView(history)
		}
		v = append(v, c)
	}
	return v
}

func (v view) show(written []Value) (values []Value, err error) {
	values = make([]Value, len(v))
	for i, c := range v {
		switch {
		case c.from >= 0:
			if values[i], err = c.show(written[c.from]); err != nil {
				return nil, err
			}
		case c.now.GetMode() == storagepb.TableFieldSchema_REPEATED:
			values[i].Kind = ListValue
		}
	}
	return values, nil
}

func (c columnView) show(v Value) (Value, error) {
	switch v.Kind {
	case NullValue:
		return v, nil
	case ListValue:
		list := Value{Kind: ListValue}
		for _, item := range v.Items {
			shown, err := c.show(item)
			if err != nil {
				return Value{}, err
			}
			list.Items = append(list.Items, shown)
		}
		return list, nil
	case RecordValue:
		if c.sub != nil {
			items, err := c.sub.show(v.Items)
			return Value{Kind: RecordValue, Items: items}, err
		}
	}
	return c.widened(v)
}

// widened shows a value as a column's type of now, which may be wider than the one that it was written with.
func (c columnView) widened(v Value) (Value, error) {
	from, to := c.old.GetType(), c.now.GetType()
	exact := map[storagepb.TableFieldSchema_Type]int{
		storagepb.TableFieldSchema_INT64: 1, storagepb.TableFieldSchema_NUMERIC: 2, storagepb.TableFieldSchema_BIGNUMERIC: 3,
	}
	switch {
	case from == to:
		return v, nil
	case exact[from] > 0 && exact[from] < exact[to]:
		return v, nil // spelled the same
	case exact[from] > 0 && to == storagepb.TableFieldSchema_DOUBLE:
		f, err := strconv.ParseFloat(v.Text, 64)
		return scalarValue(formatFloat(f)), err
	}
	return Value{}, fmt.Errorf("column %s was %s and is %s now", c.now.GetName(), typeName(from), typeName(to))
}
