package emulator

import "slices"

// form is how the rows of a batch are to be read: what they were written with. It is immutable and shared by the
// batches of a connection.
type form struct {
	writer  *writerSchema
	version int // of the table's schema that the writer was matched with
	plan    *plan
	filled  []Value // a row of what missing columns are filled with; nil: only NULL
}

// newForm matches a writer's schema with a version of the table's.
func newForm(stream string, w *writerSchema, v *version) (*form, *apiError) {
	p, err := match(stream, w, v.schema)
	if err != nil {
		return nil, err
	}
	return &form{writer: w, version: v.number, plan: p}, nil
}

// fill makes v the value of a column that is missing. Only for a form that isn't shared yet.
func (f *form) fill(slot int, v Value) {
	if f.filled == nil {
		f.filled = slices.Clone(f.plan.blank)
	}
	f.filled[slot] = v
}
