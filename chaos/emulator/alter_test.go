package emulator

import (
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Each change of a schema that BigQuery allows or refuses. If it failed, a writer would be tested against changes that
// never happen, or not against one that does.
func TestAlterTableRules(t *testing.T) {
	type f = storagepb.TableFieldSchema
	const (
		integer    = storagepb.TableFieldSchema_INT64
		text       = storagepb.TableFieldSchema_STRING
		float      = storagepb.TableFieldSchema_DOUBLE
		numeric    = storagepb.TableFieldSchema_NUMERIC
		bignumeric = storagepb.TableFieldSchema_BIGNUMERIC
		date       = storagepb.TableFieldSchema_DATE
		datetime   = storagepb.TableFieldSchema_DATETIME
		timestamp  = storagepb.TableFieldSchema_TIMESTAMP
		record     = storagepb.TableFieldSchema_STRUCT
		ranges     = storagepb.TableFieldSchema_RANGE
		required   = storagepb.TableFieldSchema_REQUIRED
		repeated   = storagepb.TableFieldSchema_REPEATED
		nullable   = storagepb.TableFieldSchema_NULLABLE
	)
	list := func(columns ...*f) []*f { return columns }
	one := func(c *f) []*f { c.Name = "c"; return list(c) }
	rec := func(mode storagepb.TableFieldSchema_Mode, sub ...*f) []*f {
		return one(&f{Type: record, Mode: mode, Fields: sub})
	}
	element := func(t storagepb.TableFieldSchema_Type) *storagepb.TableFieldSchema_FieldElementType {
		return &storagepb.TableFieldSchema_FieldElementType{Type: t}
	}
	a, b := &f{Name: "a", Type: integer}, &f{Name: "b", Type: text}
	for _, c := range []struct {
		name      string
		old, next []*f
		refused   string // part of the error; "": allowed
	}{
		{"add a NULLABLE column", list(a), list(a, b), ""},
		{"add one in front", list(a), list(b, a), ""},
		{"add a REPEATED column", list(a), list(a, &f{Name: "r", Type: text, Mode: repeated}), ""},
		{"add a REQUIRED column", list(a), list(a, &f{Name: "r", Type: text, Mode: required}), "column r: a new column must be NULLABLE or REPEATED"},
		{"add a record with a REQUIRED column", list(a), list(a, &f{Name: "r", Type: record, Fields: list(&f{Name: "x", Type: text, Mode: required})}), ""},
		{"add a column to a record", rec(nullable, a), rec(nullable, a, b), ""},
		{"add a column to a repeated record", rec(repeated, a), rec(repeated, a, b), ""},
		{"add a REQUIRED column to a record", rec(nullable, a), rec(nullable, a, &f{Name: "r", Type: text, Mode: required}), "column c.r: a new column"},
		{"drop a column", list(a, b), list(b), ""},
		{"drop a column of a record", rec(nullable, a, b), rec(nullable, b), "column c.a: a column of a record can't be deleted"},
		{"other letters' case", list(a), list(&f{Name: "A", Type: integer}), ""},
		{"other description and default", one(&f{Type: text}), one(&f{Type: text, Description: "d", DefaultValueExpression: "'x'"}), ""},
		{"relax REQUIRED", one(&f{Type: text, Mode: required}), one(&f{Type: text, Mode: nullable}), ""},
		{"relax REQUIRED in a record", rec(nullable, &f{Name: "a", Mode: required}), rec(nullable, &f{Name: "a"}), ""},
		{"NULLABLE to REQUIRED", one(&f{Type: text}), one(&f{Type: text, Mode: required}), "column c: the mode can't change from NULLABLE to REQUIRED"},
		{"NULLABLE to REPEATED", one(&f{Type: text}), one(&f{Type: text, Mode: repeated}), "from NULLABLE to REPEATED"},
		{"REQUIRED to REPEATED", one(&f{Type: text, Mode: required}), one(&f{Type: text, Mode: repeated}), "from REQUIRED to REPEATED"},
		{"REPEATED to NULLABLE", one(&f{Type: text, Mode: repeated}), one(&f{Type: text}), "from REPEATED to NULLABLE"},
		{"INTEGER to NUMERIC", one(&f{Type: integer}), one(&f{Type: numeric}), ""},
		{"INTEGER to NUMERIC with room", one(&f{Type: integer}), one(&f{Type: numeric, Precision: 21, Scale: 2}), ""},
		{"INTEGER to NUMERIC without", one(&f{Type: integer}), one(&f{Type: numeric, Precision: 20, Scale: 2}), "from INTEGER to NUMERIC(20, 2)"},
		{"INTEGER to BIGNUMERIC", one(&f{Type: integer}), one(&f{Type: bignumeric}), ""},
		{"INTEGER to FLOAT", one(&f{Type: integer}), one(&f{Type: float}), ""},
		{"INTEGER to STRING", one(&f{Type: integer}), one(&f{Type: text}), "column c: the type can't change from INTEGER to STRING"},
		{"NUMERIC to BIGNUMERIC", one(&f{Type: numeric}), one(&f{Type: bignumeric}), ""},
		{"NUMERIC to FLOAT", one(&f{Type: numeric}), one(&f{Type: float}), ""},
		{"NUMERIC to INTEGER", one(&f{Type: numeric}), one(&f{Type: integer}), "from NUMERIC to INTEGER"},
		{"BIGNUMERIC to NUMERIC", one(&f{Type: bignumeric, Precision: 5}), one(&f{Type: numeric}), "from BIGNUMERIC(5, 0) to NUMERIC"},
		{"FLOAT to NUMERIC", one(&f{Type: float}), one(&f{Type: numeric}), "from FLOAT to NUMERIC"},
		{"DATE to DATETIME", one(&f{Type: date}), one(&f{Type: datetime}), "from DATE to DATETIME"},
		{"STRING to a record", one(&f{Type: text}), rec(nullable, a), "from STRING to RECORD"},
		{"a longer STRING", one(&f{Type: text, MaxLength: 5}), one(&f{Type: text, MaxLength: 6}), ""},
		{"a STRING of any length", one(&f{Type: text, MaxLength: 5}), one(&f{Type: text}), ""},
		{"a shorter STRING", one(&f{Type: text, MaxLength: 5}), one(&f{Type: text, MaxLength: 4}), "from STRING(5) to STRING(4)"},
		{"a limit for STRING", one(&f{Type: text}), one(&f{Type: text, MaxLength: 4}), "from STRING to STRING(4)"},
		{"NUMERIC with more digits", one(&f{Type: numeric, Precision: 10, Scale: 2}), one(&f{Type: numeric, Precision: 12, Scale: 4}), ""},
		{"NUMERIC with fewer whole digits", one(&f{Type: numeric, Precision: 10, Scale: 2}), one(&f{Type: numeric, Precision: 10, Scale: 3}), "from NUMERIC(10, 2) to NUMERIC(10, 3)"},
		{"NUMERIC without parameters", one(&f{Type: numeric, Precision: 10, Scale: 2}), one(&f{Type: numeric}), ""},
		{"parameters for NUMERIC", one(&f{Type: numeric}), one(&f{Type: numeric, Precision: 10}), "from NUMERIC to NUMERIC(10, 0)"},
		{"RANGE of another type", one(&f{Type: ranges, RangeElementType: element(date)}), one(&f{Type: ranges, RangeElementType: element(datetime)}), "from RANGE<DATE> to RANGE<DATETIME>"},
		{"TIMESTAMP with the digits it has", one(&f{Type: timestamp}), one(&f{Type: timestamp, TimestampPrecision: wrapperspb.Int64(6)}), ""},
		{"TIMESTAMP with more digits", one(&f{Type: timestamp}), one(&f{Type: timestamp, TimestampPrecision: wrapperspb.Int64(12)}), "from TIMESTAMP to TIMESTAMP(12)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := checkAlter(&storagepb.TableSchema{Fields: c.old}, &storagepb.TableSchema{Fields: c.next})
			if c.refused == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, ErrSchemaChange)
			require.ErrorContains(t, err, c.refused)
		})
	}
}

// If this failed, a refused change would be made all the same, or a change to the same schema would be one.
func TestAlterTable(t *testing.T) {
	b := newBench(t, Options{})
	c := b.open(b.create())
	c.ok(0, orderRows(0, 1), 0)
	wrong := ordersSchema()
	wrong.Fields[1].Type = storagepb.TableFieldSchema_BYTES
	require.EqualError(t, b.srv.AlterTable(orders, wrong), "alter table "+orders+
		": this change of the schema is not allowed: column name: the type can't change from STRING(10) to BYTES(10)")
	require.Error(t, b.srv.AlterTable(orders+"x", ordersSchema()))
	b.alter(ordersSchema())
	require.Nil(t, c.ok(1, orderRows(1, 1), 1).GetUpdatedSchema())
	require.True(t, proto.Equal(ordersSchema(), b.schemaOf(c.stream)))

	mine := without(1)
	b.alter(mine)
	mine.Fields[0].Name = "changed by the caller"
	require.True(t, proto.Equal(without(1), b.schemaOf(c.stream)))
}
