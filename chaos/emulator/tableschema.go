package emulator

import (
	"errors"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
)

// maxDepth is how deep records nest.
const maxDepth = 15

// checkSchema refuses a table's schema that BigQuery would refuse, or whose default values are beyond this emulator.
func checkSchema(schema *storagepb.TableSchema) error {
	return checkColumns(schema.GetFields(), "", 1)
}

func checkColumns(columns []*storagepb.TableFieldSchema, prefix string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("column %s: records nest deeper than %d levels", strings.TrimSuffix(prefix, "."), maxDepth)
	}
	names := make(map[string]bool, len(columns))
	for _, c := range columns {
		path, lower := prefix+c.GetName(), strings.ToLower(c.GetName())
		if lower == "" {
			return fmt.Errorf("a column of %q has no name", strings.TrimSuffix(prefix, "."))
		}
		if names[lower] {
			return fmt.Errorf("column %s: the name is there twice; case doesn't count", path)
		}
		names[lower] = true
		if err := checkColumn(c, depth); err != nil {
			return fmt.Errorf("column %s: %w", path, err)
		}
		if c.GetType() == storagepb.TableFieldSchema_STRUCT {
			if err := checkColumns(c.GetFields(), path+".", depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkColumn(c *storagepb.TableFieldSchema, depth int) error {
	t := c.GetType()
	decimal := t == storagepb.TableFieldSchema_NUMERIC || t == storagepb.TableFieldSchema_BIGNUMERIC
	text := t == storagepb.TableFieldSchema_STRING || t == storagepb.TableFieldSchema_BYTES
	precision := c.GetTimestampPrecision().GetValue()
	switch {
	case t == storagepb.TableFieldSchema_STRUCT && len(c.GetFields()) == 0:
		return errors.New("a RECORD needs fields")
	case t != storagepb.TableFieldSchema_STRUCT && acceptedKinds[t] == nil && t != storagepb.TableFieldSchema_RANGE:
		return fmt.Errorf("the type %s is not supported", t)
	case c.GetMaxLength() < 0 || c.GetMaxLength() > 0 && !text:
		return fmt.Errorf("a maximum length of %d does not fit the type %s", c.GetMaxLength(), typeName(t))
	case (c.GetPrecision() != 0 || c.GetScale() != 0) && !(decimal && validDecimal(c)):
		return fmt.Errorf("precision %d and scale %d do not fit the type %s", c.GetPrecision(), c.GetScale(), typeName(t))
	case precision != 0 && !((precision == 6 || precision == 12) && t == storagepb.TableFieldSchema_TIMESTAMP):
		return fmt.Errorf("a precision of %d digits of a second does not fit the type %s", precision, typeName(t))
	case t == storagepb.TableFieldSchema_RANGE && clocks[c.GetRangeElementType().GetType()].name == "" ||
		c.GetRangeElementType().GetType() == storagepb.TableFieldSchema_TIME:
		return fmt.Errorf("a range of %s is not supported", typeName(c.GetRangeElementType().GetType()))
	case c.GetDefaultValueExpression() != "" && depth > 1:
		return errors.New("only top-level columns have default values")
	}
	d, err := parseDefault(c)
	if err != nil {
		return err
	}
	if c.GetDefaultValueExpression() != "" && c.GetMode() == storagepb.TableFieldSchema_REQUIRED && d.value.Kind == NullValue && d.now == nil {
		return errors.New("a REQUIRED column can't have NULL by default")
	}
	return nil
}

// validDecimal checks the parameters of a NUMERIC or BIGNUMERIC.
func validDecimal(c *storagepb.TableFieldSchema) bool {
	whole, scale := c.GetPrecision()-c.GetScale(), c.GetScale() // max(1, scale) <= precision
	if c.GetType() == storagepb.TableFieldSchema_NUMERIC {
		return c.GetPrecision() >= 1 && 0 <= whole && whole <= 29 && 0 <= scale && scale <= 9
	}
	return c.GetPrecision() >= 1 && 0 <= whole && whole <= 38 && 0 <= scale && scale <= 38
}
