package rows_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// tree is a row: column name in lower case to int64, string, bool, the bits of a double (uint64),
// bytes as hexadecimal digits, tree or []any. NULL and empty are absent.
type tree map[string]any

// oracle decides, slowly and by other means than the encoder (jsontext for validity, encoding/json
// for the tree, math/big, regexp and time for values), which row an object is or that it is none.
func oracle(schema *storagepb.TableSchema, object []byte) (tree, error) {
	if v := jsontext.Value(object); !v.IsValid() || v.Kind() != '{' {
		return nil, fmt.Errorf("no valid object")
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return nil, err
	}
	return oracleRecord(schema.GetFields(), m)
}

func oracleRecord(fields []*storagepb.TableFieldSchema, m map[string]any) (tree, error) {
	byName := map[string]any{}
	for name, v := range m {
		folded := strings.ToLower(name)
		if _, ok := byName[folded]; ok {
			return nil, fmt.Errorf("%s twice", name)
		}
		byName[folded] = v
	}
	out := tree{}
	for _, f := range fields {
		name := strings.ToLower(f.GetName())
		v := byName[name]
		delete(byName, name)
		if v == nil {
			if f.GetMode() == storagepb.TableFieldSchema_REQUIRED {
				return nil, fmt.Errorf("%s missing", name)
			}
			continue
		}
		if f.GetMode() != storagepb.TableFieldSchema_REPEATED {
			one, err := oracleValue(f, v)
			if err != nil {
				return nil, err
			}
			out[name] = one
			continue
		}
		list, ok := v.([]any)
		if !ok {
			return nil, fmt.Errorf("%s is no array", name)
		}
		var all []any
		for _, v := range list {
			if v == nil {
				return nil, fmt.Errorf("%s has null in it", name)
			}
			one, err := oracleValue(f, v)
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		if len(all) > 0 {
			out[name] = all
		}
	}
	if len(byName) > 0 {
		return nil, fmt.Errorf("unknown fields")
	}
	return out, nil
}

var (
	looseNumber = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)
	zoned       = regexp.MustCompile(`^([0-9]{4})([-/])([0-9]{1,2})([-/])([0-9]{1,2})(?:[Tt ]([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:\.([0-9]{1,12}))?)?(?: ?([Zz]|[+-][0-9]{1,2}(?::[0-9]{1,2})?|[A-Z][A-Za-z0-9/_+-]*))?)?$`)
	earliest    = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	latest      = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
)

func oracleValue(f *storagepb.TableFieldSchema, v any) (any, error) {
	no := fmt.Errorf("%s can't be %T %v", f.GetType(), v, v)
	text, isString := v.(string)
	number, isNumber := v.(json.Number)
	if isNumber || isString && looseNumber.MatchString(text) {
		number, isNumber = json.Number(fmt.Sprint(v)), true
	}
	switch f.GetType() {
	case storagepb.TableFieldSchema_STRING:
		if !isString || f.GetMaxLength() > 0 && utf8.RuneCountInString(text) > int(f.GetMaxLength()) {
			return nil, no
		}
		return text, nil
	case storagepb.TableFieldSchema_INT64:
		if i, ok := oracleInteger(string(number)); isNumber && ok {
			return i, nil
		}
	case storagepb.TableFieldSchema_DOUBLE:
		// Beyond what JSON can write, strconv spells the values as BigQuery does, and more.
		if isNumber || isString && regexp.MustCompile(`(?i)^(nan|[+-]?inf(inity)?)$`).MatchString(text) {
			if x, err := strconv.ParseFloat(fmt.Sprint(v), 64); err == nil {
				return math.Float64bits(x), nil
			}
		}
	case storagepb.TableFieldSchema_BOOL:
		switch strings.ToLower(fmt.Sprint(v)) {
		case "true", "t", "yes", "y", "1":
			return true, nil
		case "false", "f", "no", "n", "0":
			return false, nil
		}
	case storagepb.TableFieldSchema_TIMESTAMP:
		picos := f.GetTimestampPrecision().GetValue() == 12
		if i, ok := oracleInteger(string(number)); ok && !isString && oracleYear(time.UnixMicro(i)) && time.UnixMicro(i).UnixMicro() == i {
			return oracleInstant(time.UnixMicro(i), i-time.UnixMicro(i).Unix()*1_000_000, 1_000_000, picos), nil
		}
		if at, fraction, ok := oracleTimestamp(text, picos); ok {
			return oracleInstant(at, fraction, 1, picos), nil
		}
	case storagepb.TableFieldSchema_DATE, storagepb.TableFieldSchema_TIME, storagepb.TableFieldSchema_DATETIME:
		if i, ok := oracleInteger(string(number)); ok && !isString {
			text = oracleCivilText(f.GetType(), i)
		}
		if i, ok := oracleCivil(f.GetType(), text); ok {
			return i, nil
		}
	case storagepb.TableFieldSchema_BYTES:
		b, ok := oracleBytes(v)
		if ok && (f.GetMaxLength() == 0 || len(b) <= int(f.GetMaxLength())) {
			return hex.EncodeToString(b), nil
		}
	case storagepb.TableFieldSchema_NUMERIC, storagepb.TableFieldSchema_BIGNUMERIC:
		if b, ok := oracleNumeric(f, string(number)); isNumber && ok {
			return hex.EncodeToString(b), nil
		}
	case storagepb.TableFieldSchema_INTERVAL:
		if oracleInterval(text) {
			return text, nil
		}
	case storagepb.TableFieldSchema_RANGE:
		return oracleRange(f, v)
	case storagepb.TableFieldSchema_GEOGRAPHY:
		if isString {
			return text, nil
		}
		if m, ok := v.(map[string]any); ok {
			return oracleJSON(m)
		}
	case storagepb.TableFieldSchema_JSON:
		return oracleJSON(v)
	case storagepb.TableFieldSchema_STRUCT:
		if m, ok := v.(map[string]any); ok {
			return oracleRecord(f.GetFields(), m)
		}
	}
	return nil, no
}

// oracleInteger uses big rationals. It knows no exponent beyond four digits; see hugeExponent.
func oracleInteger(text string) (int64, bool) {
	r, ok := new(big.Rat).SetString(text)
	if !ok || !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	return r.Num().Int64(), true
}

// hugeExponent finds numbers that would cost the oracle gigabytes.
var hugeExponent = regexp.MustCompile(`[eE][+-]?[0-9]{5}`)

// treeOf reads a decoded message back.
func treeOf(fields []*storagepb.TableFieldSchema, m protoreflect.Message) tree {
	out := tree{}
	if unknown := m.GetUnknown(); len(unknown) > 0 {
		out["unknown tags"] = unknown
	}
	for i, f := range fields {
		fd := m.Descriptor().Fields().ByNumber(protoreflect.FieldNumber(i + 1))
		one := func(v protoreflect.Value) any {
			switch x := v.Interface().(type) {
			case int32:
				return int64(x)
			case []byte:
				return hex.EncodeToString(x)
			case float64:
				return math.Float64bits(x)
			case protoreflect.Message:
				if t := f.GetRangeElementType().GetType(); t != 0 {
					return treeOf([]*storagepb.TableFieldSchema{{Name: "start", Type: t}, {Name: "end", Type: t}}, x)
				}
				return treeOf(f.GetFields(), x)
			case string:
				if f.GetType() == storagepb.TableFieldSchema_JSON || f.GetType() == storagepb.TableFieldSchema_GEOGRAPHY {
					return canonicalIfJSON(x)
				}
				return x
			default:
				return x
			}
		}
		if !m.Has(fd) {
			continue
		}
		name := strings.ToLower(f.GetName())
		if !fd.IsList() {
			out[name] = one(m.Get(fd))
			continue
		}
		var all []any
		for list, i := m.Get(fd).List(), 0; i < list.Len(); i++ {
			all = append(all, one(list.Get(i)))
		}
		out[name] = all
	}
	return out
}

// requireAgrees holds Append's decision and its bytes against the oracle's.
func requireAgrees(t require.TestingT, schema *storagepb.TableSchema, enc *rows.Encoder, md protoreflect.MessageDescriptor, object []byte) {
	want, refused := oracle(schema, object)
	dst, err := enc.Append([]byte("before"), object)
	require.Equal(t, "before", string(dst[:6]))
	if err != nil {
		require.Error(t, refused, "refused although it is a row: %v: %s", err, object)
		require.Len(t, dst, 6)
		var e *rows.Error
		require.ErrorAs(t, err, &e)
		require.NotEmpty(t, e.Reason)
		require.True(t, utf8.ValidString(err.Error()))
		return
	}
	require.NoError(t, refused, "accepted although it is no row: %s", object)
	require.Equal(t, want, treeOf(schema.GetFields(), decode(t, md, dst[6:])), "%s", object)
}

// The oracle itself, on a few rows whose values are written down by hand: a wrong oracle could
// agree with a wrong encoder.
func TestOracle(t *testing.T) {
	schema, err := rows.ParseSchema([]byte(`[
		{"name":"i","type":"INTEGER","mode":"REQUIRED"}, {"name":"t","type":"TIMESTAMP"},
		{"name":"d","type":"DATE"}, {"name":"r","type":"RECORD","mode":"REPEATED","fields":[{"name":"s","type":"STRING"}]}]`))
	require.NoError(t, err)
	got, err := oracle(schema, []byte(`{"I":1e3,"t":"1970-01-01 00:00:01Z","d":"1970-02-01","r":[{"s":"a"},{}]}`))
	require.NoError(t, err)
	require.Equal(t, tree{"i": int64(1000), "t": int64(1_000_000), "d": int64(31), "r": []any{tree{"s": "a"}, tree{}}}, got)
	for _, bad := range []string{`{}`, `{"i":1.5}`, `{"i":1,"x":2}`, `{"i":1,"I":1}`, `[1]`, `{"i":1,"r":[null]}`} {
		_, err := oracle(schema, []byte(bad))
		require.Error(t, err, bad)
	}
}
