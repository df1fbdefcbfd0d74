package emulator

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	tBool     = descriptorpb.FieldDescriptorProto_TYPE_BOOL
	tBytes    = descriptorpb.FieldDescriptorProto_TYPE_BYTES
	tEnum     = descriptorpb.FieldDescriptorProto_TYPE_ENUM
	tFloat    = descriptorpb.FieldDescriptorProto_TYPE_FLOAT
	tInt32    = descriptorpb.FieldDescriptorProto_TYPE_INT32
	tUint32   = descriptorpb.FieldDescriptorProto_TYPE_UINT32
	tSint64   = descriptorpb.FieldDescriptorProto_TYPE_SINT64
	tSint32   = descriptorpb.FieldDescriptorProto_TYPE_SINT32
	tFixed32  = descriptorpb.FieldDescriptorProto_TYPE_FIXED32
	tFixed64  = descriptorpb.FieldDescriptorProto_TYPE_FIXED64
	tSfixed32 = descriptorpb.FieldDescriptorProto_TYPE_SFIXED32
	tSfixed64 = descriptorpb.FieldDescriptorProto_TYPE_SFIXED64
	tGroup    = descriptorpb.FieldDescriptorProto_TYPE_GROUP
)

// typed is a column of a type, with its parameters.
func typed(t storagepb.TableFieldSchema_Type, parameters ...int64) *storagepb.TableFieldSchema {
	c := &storagepb.TableFieldSchema{Name: "c", Type: t}
	switch {
	case len(parameters) == 2:
		c.Precision, c.Scale = parameters[0], parameters[1]
	case len(parameters) == 1 && t == storagepb.TableFieldSchema_TIMESTAMP:
		c.TimestampPrecision = wrapperspb.Int64(parameters[0])
	case len(parameters) == 1:
		c.MaxLength = parameters[0]
	}
	return c
}

func rangeOf(t storagepb.TableFieldSchema_Type) *storagepb.TableFieldSchema {
	c := typed(storagepb.TableFieldSchema_RANGE)
	c.RangeElementType = &storagepb.TableFieldSchema_FieldElementType{Type: t}
	return c
}

// single is a writer's schema with one field c, number 1, of a kind; of a message or an enum if one is given.
func single(t kind, types ...proto.Message) *descriptorpb.DescriptorProto {
	d := message("M", field("c", 1, t))
	for i, nested := range types {
		switch nested := nested.(type) {
		case *descriptorpb.EnumDescriptorProto:
			d.EnumType = append(d.EnumType, nested)
			d.Field[0].TypeName = proto.String("M." + nested.GetName())
		case *descriptorpb.DescriptorProto:
			d.NestedType = append(d.NestedType, nested)
			if i == 0 {
				d.Field[0].TypeName = proto.String("M." + nested.GetName())
			}
		}
	}
	return d
}

// planOf matches one column with a writer's schema; nil: a mismatch.
func planOf(t require.TestingT, d *descriptorpb.DescriptorProto, columns ...*storagepb.TableFieldSchema) *plan {
	raw, err := proto.Marshal(d)
	require.NoError(t, err)
	w, err := parseWriterSchema(raw)
	require.NoError(t, err)
	schema := &storagepb.TableSchema{Fields: columns}
	require.NoError(t, checkSchema(schema))
	p, mismatch := match("s", w, schema)
	if mismatch != nil {
		return nil
	}
	return p
}

// wire is a field c with a value as it stands on the wire.
func wire(v any) []byte {
	tag := func(t protowire.Type) []byte { return protowire.AppendTag(nil, 1, t) }
	switch v := v.(type) {
	case int:
		return protowire.AppendVarint(tag(protowire.VarintType), uint64(v))
	case uint64:
		return protowire.AppendVarint(tag(protowire.VarintType), v)
	case float64:
		return protowire.AppendFixed64(tag(protowire.Fixed64Type), math.Float64bits(v))
	case float32:
		return protowire.AppendFixed32(tag(protowire.Fixed32Type), math.Float32bits(v))
	case fixed64:
		return protowire.AppendFixed64(tag(protowire.Fixed64Type), uint64(v))
	case fixed32:
		return protowire.AppendFixed32(tag(protowire.Fixed32Type), uint32(v))
	case []byte:
		return protowire.AppendBytes(tag(protowire.BytesType), v)
	case string:
		return protowire.AppendString(tag(protowire.BytesType), v)
	}
	panic(fmt.Sprintf("%T", v))
}

type (
	fixed64 uint64
	fixed32 uint32
)

// inner is a message with varints of fields 1 and 2.
func inner(first, second int64) []byte { return varintField(varintField(nil, 1, first), 2, second) }

var (
	stampMessage    = message("google_protobuf_Timestamp", field("seconds", 1, tInt64), field("nanos", 2, tInt32))
	picosMessage    = message("Instant", field("seconds", 1, tInt64), field("picoseconds", 2, tInt64))
	durationMsg     = message("google_protobuf_Duration", field("seconds", 1, tInt64), field("nanos", 2, tInt32))
	colours         = &descriptorpb.EnumDescriptorProto{Name: proto.String("Colour"), Value: []*descriptorpb.EnumValueDescriptorProto{{Name: proto.String("RED"), Number: proto.Int32(0)}, {Name: proto.String("BLUE"), Number: proto.Int32(-2)}}}
	int64Range      = message("R", field("start", 1, tInt64), field("end", 2, tInt64))
	int32Range      = message("R", field("start", 1, tInt32), field("end", 2, tInt32))
	stringRange     = message("R", field("start", 1, tString), field("end", 2, tString))
	bigNumericBytes = func(last byte) []byte { b := make([]byte, 32); b[31] = last; return b }
)

func wrapper(name string, t kind) *descriptorpb.DescriptorProto {
	return message("google_protobuf_"+name, field("value", 1, t))
}

func packTime(h, m, s, micros int) int      { return (h<<12|m<<6|s)<<20 | micros }
func packDate(y, m, d, h, mi, s, u int) int { return (y<<9|m<<5|d)<<37 | packTime(h, mi, s, u) }

const refusedValue = "\x00refused" // wanted of a value that is a row error

// If this failed, a value would be stored as another one, or be accepted where the service refuses it.
func TestValuesOfEveryType(t *testing.T) {
	const (
		sBool     = storagepb.TableFieldSchema_BOOL
		sBytes    = storagepb.TableFieldSchema_BYTES
		sDate     = storagepb.TableFieldSchema_DATE
		sDatetime = storagepb.TableFieldSchema_DATETIME
		sTime     = storagepb.TableFieldSchema_TIME
		sDouble   = storagepb.TableFieldSchema_DOUBLE
		sGeo      = storagepb.TableFieldSchema_GEOGRAPHY
		sInt      = storagepb.TableFieldSchema_INT64
		sJSON     = storagepb.TableFieldSchema_JSON
		sNum      = storagepb.TableFieldSchema_NUMERIC
		sBig      = storagepb.TableFieldSchema_BIGNUMERIC
		sString   = storagepb.TableFieldSchema_STRING
		sStamp    = storagepb.TableFieldSchema_TIMESTAMP
		sInterval = storagepb.TableFieldSchema_INTERVAL
	)
	nines := strings.Repeat("9", 29) + "." + strings.Repeat("9", 9)
	bigMax := "578960446186580977117854925043439539266.34992332820282019728792003956564819967"
	for _, c := range []struct {
		column *storagepb.TableFieldSchema
		desc   *descriptorpb.DescriptorProto
		values map[any]string // on the wire, to text or refusedValue
	}{
		{typed(sBool), single(tBool), map[any]string{0: "false", 1: "true"}},
		{typed(sBool), single(tInt64), map[any]string{0: "false", -7: "true"}},
		{typed(sBool), single(tUint64), map[any]string{2: "true"}},
		{typed(sBool), single(tMessage, wrapper("BoolValue", tBool)), map[any]string{string(varintField(nil, 1, 1)): "true", "": "false"}},
		{typed(sInt), single(tInt64), map[any]string{math.MinInt64: "-9223372036854775808", math.MaxInt64: "9223372036854775807"}},
		{typed(sInt), single(tInt32), map[any]string{-5: "-5", 1<<32 + 7: "7"}},
		{typed(sInt), single(tUint32), map[any]string{math.MaxUint32: "4294967295"}},
		{typed(sInt), single(tSint64), map[any]string{1: "-1", 2: "1", uint64(math.MaxUint64): "-9223372036854775808"}},
		{typed(sInt), single(tSint32), map[any]string{math.MaxUint32: "-2147483648"}},
		{typed(sInt), single(tFixed32), map[any]string{fixed32(math.MaxUint32): "4294967295"}},
		{typed(sInt), single(tSfixed32), map[any]string{fixed32(math.MaxUint32): "-1"}},
		{typed(sInt), single(tSfixed64), map[any]string{fixed64(math.MaxUint64): "-1"}},
		{typed(sInt), single(tEnum, colours), map[any]string{0: "0", -2: "-2", 9: ""}},
		{typed(sInt), single(tMessage, wrapper("Int64Value", tInt64)), map[any]string{string(varintField(nil, 1, -3)): "-3"}},
		{typed(sDouble), single(tDouble), map[any]string{1.0: "1.0", 0.1: "0.1", 1e10: "1.0E10", 1234567.5: "1234567.5",
			-1.5e-7: "-1.5E-7", 0.001: "0.001", 0.0009: "9.0E-4", math.Inf(1): "Infinity", math.Inf(-1): "-Infinity", math.NaN(): "NaN",
			math.MaxFloat64: "1.7976931348623157E308", 5e-324: "5.0E-324", 1e7: "1.0E7", 9999999.0: "9999999.0", 0.0: "0.0"}},
		{typed(sDouble), single(tFloat), map[any]string{float32(0.5): "0.5"}},
		{typed(sDouble), single(tMessage, wrapper("FloatValue", tFloat)), map[any]string{string(protowire.AppendFixed32(protowire.AppendTag(nil, 1, protowire.Fixed32Type), math.Float32bits(2))): "2.0"}},
		{typed(sString), single(tString), map[any]string{"äöü": "äöü", "": "", "a\xff": "a\uFFFD"}},
		{typed(sString, 3), single(tString), map[any]string{"äöü": "äöü", "abcd": refusedValue}},
		{typed(sString), single(tEnum, colours), map[any]string{0: "RED", -2: "BLUE", 5: ""}},
		{typed(sString, 3), single(tMessage, wrapper("StringValue", tString)), map[any]string{string(bytesField(nil, 1, "abc")): "abc", string(bytesField(nil, 1, "abcd")): refusedValue, "\x0a\xff": refusedValue}},
		{typed(sBytes), single(tBytes), map[any]string{"\x00\xff\xfe": "AP/+"}},
		{typed(sBytes), single(tString), map[any]string{"AAAA": "QUFBQQ=="}},
		{typed(sBytes, 2), single(tBytes), map[any]string{"ab": "YWI=", "abc": refusedValue}},
		{typed(sDate), single(tInt32), map[any]string{0: "1970-01-01", -719162: "0001-01-01", 2932896: "9999-12-31", -719163: refusedValue, 2932897: refusedValue}},
		{typed(sDate), single(tInt64), map[any]string{19782: "2024-02-29", math.MinInt64: refusedValue}},
		{typed(sDate), single(tString), map[any]string{"2024-02-29": "2024-02-29", "2024-2-9": "2024-02-09", "2023-02-29": refusedValue, "0000-01-01": refusedValue,
			"20240229": refusedValue, "2024-02-29 ": refusedValue, "": refusedValue, "10000-01-01": refusedValue}},
		{typed(sTime), single(tInt64), map[any]string{packTime(23, 59, 59, 999999): "23:59:59.999999", 0: "00:00:00", packTime(24, 0, 0, 0): refusedValue, packTime(1, 60, 0, 0): refusedValue, 1 << 40: refusedValue, -1: refusedValue, packTime(0, 0, 0, 1000000): refusedValue}},
		{typed(sTime), single(tString), map[any]string{"1:2:3": "01:02:03", "12:34:56.5": "12:34:56.500000", "12:34:56.1234567": refusedValue, "12:34": refusedValue, "24:00:00": refusedValue}},
		{typed(sDatetime), single(tInt64), map[any]string{packDate(2024, 2, 29, 23, 59, 59, 999999): "2024-02-29T23:59:59.999999", packDate(1, 1, 1, 0, 0, 0, 0): "0001-01-01T00:00:00", packDate(10000, 1, 1, 0, 0, 0, 0): refusedValue, packDate(2023, 2, 29, 0, 0, 0, 0): refusedValue, -1: refusedValue, 0: refusedValue}},
		{typed(sDatetime), single(tString), map[any]string{"2024-02-29": "2024-02-29T00:00:00", "2024-02-29T1:2:3.004": "2024-02-29T01:02:03.004000", "2024-02-29 24:00:00": refusedValue, "2024-02-29T01:02:03Z": refusedValue}},
		{typed(sStamp), single(tInt64), map[any]string{-1: "-1", 253402300799999999: "253402300799999999", 253402300800000000: refusedValue, -62135596800000001: refusedValue}},
		{typed(sStamp), single(tUint32), map[any]string{7: "7"}},
		{typed(sStamp), single(tMessage, stampMessage), map[any]string{string(inner(-1, 999999999)): "-1", "": "0", string(inner(253402300800, 0)): refusedValue, string(inner(math.MinInt64, 0)): refusedValue, string(inner(0, -1)): refusedValue, string(inner(0, 1000000000)): refusedValue}},
		{typed(sStamp), single(tString), map[any]string{"1970-01-01T00:00:01Z": "1000000", "1970-01-01 00:00:01.5+01:00": "-3598500000", "1970-01-01": "0",
			"1970-01-01 00:00:00 UTC": "0", "2024-07-01 00:00:00 Europe/Berlin": "1719784800000000", "1970-01-01 00:00:00+00": refusedValue,
			"0001-01-01T00:00:00+01:00": refusedValue, "1970-01-01 00:00:00 Local": refusedValue, "1970-01-01T00:00:00.1234567Z": refusedValue, "0": refusedValue, "": refusedValue, "1970-01-01T": refusedValue}},
		{typed(sStamp, 12), single(tMessage, picosMessage), map[any]string{string(inner(1, 123456789012)): "1970-01-01T00:00:01.123456789012Z"}},
		{typed(sStamp, 12), single(tString), map[any]string{"1969-12-31T23:59:59.999999999999Z": "1969-12-31T23:59:59.999999999999Z"}},
		{typed(sJSON), single(tString), map[any]string{`{ "a": [1, null] }`: `{"a":[1,null]}`, "null": "null", "": refusedValue, "{": refusedValue, "1 2": refusedValue}},
		{typed(sGeo), single(tString), map[any]string{"POINT(1 2)": "POINT(1 2)", `{"type":"Point","coordinates":[1,2]}`: `{"type":"Point","coordinates":[1,2]}`, "nowhere": refusedValue, "": refusedValue}},
		{typed(sNum), single(tString), map[any]string{"1.25": "1.25", "-0.000000001": "-0.000000001", "0.0000000005": "0.000000001", "-0.0000000005": "-0.000000001", "0.00000000049": "0",
			nines: nines, "-" + nines: "-" + nines, nines + "5": refusedValue, "1e28": "1" + strings.Repeat("0", 28), "1e29": refusedValue, "1e-999999999": "0", "0e999999999": "0", "1e999999999": refusedValue, "1e99999999999999999999": refusedValue,
			" +.5 ": "0.5", "": refusedValue, "-": refusedValue, ".": refusedValue, "1.2.3": refusedValue, "0x1": refusedValue, "NaN": refusedValue, "1_0": refusedValue, "000012": "12", "12000": "12000"}},
		{typed(sNum), single(tDouble), map[any]string{0.1: "0.1", -1e28: "-9999999999999999583119736832", math.NaN(): refusedValue, math.Inf(1): refusedValue, 1e30: refusedValue, 5e-324: "0"}},
		{typed(sNum), single(tFloat), map[any]string{float32(1.5): "1.5"}},
		{typed(sNum), single(tUint64), map[any]string{uint64(math.MaxUint64): "18446744073709551615"}},
		{typed(sNum), single(tInt64), map[any]string{math.MinInt64: "-9223372036854775808"}},
		{typed(sNum), single(tBytes), map[any]string{"\x00": "0", "\xff": "-0.000000001", "\x00\xca\x9a\x3b": "1", "\x00\x36\x65\xc4": "-1", "": refusedValue,
			"\xff\xff\xff\xff\x3f\x22\x8a\x09\x7a\xc4\x86\x5a\xa8\x4c\x3b\x4b": nines, "\x01\x00\x00\x00\xc0\xdd\x75\xf6\x85\x3b\x79\xa5\x57\xb3\xc4\xb4": "-" + nines,
			"\x00\x00\x00\x00\x40\x22\x8a\x09\x7a\xc4\x86\x5a\xa8\x4c\x3b\x4b": refusedValue, strings.Repeat("\x00", 17): refusedValue}},
		{typed(sNum, 10, 2), single(tString), map[any]string{"1.245": "1.25", "-1.245": "-1.25", "99999999.994": "99999999.99", "99999999.995": refusedValue, "-99999999.995": refusedValue, "1.2449999999": "1.25"}},
		{typed(sNum, 3, 0), single(tInt64), map[any]string{999: "999", 1000: refusedValue, -1000: refusedValue}},
		{typed(sBig), single(tBytes), map[any]string{string(bigNumericBytes(0x80)): "-578960446186580977117854925043439539266.34992332820282019728792003956564819968", strings.Repeat("\xff", 31) + "\x7f": bigMax, "\x01": "0." + strings.Repeat("0", 37) + "1", strings.Repeat("\x00", 33): refusedValue}},
		{typed(sBig), single(tString), map[any]string{bigMax: bigMax, "578960446186580977117854925043439539266.34992332820282019728792003956564819968": refusedValue, "1e39": refusedValue, "1e38": "1" + strings.Repeat("0", 38)}},
		{typed(sBig, 38, 0), single(tString), map[any]string{strings.Repeat("9", 38): strings.Repeat("9", 38), strings.Repeat("9", 38) + ".5": refusedValue}},
		{typed(sNum), single(tMessage, wrapper("BytesValue", tBytes)), map[any]string{string(bytesField(nil, 1, "\x00\xca\x9a\x3b")): "1", "": refusedValue}},
		{typed(sInterval), single(tString), map[any]string{"1-2 3 4:5:6.789": "1-2 3 4:5:6.789", "-0-1 -2 -3:0:0": "-0-1 -2 -3:0:0", "P1Y2M3DT4H5M6.5S": "1-2 3 4:5:6.500", "PT-1S": "0-0 0 -0:0:1", "P1W": "0-0 7 0:0:0",
			"0-0 0 87840000:0:0": "0-0 0 87840000:0:0", "0-0 0 87840000:0:1": refusedValue, "10000-1 0 0:0:0": refusedValue, "P": refusedValue, "PT": refusedValue, "P1D1Y": refusedValue, "1 day": refusedValue, "PT99999999999H": refusedValue}},
		{typed(sInterval), single(tMessage, durationMsg), map[any]string{string(inner(3661, 500000000)): "0-0 0 1:1:1.500", string(inner(-1, -1000)): "0-0 0 -0:0:1.000001", string(inner(1, -1)): refusedValue, string(inner(math.MaxInt64, 0)): refusedValue}},
		{rangeOf(sDate), single(tMessage, int32Range), map[any]string{string(inner(0, 1)): "[1970-01-01, 1970-01-02)", string(varintField(nil, 1, 0)): "[1970-01-01, UNBOUNDED)", "": "[UNBOUNDED, UNBOUNDED)", string(inner(1, 1)): refusedValue, string(inner(0, 1<<30)): refusedValue}},
		{rangeOf(sStamp), single(tMessage, int64Range), map[any]string{string(inner(-10, 9)): "[-10, 9)", string(inner(9, -10)): refusedValue, string(inner(math.MinInt64, 0)): refusedValue}},
		{rangeOf(sDatetime), single(tMessage, stringRange), map[any]string{string(bytesField(bytesField(nil, 1, "2024-01-01 00:00:00"), 2, "2024-01-01 00:00:00.1")): "[2024-01-01T00:00:00, 2024-01-01T00:00:00.100000)"}},
	} {
		name := strings.TrimPrefix(c.desc.Field[0].GetType().String(), "TYPE_")
		t.Run(c.column.GetType().String()+" of "+name+" "+c.desc.Field[0].GetTypeName(), func(t *testing.T) {
			p := planOf(t, c.desc, c.column)
			require.NotNil(t, p)
			for value, want := range c.values {
				row := wire(value)
				problem := p.read(row, nil, nil)
				values, again := p.values(row, nil)
				require.Equal(t, problem, again, "%v", value)
				if want == refusedValue {
					require.NotEmpty(t, problem, "%v was read as %v", value, values)
					require.LessOrEqual(t, len(problem), 300)
					continue
				}
				require.Empty(t, problem, "%v", value)
				require.Equal(t, want, values[0].Text, "%v", value)
			}
		})
	}
}
