package emulator

import (
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
)

type interpretation = storagepb.AppendRowsRequest_MissingValueInterpretation

const (
	unspecified  = storagepb.AppendRowsRequest_MISSING_VALUE_INTERPRETATION_UNSPECIFIED
	defaultValue = storagepb.AppendRowsRequest_DEFAULT_VALUE
)

// missing says how a request wants columns to be filled that its rows lack (case 64).
type missing struct {
	standard interpretation            // from this request on; unspecified: as before
	columns  map[string]interpretation // for this request only
}

// decodeColumn takes one entry of the map of columns.
func (m *missing) decodeColumn(w walker, size int) error {
	name, value := "", unspecified
	err := w.message(size, func(num protowire.Number, n int) error {
		switch num {
		case 1:
			b, err := w.bytes(n)
			name = string(b)
			return err
		case -2:
			value = interpretation(int32(n))
			return nil
		}
		return w.skipField(num, n)
	})
	if m.columns == nil {
		m.columns = map[string]interpretation{}
	}
	m.columns[name] = value
	return err
}

// interpret gives a request its form: the connection's, with missing columns filled as the request wants. The service's
// texts for what it refuses are not known.
func (c *connection) interpret(st *stream, req *request) *apiError {
	if req.missing.standard != unspecified {
		c.standard = req.missing.standard
	}
	p := c.form.plan
	var columns map[int]interpretation
	if len(req.missing.columns) > 0 {
		columns = make(map[int]interpretation, len(req.missing.columns))
	}
	for name, value := range req.missing.columns {
		slot, known := p.slots[strings.ToLower(name)]
		switch {
		case value == unspecified:
			return errorf(codes.InvalidArgument, st.name, "The missing value interpretation of column %s must be specified.", name)
		case !known:
			return errorf(codes.InvalidArgument, st.name, "The missing value interpretations name the unknown column %s.", name)
		}
		columns[slot] = value
	}
	if req.form = c.form; len(p.defaults) == 0 {
		return nil
	}
	var filled []Value
	now := time.Now()
	for slot, d := range p.defaults {
		value, own := columns[slot]
		if !own {
			value = c.standard
		}
		if v := d.at(now); v.Kind != NullValue && (value == defaultValue || !p.inRow[slot]) {
			if filled == nil {
				filled = slices.Clone(p.blank)
			}
			filled[slot] = v
		}
	}
	req.form = c.form.with(filled)
	c.form = req.form // so that equal requests share it
	return nil
}

// with is the form with other values filled in: itself when they are the same.
func (f *form) with(filled []Value) *form {
	same := func(a, b Value) bool { return a.Kind == b.Kind && a.Text == b.Text }
	if slices.EqualFunc(f.filled, filled, same) {
		return f
	}
	other := *f
	other.filled = filled
	return &other
}
