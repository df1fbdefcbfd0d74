package emulator

import (
	"errors"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
)

// ErrSchemaChange is what a change of a table's schema that BigQuery doesn't allow fails with.
var ErrSchemaChange = errors.New("this change of the schema is not allowed")

// checkAlter says why a table's schema can't be replaced by the next; nil: it can. What BigQuery allows: columns added as
// NULLABLE or REPEATED, at the top and in records; REQUIRED relaxed to NULLABLE; a column at the top dropped; a type or
// its parameters widened; descriptions, default values and the like changed. A column keeps its name, though not its
// letters' case.
func checkAlter(old, next *storagepb.TableSchema) error {
	return checkChanges(old.GetFields(), next.GetFields(), "")
}

func notAllowed(column, why string, args ...any) error {
	return fmt.Errorf("%w: column %s: %s", ErrSchemaChange, column, fmt.Sprintf(why, args...))
}

func checkChanges(old, next []*storagepb.TableFieldSchema, prefix string) error {
	before, after := columnsByName(old), columnsByName(next)
	for _, c := range next {
		path := prefix + c.GetName()
		was := before[strings.ToLower(c.GetName())]
		switch {
		case was != nil:
			if err := checkChange(path, was, c); err != nil {
				return err
			}
		case modeOf(c) == storagepb.TableFieldSchema_REQUIRED:
			return notAllowed(path, "a new column must be NULLABLE or REPEATED")
		}
	}
	for _, c := range old {
		if prefix != "" && after[strings.ToLower(c.GetName())] == nil {
			return notAllowed(prefix+c.GetName(), "a column of a record can't be deleted")
		}
	}
	return nil
}

func checkChange(path string, old, next *storagepb.TableFieldSchema) error {
	from, to := modeOf(old), modeOf(next)
	if from != to && (from != storagepb.TableFieldSchema_REQUIRED || to != storagepb.TableFieldSchema_NULLABLE) {
		return notAllowed(path, "the mode can't change from %v to %v", from, to)
	}
	if !widens(old, next) {
		return notAllowed(path, "the type can't change from %s to %s", typeText(old), typeText(next))
	}
	if old.GetType() == storagepb.TableFieldSchema_STRUCT {
		return checkChanges(old.GetFields(), next.GetFields(), path+".")
	}
	return nil
}

// modeOf is the column's mode; none given is NULLABLE.
func modeOf(c *storagepb.TableFieldSchema) storagepb.TableFieldSchema_Mode {
	if m := c.GetMode(); m != storagepb.TableFieldSchema_MODE_UNSPECIFIED {
		return m
	}
	return storagepb.TableFieldSchema_NULLABLE
}

// decimalsOf is the room a decimal type has on both sides of the point.
func decimalsOf(c *storagepb.TableFieldSchema) (whole, fraction int64) {
	p, s := c.GetPrecision(), c.GetScale()
	switch {
	case p > 0:
		return p - s, s
	case c.GetType() == storagepb.TableFieldSchema_NUMERIC:
		return 29, 9
	case c.GetType() == storagepb.TableFieldSchema_BIGNUMERIC:
		return 39, 38 // the 39th digit in part
	}
	return 19, 0 // INTEGER
}

// timestampDigits is how many digits of a second a TIMESTAMP has; none given is 6.
func timestampDigits(c *storagepb.TableFieldSchema) int64 {
	if p := c.GetTimestampPrecision(); p != nil {
		return p.GetValue()
	}
	return 6
}

// widens says whether each value of the old column's type is one of the next: the same type with parameters that are
// not narrower, or one of the coercions of numbers that are documented for ALTER COLUMN SET DATA TYPE.
func widens(old, next *storagepb.TableFieldSchema) bool {
	from, to := old.GetType(), next.GetType()
	switch to {
	case storagepb.TableFieldSchema_NUMERIC, storagepb.TableFieldSchema_BIGNUMERIC:
		if from != to && from != storagepb.TableFieldSchema_INT64 &&
			(from != storagepb.TableFieldSchema_NUMERIC || to != storagepb.TableFieldSchema_BIGNUMERIC) {
			return false
		}
		oldWhole, oldFraction := decimalsOf(old)
		whole, fraction := decimalsOf(next)
		return oldWhole <= whole && oldFraction <= fraction
	case storagepb.TableFieldSchema_DOUBLE:
		return from == to || from == storagepb.TableFieldSchema_INT64 || from == storagepb.TableFieldSchema_NUMERIC
	case storagepb.TableFieldSchema_RANGE:
		return from == to && old.GetRangeElementType().GetType() == next.GetRangeElementType().GetType()
	case storagepb.TableFieldSchema_TIMESTAMP:
		return from == to && timestampDigits(old) == timestampDigits(next)
	}
	if limit := next.GetMaxLength(); limit > 0 && (old.GetMaxLength() == 0 || old.GetMaxLength() > limit) {
		return false
	}
	return from == to
}

// typeText is the column's type with its parameters.
func typeText(c *storagepb.TableFieldSchema) string {
	name := typeName(c.GetType())
	switch {
	case c.GetMaxLength() > 0:
		return fmt.Sprintf("%s(%d)", name, c.GetMaxLength())
	case c.GetPrecision() > 0:
		return fmt.Sprintf("%s(%d, %d)", name, c.GetPrecision(), c.GetScale())
	case c.GetType() == storagepb.TableFieldSchema_RANGE:
		return fmt.Sprintf("%s<%v>", name, c.GetRangeElementType().GetType())
	case c.GetTimestampPrecision() != nil:
		return fmt.Sprintf("%s(%d)", name, c.GetTimestampPrecision().GetValue())
	}
	return name
}
