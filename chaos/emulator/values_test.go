package emulator

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"
)

// everything is a table with a column of each type, twice REPEATED, in a record too, and a writer's schema that numbers
// its fields like them; pick chooses among the proto types that a column takes.
func everything(pick func(n int) int) (*descriptorpb.DescriptorProto, []*storagepb.TableFieldSchema) {
	columns := []*storagepb.TableFieldSchema{
		typed(storagepb.TableFieldSchema_BOOL), typed(storagepb.TableFieldSchema_INT64), typed(storagepb.TableFieldSchema_DOUBLE),
		typed(storagepb.TableFieldSchema_STRING, 3), typed(storagepb.TableFieldSchema_BYTES, 3), typed(storagepb.TableFieldSchema_DATE),
		typed(storagepb.TableFieldSchema_TIME), typed(storagepb.TableFieldSchema_DATETIME), typed(storagepb.TableFieldSchema_TIMESTAMP),
		typed(storagepb.TableFieldSchema_TIMESTAMP, 12), typed(storagepb.TableFieldSchema_JSON), typed(storagepb.TableFieldSchema_GEOGRAPHY),
		typed(storagepb.TableFieldSchema_NUMERIC), typed(storagepb.TableFieldSchema_NUMERIC, 5, 2), typed(storagepb.TableFieldSchema_BIGNUMERIC),
		typed(storagepb.TableFieldSchema_INTERVAL), rangeOf(storagepb.TableFieldSchema_DATE), rangeOf(storagepb.TableFieldSchema_TIMESTAMP),
		typed(storagepb.TableFieldSchema_STRING), typed(storagepb.TableFieldSchema_BIGNUMERIC, 40, 20),
	}
	d := message("M")
	d.NestedType = []*descriptorpb.DescriptorProto{stampMessage, picosMessage, durationMsg, int32Range, wrapper("BoolValue", tBool),
		wrapper("BytesValue", tBytes), wrapper("DoubleValue", tDouble), wrapper("Int64Value", tInt64), wrapper("StringValue", tString),
		message("S", field("start", 1, tMessage), field("end", 2, tString))}
	d.NestedType[9].Field[0].TypeName = proto.String("M.google_protobuf_Timestamp")
	d.EnumType = []*descriptorpb.EnumDescriptorProto{colours}
	modes := []storagepb.TableFieldSchema_Mode{storagepb.TableFieldSchema_NULLABLE, storagepb.TableFieldSchema_REQUIRED, storagepb.TableFieldSchema_REPEATED}
	kinds := proto.CloneOf(d) // one field of each type
	for k := kind(1); k <= 18; k++ {
		for _, nested := range d.NestedType {
			f := field("f"+strconv.Itoa(len(kinds.Field)), int32(len(kinds.Field)+1), k)
			switch {
			case k == tMessage:
				f.TypeName = proto.String("M." + nested.GetName())
			case k == tEnum:
				f.TypeName = proto.String("M.Colour")
			case k == tGroup:
				continue
			}
			if kinds.Field = append(kinds.Field, f); k != tMessage {
				break
			}
		}
	}
	raw, err := proto.Marshal(kinds)
	if err != nil {
		panic(err)
	}
	w, err := parseWriterSchema(raw)
	if err != nil {
		panic(err)
	}
	for i, c := range columns {
		c.Name, c.Mode = "c"+strconv.Itoa(i), modes[pick(len(modes))]
		var fits []*descriptorpb.FieldDescriptorProto
		for n, f := range kinds.Field {
			if accepts(c, w.message.Fields().Get(n)) { // as TestAcceptedProtoTypes checks
				fits = append(fits, f)
			}
		}
		f := proto.CloneOf(fits[pick(len(fits))])
		f.Name, f.Number = proto.String(c.Name), proto.Int32(int32(i+1))
		if c.Mode == storagepb.TableFieldSchema_REPEATED {
			f.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		d.Field = append(d.Field, f)
	}
	rec := &storagepb.TableFieldSchema{Name: "rec", Type: storagepb.TableFieldSchema_STRUCT, Mode: modes[pick(2)*2], Fields: columns}
	outer := message("Outer", field("rec", 1, []kind{tMessage, tGroup}[pick(2)]), field("more", 2, tInt64))
	outer.NestedType = []*descriptorpb.DescriptorProto{d}
	outer.Field[0].TypeName = proto.String(".Outer.M")
	if outer.Field[0].GetType() == tGroup {
		outer.Field[0].Name = proto.String("m")
		rec.Name = "m"
	}
	if rec.Mode == storagepb.TableFieldSchema_REPEATED {
		outer.Field[0].Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	return outer, []*storagepb.TableFieldSchema{rec, column("more", storagepb.TableFieldSchema_INT64, "5")}
}

// agree reads a row both ways.
func agree(t require.TestingT, p *plan, columns []*storagepb.TableFieldSchema, row []byte) (values []Value, problem string) {
	problem = p.read(row, nil, nil)
	values, again := p.values(row, nil)
	require.Equal(t, problem, again)
	if problem == "" {
		shown, err := newView([][]*storagepb.TableFieldSchema{columns}).show(values)
		require.NoError(t, err)
		require.Equal(t, values, shown)
	}
	return values, problem
}

// If this failed, hostile rows could fault the emulator, or a row could be accepted that can't be shown.
func FuzzValues(f *testing.F) {
	plans := make([]*plan, 16)
	schemas := make([][]*storagepb.TableFieldSchema, len(plans))
	for at := range plans {
		random := rand.New(rand.NewPCG(uint64(at), 0))
		d, columns := everything(random.IntN)
		plans[at], schemas[at] = planOf(f, d, columns...), columns
		for num, text := range map[protowire.Number]string{4: "abc", 6: "2024-02-29", 9: "2024-02-29 01:02:03Z", 13: "1.5", 16: "1-2 3 4:5:6"} {
			f.Add(byte(at), bytesField(nil, 1, string(bytesField(varintField(nil, num, 7), num, text))))
		}
	}
	f.Fuzz(func(t *testing.T, choice byte, row []byte) {
		at := int(choice) % len(plans)
		agree(t, plans[at], schemas[at], row)
	})
}

// If this failed, a hostile writer's schema could fault the emulator.
func FuzzWriterSchema(f *testing.F) {
	for seed := range byte(8) {
		d, columns := everything(func(n int) int { return int(seed) % n })
		desc, err := proto.Marshal(d)
		require.NoError(f, err)
		schema, err := proto.Marshal(&storagepb.TableSchema{Fields: columns})
		require.NoError(f, err)
		row := varintField(bytesField(nil, 4, "abc"), 1, 1)
		row = bytesField(row, 13, "1.5")
		f.Add(desc, schema, bytesField(nil, 1, string(row)))
		f.Add(desc, schema, []byte(nil))
	}
	f.Fuzz(func(t *testing.T, desc, schemaBytes, row []byte) {
		schema := new(storagepb.TableSchema)
		if proto.Unmarshal(schemaBytes, schema) != nil || checkSchema(schema) != nil {
			return
		}
		w, err := parseWriterSchema(desc)
		if err != nil {
			return
		}
		p, mismatch := match("s", w, schema)
		if mismatch != nil {
			return
		}
		if _, problem := agree(t, p, schema.GetFields(), row); problem == "" {
			require.NoError(t, proto.UnmarshalOptions{AllowPartial: true}.Unmarshal(row, dynamicpb.NewMessage(w.message)))
		}
	})
}

// If this failed, some choice of proto types for the columns would read rows otherwise than they were written.
func TestCheckAndDecodeAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, columns := everything(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") })
		p := planOf(t, d, columns...)
		require.NotNil(t, p)
		var fields []byte
		text := rapid.SampledFrom([]string{"", "abc", "1.5", "2024-02-29", "1:2:3", "2024-02-29 01:02:03", "POINT(1 2)", "1-2 3 4:5:6", "1e30", "\x08\x01\x10\x02", "\x0a\x01\x01", "\x01"})
		for range rapid.IntRange(0, 60).Draw(t, "fields") {
			f := d.NestedType[0].Field[rapid.IntRange(0, len(columns[0].Fields)-1).Draw(t, "field")]
			var value []byte
			switch kind := *f.Type; kind {
			case tString, tBytes, tMessage:
				value = wire(text.Draw(t, "text"))
			case tDouble, tFixed64, tSfixed64:
				value = wire(fixed64(rapid.Uint64().Draw(t, "bits")))
			case tFloat, tFixed32, tSfixed32:
				value = wire(fixed32(rapid.Uint32().Draw(t, "bits")))
			default:
				value = wire(int(rapid.Int64Range(-1000, 1000).Draw(t, "small")) << rapid.IntRange(0, 40).Draw(t, "shift"))
			}
			// The tag of field 1 is one byte; give it its own number.
			fields = append(append(fields, tagOf(f.GetNumber(), value[0]&7)...), value[1:]...)
		}
		if columns[0].Name == "m" {
			agree(t, p, columns, append(append([]byte{1<<3 | 3}, fields...), 1<<3|4))
			return
		}
		agree(t, p, columns, bytesField(nil, 1, string(fields)))
	})
}

func tagOf(num int32, typ byte) []byte {
	n := uint64(num)<<3 | uint64(typ)
	if n < 0x80 {
		return []byte{byte(n)}
	}
	return []byte{byte(n) | 0x80, byte(n >> 7)}
}

// If this failed, decimals would be rounded otherwise than half away from zero, or spelled as another number.
func TestDecimalsAgainstRationals(t *testing.T) {
	column := typed(storagepb.TableFieldSchema_NUMERIC)
	p := planOf(t, single(tString), column)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?[0-9]{1,32}(\.[0-9]{0,14})?(e-?[0-9])?`).Draw(t, "decimal")
		exact, ok := new(big.Rat).SetString(text)
		require.True(t, ok)
		scaled := new(big.Rat).Mul(exact, new(big.Rat).SetInt(power(9)))
		half := big.NewRat(int64(exact.Sign()), 2)
		scaled.Add(scaled, half)
		whole := new(big.Int).Quo(scaled.Num(), scaled.Denom()) // truncates towards zero
		values, problem := p.values(wire(text), nil)
		require.Equal(t, whole.CmpAbs(numericMax) > 0, problem != "")
		if problem == "" {
			got, ok := new(big.Rat).SetString(values[0].Text)
			require.True(t, ok)
			require.Zero(t, got.Cmp(new(big.Rat).SetFrac(whole, power(9))), values[0].Text)
			require.False(t, strings.Contains(values[0].Text, ".") && strings.HasSuffix(values[0].Text, "0"))
		}
	})
}

// If this failed, FLOAT and TIMESTAMP would be spelled so that a client reads another value.
func TestSpellings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := math.Float64frombits(rapid.Uint64().Draw(t, "bits"))
		back, err := strconv.ParseFloat(formatFloat(f), 64)
		require.NoError(t, err)
		require.True(t, back == f || math.IsNaN(back) && math.IsNaN(f), formatFloat(f))
		micros := rapid.Int64Range(minTimestamp, maxTimestamp).Draw(t, "micros")
		seconds, ok := new(big.Rat).SetString(Value{Micros: micros}.Seconds())
		require.True(t, ok)
		require.Zero(t, seconds.Cmp(big.NewRat(micros, 1_000_000)))
		days := rapid.IntRange(minDate, maxDate).Draw(t, "days")
		c, problem := dateDays(scalar{num: uint64(days)})
		require.Empty(t, problem)
		require.Equal(t, time.Unix(int64(days)*86400, 0).UTC().Format(time.DateOnly), c.date())
	})
	require.Equal(t, "1.4200704E9", Value{Micros: 1420070400000000}.Seconds())
	require.Equal(t, "1.609459200123456E9", Value{Micros: 1609459200123456}.Seconds())
	require.Equal(t, "0.0", Value{}.Seconds())
	require.Equal(t, "-5.0E-6", Value{Micros: -5}.Seconds())
}
