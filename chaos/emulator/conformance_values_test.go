package emulator

import (
	"math"
	"strings"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// withTable are options of an emulator whose table orders has these columns.
func withTable(columns ...*storagepb.TableFieldSchema) Options {
	return Options{Tables: map[string]*storagepb.TableSchema{orders: {Fields: columns}}}
}

func column(name string, t storagepb.TableFieldSchema_Type, expression string) *storagepb.TableFieldSchema {
	return &storagepb.TableFieldSchema{Name: name, Type: t, DefaultValueExpression: expression}
}

// typedCall opens a stream with a writer's schema of its own.
func (b *bench) typedCall(d *descriptorpb.DescriptorProto) *call {
	c := b.open(b.create())
	c.desc = d
	return c
}

// texts are the columns of all rows as text, "NULL" for NULL.
func (b *bench) texts() (rows [][]string) {
	for _, row := range contents(b, b.srv, orders) {
		var texts []string
		for _, v := range row {
			if v.Kind == NullValue {
				v.Text = "NULL"
			}
			texts = append(texts, v.Text)
		}
		rows = append(rows, texts)
	}
	return rows
}

func defaultText(f *descriptorpb.FieldDescriptorProto, text string) *descriptorpb.FieldDescriptorProto {
	f.DefaultValue = proto.String(text)
	return f
}

// fillers is a table of columns with defaults, and one without.
func fillers() Options {
	return withTable(
		column("id", storagepb.TableFieldSchema_INT64, ""),
		column("name", storagepb.TableFieldSchema_STRING, "'none'"),
		column("price", storagepb.TableFieldSchema_NUMERIC, "1.50"),
		column("elsewhere", storagepb.TableFieldSchema_DATE, "DATE '2024-02-29'"), // not in the writer's schema
	)
}

func fillersCall(b *bench) *call {
	return b.typedCall(message("M", field("id", 1, tInt64), field("name", 2, tString), field("price", 3, tString)))
}

// interpreted sends a request with interpretations of missing values.
func (c *call) interpreted(offset int64, standard interpretation, columns map[string]interpretation, rows ...[]byte) *storagepb.AppendRowsResponse {
	req := c.request(offset, rows)
	req.DefaultMissingValueInterpretation, req.MissingValueInterpretations = standard, columns
	require.NoError(c, c.rpc.Send(req))
	return c.recv()
}

// valueCases are those of typed values.
var valueCases = []conformanceCase{
	{"case-38 lengths of STRING and BYTES", withTable(
		&storagepb.TableFieldSchema{Name: "foo", Type: storagepb.TableFieldSchema_STRING, MaxLength: 10}), func(b *bench) {
		c := b.typedCall(message("M", field("foo", 1, tString)))
		resp := c.refused(0, [][]byte{bytesField(nil, 1, "äöüäöüäöüä"), bytesField(nil, 1, "twelve chars")}, codes.InvalidArgument, 0)
		require.Len(b, resp.GetRowErrors(), 1)
		require.Equal(b, int64(1), resp.GetRowErrors()[0].GetIndex())
		require.Equal(b, "Field foo: STRING(10) has maximum length 10 but got a value with length 12 on field foo.", resp.GetRowErrors()[0].GetMessage())
	}},
	{"case-38 in a record", withTable(&storagepb.TableFieldSchema{Name: "rec", Type: storagepb.TableFieldSchema_STRUCT, Fields: []*storagepb.TableFieldSchema{
		{Name: "foo", Type: storagepb.TableFieldSchema_STRING, MaxLength: 2}}}), func(b *bench) {
		d := message("M", field("rec", 1, tMessage))
		d.Field[0].TypeName, d.NestedType = proto.String("Rec"), []*descriptorpb.DescriptorProto{message("Rec", field("foo", 1, tString))}
		resp := b.typedCall(d).refused(0, [][]byte{bytesField(nil, 1, string(bytesField(nil, 1, "abc")))}, codes.InvalidArgument, 0)
		require.Contains(b, resp.GetRowErrors()[0].GetMessage(), "STRING(2) has maximum length 2 but got a value with length 3 on field rec.foo.")
	}},
	{"case-39 range of TIMESTAMP", withTable(column("bar", storagepb.TableFieldSchema_TIMESTAMP, "")), func(b *bench) {
		c := b.typedCall(message("M", field("bar", 1, tInt64)))
		resp := c.refused(0, [][]byte{varintField(nil, 1, math.MinInt64)}, codes.InvalidArgument, 0)
		require.Equal(b, "Timestamp field value is out of range: -9223372036854775808 on field bar.", resp.GetRowErrors()[0].GetMessage())
		c.ok(0, [][]byte{varintField(nil, 1, minTimestamp), varintField(nil, 1, maxTimestamp)}, 0)
		require.Equal(b, [][]string{{"-62135596800000000"}, {"253402300799999999"}}, b.texts())
	}},
	{"case-40 civil DATETIME", withTable(column("datetimefield", storagepb.TableFieldSchema_DATETIME, "")), func(b *bench) {
		c := b.typedCall(message("M", field("datetimefield", 1, tInt64)))
		resp := c.refused(0, [][]byte{varintField(nil, 1, 1550402640)}, codes.InvalidArgument, 0)
		require.Equal(b, "Cannot return an invalid datetime value of 1550402640 microseconds expressed as civil time, according to civil_time encoding. The range of valid datetime values is [0001-01-01 00:00:00, 9999-12-31 23:59:59.999999] on field datetimefield.", resp.GetRowErrors()[0].GetMessage())
	}},
	{"case-41 REQUIRED without a value", withTable(
		&storagepb.TableFieldSchema{Name: "req_col", Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_REQUIRED}), func(b *bench) {
		c := b.typedCall(message("M", field("req_col", 1, tString)))
		resp := c.refused(0, [][]byte{nil}, codes.InvalidArgument, 0)
		require.Equal(b, "Field value of req_col cannot be empty.", resp.GetRowErrors()[0].GetMessage())
		c.ok(0, [][]byte{bytesField(nil, 1, "")}, 0) // empty, and there
	}},
	{"case-42 JSON", withTable(column("doc", storagepb.TableFieldSchema_JSON, "")), func(b *bench) {
		c := b.typedCall(message("M", field("doc", 1, tString)))
		resp := c.refused(0, [][]byte{bytesField(nil, 1, "{'a':1}"), bytesField(nil, 1, "1")}, codes.InvalidArgument, 0)
		require.Len(b, resp.GetRowErrors(), 1)
		c.ok(0, [][]byte{bytesField(nil, 1, `{"a": [1, {}]}`)}, 0)
		require.Equal(b, [][]string{{`{"a":[1,{}]}`}}, b.texts())
	}},
	{"case-45 NUMERIC(10,2) rounds half away from zero", withTable(
		&storagepb.TableFieldSchema{Name: "n", Type: storagepb.TableFieldSchema_NUMERIC, Precision: 10, Scale: 2}), func(b *bench) {
		c := b.typedCall(message("M", field("n", 1, tString)))
		resp := c.refused(0, [][]byte{bytesField(nil, 1, "99999999.994"), bytesField(nil, 1, "99999999.995")}, codes.InvalidArgument, 0)
		require.Len(b, resp.GetRowErrors(), 1)
		require.Equal(b, int64(1), resp.GetRowErrors()[0].GetIndex())
		c.ok(0, [][]byte{bytesField(nil, 1, "1.245"), bytesField(nil, 1, "-1.245")}, 0)
		require.Equal(b, [][]string{{"1.25"}, {"-1.25"}}, b.texts())
	}},
	{"case-46 NUMERIC and BIGNUMERIC as bytes", withTable(column("n", storagepb.TableFieldSchema_NUMERIC, ""),
		column("b", storagepb.TableFieldSchema_BIGNUMERIC, "")), func(b *bench) {
		c := b.typedCall(message("M", field("n", 1, tBytes), field("b", 2, tBytes)))
		low, high := strings.Repeat("\x00", 31)+"\x80", strings.Repeat("\xff", 31)+"\x7f"
		c.ok(0, [][]byte{
			bytesField(bytesField(nil, 1, "\xff\xff\xff\xff\x3f\x22\x8a\x09\x7a\xc4\x86\x5a\xa8\x4c\x3b\x4b"), 2, high),
			bytesField(bytesField(nil, 1, "\x01\x00\x00\x00\xc0\xdd\x75\xf6\x85\x3b\x79\xa5\x57\xb3\xc4\xb4"), 2, low),
			bytesField(bytesField(nil, 1, "\xff"), 2, "\x01"),
		}, 0)
		require.Equal(b, [][]string{
			{"99999999999999999999999999999.999999999", "578960446186580977117854925043439539266.34992332820282019728792003956564819967"},
			{"-99999999999999999999999999999.999999999", "-578960446186580977117854925043439539266.34992332820282019728792003956564819968"},
			{"-0.000000001", "0.00000000000000000000000000000000000001"},
		}, b.texts())
		c.refused(3, [][]byte{bytesField(nil, 1, strings.Repeat("\x01", 17))}, codes.InvalidArgument, 0)
	}},
	{"case-48 proto2 defaults; absent is NULL", withTable(column("plain", storagepb.TableFieldSchema_INT64, ""),
		column("n", storagepb.TableFieldSchema_INT64, ""), column("s", storagepb.TableFieldSchema_STRING, ""), column("f", storagepb.TableFieldSchema_DOUBLE, ""),
		&storagepb.TableFieldSchema{Name: "must", Type: storagepb.TableFieldSchema_BOOL, Mode: storagepb.TableFieldSchema_REQUIRED}), func(b *bench) {
		c := b.typedCall(message("M", field("plain", 1, tInt64), defaultText(field("n", 2, tSint64), "-42"), defaultText(field("s", 3, tString), "dflt"),
			defaultText(field("f", 4, tFloat), "inf"), defaultText(field("must", 5, tBool), "true")))
		c.ok(0, [][]byte{nil, varintField(varintField(nil, 2, 4), 5, 0)}, 0)
		require.Equal(b, [][]string{{"NULL", "-42", "dflt", "Infinity", "true"}, {"NULL", "2", "dflt", "Infinity", "false"}}, b.texts())
	}},
	{"case-49 Inf and NaN", withTable(column("f", storagepb.TableFieldSchema_DOUBLE, "")), func(b *bench) {
		c := b.typedCall(message("M", field("f", 1, tDouble)))
		for i, v := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
			row := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), math.Float64bits(v))
			c.ok(int64(i), [][]byte{row}, int64(i))
		}
		require.Equal(b, [][]string{{"Infinity"}, {"-Infinity"}, {"NaN"}}, b.texts())
	}},
	{"case-59 proto3_optional and oneof, each alone", Options{}, func(b *bench) {
		optional := field("name", 2, tString)
		optional.Proto3Optional = proto.Bool(true)
		one := message("M", field("id", 1, tInt64), field("name", 2, tString))
		one.OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: proto.String("_name")}}
		one.Field[1].OneofIndex = proto.Int32(0)
		rec := field("rec", 7, tMessage)
		rec.TypeName = proto.String("Rec")
		nested := message("M", field("id", 1, tInt64), rec)
		leaf := message("Rec", field("leaf", 1, tInt64))
		leaf.Field[0].OneofIndex = proto.Int32(0)
		leaf.OneofDecl = one.OneofDecl
		nested.NestedType = []*descriptorpb.DescriptorProto{leaf}
		for _, d := range []*descriptorpb.DescriptorProto{message("M", field("id", 1, tInt64), optional), one, nested} {
			c := b.typedCall(d)
			c.send(0, orderRows(0, 1))
			c.ends(codes.InvalidArgument)
		}
	}},
	{"case-61 column_name annotation", withTable(column("straße 1", storagepb.TableFieldSchema_STRING, ""), column("name", storagepb.TableFieldSchema_STRING, "")), func(b *bench) {
		flexible := field("name", 1, tString)
		flexible.Options = &descriptorpb.FieldOptions{}
		proto.SetExtension(flexible.Options, storagepb.E_ColumnName, "Straße 1")
		c := b.typedCall(message("M", flexible))
		c.ok(0, [][]byte{bytesField(nil, 1, "x")}, 0)
		require.Equal(b, [][]string{{"x", "NULL"}}, b.texts())
	}},
	{"case-62 case-64 columns that the writer's schema lacks have their default", fillers(), func(b *bench) {
		c := fillersCall(b)
		c.ok(0, [][]byte{order(1, "a")}, 0)
		require.Equal(b, [][]string{{"1", "a", "NULL", "2024-02-29"}}, b.texts())
	}},
	{"case-64 missing values: the default is sticky, the map is for one request", fillers(), func(b *bench) {
		const null, deflt = storagepb.AppendRowsRequest_NULL_VALUE, storagepb.AppendRowsRequest_DEFAULT_VALUE
		c := fillersCall(b)
		row := varintField(nil, 1, 1)
		for i, send := range []struct {
			standard interpretation
			columns  map[string]interpretation
			want     []string
		}{
			{0, nil, []string{"1", "NULL", "NULL", "2024-02-29"}},
			{0, map[string]interpretation{"NAME": deflt}, []string{"1", "none", "NULL", "2024-02-29"}},
			{0, nil, []string{"1", "NULL", "NULL", "2024-02-29"}},
			{deflt, nil, []string{"1", "none", "1.5", "2024-02-29"}},
			{0, nil, []string{"1", "none", "1.5", "2024-02-29"}},
			{0, map[string]interpretation{"price": null, "elsewhere": null}, []string{"1", "none", "NULL", "2024-02-29"}},
			{0, nil, []string{"1", "none", "1.5", "2024-02-29"}},
			{null, nil, []string{"1", "NULL", "NULL", "2024-02-29"}},
		} {
			require.Nil(b, c.interpreted(int64(i), send.standard, send.columns, row).GetError())
			require.Equal(b, send.want, b.texts()[i])
		}
		end := int64(8)
		c.wantError(c.interpreted(end, 0, map[string]interpretation{"name": unspecified}, row), codes.InvalidArgument, 0)
		c.ok(end, [][]byte{order(2, "given")}, end)
		require.Equal(b, []string{"2", "given", "NULL", "2024-02-29"}, b.texts()[end])
		fresh := fillersCall(b) // sticky on its connection only
		fresh.ok(0, [][]byte{row}, 0)
		require.Equal(b, []string{"1", "NULL", "NULL", "2024-02-29"}, b.texts()[end+1])
	}},
	{"case-64 REQUIRED with a default, and the time of the append", withTable(
		&storagepb.TableFieldSchema{Name: "must", Type: storagepb.TableFieldSchema_STRING, Mode: storagepb.TableFieldSchema_REQUIRED, DefaultValueExpression: `"x"`},
		&storagepb.TableFieldSchema{Name: "at", Type: storagepb.TableFieldSchema_TIMESTAMP, Mode: storagepb.TableFieldSchema_REQUIRED, DefaultValueExpression: "CURRENT_TIMESTAMP()"},
	), func(b *bench) {
		c := b.typedCall(message("M", field("must", 1, tString)))
		resp := c.refused(0, [][]byte{nil}, codes.InvalidArgument, 0)
		require.Equal(b, "Field value of must cannot be empty.", resp.GetRowErrors()[0].GetMessage())
		before := time.Now().UnixMicro()
		require.Nil(b, c.interpreted(0, defaultValue, nil, nil, bytesField(nil, 1, "y")).GetError())
		rows := contents(b, b.srv, orders)
		require.Equal(b, []string{"x", "y"}, []string{rows[0][0].Text, rows[1][0].Text})
		require.Equal(b, rows[0][1], rows[1][1])
		require.GreaterOrEqual(b, rows[0][1].Micros, before)
		require.LessOrEqual(b, rows[0][1].Micros, time.Now().UnixMicro())
	}},
}
