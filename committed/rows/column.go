package rows

import (
	"errors"
	"fmt"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/descriptorpb"
)

// kind is how a column's JSON is read and written.
type kind uint8

const (
	kindString kind = iota
	kindInteger
	kindFloat
	kindBool
	kindTimestamp
	kindPicos // TIMESTAMP(12)
	kindDate
	kindTime
	kindDatetime
	kindBytes
	kindNumeric
	kindGeography
	kindJSON
	kindInterval
	kindRange
	kindRecord
)

// column says what a BigQuery type is here: its kind, its name in messages, and the wire form that
// Append writes. Descriptor describes the same form.
type column struct {
	kind kind
	name string
	form descriptorpb.FieldDescriptorProto_Type
	wire protowire.Type
}

var columns = map[storagepb.TableFieldSchema_Type]column{
	storagepb.TableFieldSchema_STRING:     {kindString, "STRING", descriptorpb.FieldDescriptorProto_TYPE_STRING, protowire.BytesType},
	storagepb.TableFieldSchema_INT64:      {kindInteger, "INTEGER", descriptorpb.FieldDescriptorProto_TYPE_INT64, protowire.VarintType},
	storagepb.TableFieldSchema_DOUBLE:     {kindFloat, "FLOAT", descriptorpb.FieldDescriptorProto_TYPE_DOUBLE, protowire.Fixed64Type},
	storagepb.TableFieldSchema_BOOL:       {kindBool, "BOOL", descriptorpb.FieldDescriptorProto_TYPE_BOOL, protowire.VarintType},
	storagepb.TableFieldSchema_TIMESTAMP:  {kindTimestamp, "TIMESTAMP", descriptorpb.FieldDescriptorProto_TYPE_INT64, protowire.VarintType},
	storagepb.TableFieldSchema_DATE:       {kindDate, "DATE", descriptorpb.FieldDescriptorProto_TYPE_INT32, protowire.VarintType},
	storagepb.TableFieldSchema_TIME:       {kindTime, "TIME", descriptorpb.FieldDescriptorProto_TYPE_INT64, protowire.VarintType},
	storagepb.TableFieldSchema_DATETIME:   {kindDatetime, "DATETIME", descriptorpb.FieldDescriptorProto_TYPE_INT64, protowire.VarintType},
	storagepb.TableFieldSchema_BYTES:      {kindBytes, "BYTES", descriptorpb.FieldDescriptorProto_TYPE_BYTES, protowire.BytesType},
	storagepb.TableFieldSchema_NUMERIC:    {kindNumeric, "NUMERIC", descriptorpb.FieldDescriptorProto_TYPE_BYTES, protowire.BytesType},
	storagepb.TableFieldSchema_BIGNUMERIC: {kindNumeric, "BIGNUMERIC", descriptorpb.FieldDescriptorProto_TYPE_BYTES, protowire.BytesType},
	storagepb.TableFieldSchema_GEOGRAPHY:  {kindGeography, "GEOGRAPHY", descriptorpb.FieldDescriptorProto_TYPE_STRING, protowire.BytesType},
	storagepb.TableFieldSchema_JSON:       {kindJSON, "JSON", descriptorpb.FieldDescriptorProto_TYPE_STRING, protowire.BytesType},
	storagepb.TableFieldSchema_INTERVAL:   {kindInterval, "INTERVAL", descriptorpb.FieldDescriptorProto_TYPE_STRING, protowire.BytesType},
	storagepb.TableFieldSchema_RANGE:      {kindRange, "RANGE", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, protowire.BytesType},
	storagepb.TableFieldSchema_STRUCT:     {kindRecord, "RECORD", descriptorpb.FieldDescriptorProto_TYPE_MESSAGE, protowire.BytesType},
}

var picosColumn = column{kindPicos, "TIMESTAMP(12)", descriptorpb.FieldDescriptorProto_TYPE_STRING, protowire.BytesType}

// columnOf returns the zero column, whose name is empty, for a type that isn't known.
func columnOf(f *storagepb.TableFieldSchema) column {
	if f.GetType() == storagepb.TableFieldSchema_TIMESTAMP && f.GetTimestampPrecision().GetValue() == 12 {
		return picosColumn
	}
	return columns[f.GetType()]
}

func numericOf(f *storagepb.TableFieldSchema) (*numericType, error) {
	t := plainNumeric
	if f.GetType() == storagepb.TableFieldSchema_BIGNUMERIC {
		t = plainBignumeric
	}
	return t.parameterized(f.GetPrecision(), f.GetScale())
}

// checkCompilable holds a schema, from whatever source, against what BigQuery allows and the encoder
// knows.
func checkCompilable(schema *storagepb.TableSchema) error {
	if len(schema.GetFields()) == 0 {
		return errors.New("it has no columns")
	}
	if err := checkSchema(schema); err != nil {
		return err
	}
	return checkColumns(schema.GetFields(), "")
}

func checkColumns(fields []*storagepb.TableFieldSchema, under string) error {
	for _, f := range fields {
		path := under + f.GetName()
		if columnOf(f).name == "" {
			return fmt.Errorf("column %q: type %s is not known", path, f.GetType())
		}
		if _, ok := labels[f.GetMode()]; !ok {
			return fmt.Errorf("column %q: mode %s is not known", path, f.GetMode())
		}
		switch f.GetType() {
		case storagepb.TableFieldSchema_NUMERIC, storagepb.TableFieldSchema_BIGNUMERIC:
			if _, err := numericOf(f); err != nil {
				return fmt.Errorf("column %q: %w", path, err)
			}
		case storagepb.TableFieldSchema_RANGE:
			switch t := f.GetRangeElementType().GetType(); t {
			case storagepb.TableFieldSchema_DATE, storagepb.TableFieldSchema_DATETIME, storagepb.TableFieldSchema_TIMESTAMP:
			default:
				return fmt.Errorf("column %q: a RANGE is of DATE, DATETIME or TIMESTAMP, not of %s", path, t)
			}
		}
		if err := checkColumns(f.GetFields(), path+"."); err != nil {
			return err
		}
	}
	return nil
}
