package retry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"
)

const (
	table  = "projects/p/datasets/d/tables/t"
	stream = table + "/streams/Cic638ca12a"
	entity = " Entity: " + stream
)

// The channels of docs/service-facts.md, section 0, and unary calls.
const (
	chA   = "A"     // in-response
	chB   = "B"     // the RPC ended
	unary = "unary" // Create, Get, Finalize, Flush, Commit
)

// text is one error text of docs/service-facts.md. [I] texts are inferred: the class must
// hold for them, the wording is a placeholder.
type text struct {
	source  string // tag, evidence, conformance case
	channel string
	code    codes.Code
	storage storagepb.StorageError_StorageErrorCode
	message string
	want    Class
	end     int64 // Expected; 0 in the table stands for -1
}

const none = storagepb.StorageError_STORAGE_ERROR_CODE_UNSPECIFIED

var texts = []text{
	// Offsets.
	{"[T] JAVA-IT, case 18", chA, codes.AlreadyExists, storagepb.StorageError_OFFSET_ALREADY_EXISTS,
		"The offset is within stream, expected offset 1, received 0", AlreadyExists, 1},
	{"[T] EXC, case 18, with entity", chA, codes.AlreadyExists, storagepb.StorageError_OFFSET_ALREADY_EXISTS,
		"The offset is within stream, expected offset 1, received 0" + entity, AlreadyExists, 1},
	{"[T] case 18, without StorageError", chA, codes.AlreadyExists, none,
		"The offset is within stream, expected offset 12, received 3" + entity, AlreadyExists, 12},
	{"[I] case 18, without a number", chA, codes.AlreadyExists, none, "already exists", AlreadyExists, 0},
	{"[T] JAVA-IT, case 19", chA, codes.OutOfRange, storagepb.StorageError_OFFSET_OUT_OF_RANGE,
		"The offset is beyond stream, expected offset 1, received 100" + entity, OutOfRange, 1},
	{"[T] case 19, without StorageError", chA, codes.OutOfRange, none,
		"The offset is beyond stream, expected offset 1, received 4611686018427387904  Entity: " + stream, OutOfRange, 1},
	{"[I] contradicts case 18", chA, codes.Internal, storagepb.StorageError_OFFSET_ALREADY_EXISTS,
		"The offset is within stream, expected offset 1, received 0", Transient, 0},
	{"[I] case 28, negative offset", chA, codes.InvalidArgument, none, "negative offset" + entity, Blocked, 0},
	{"[D] case 24, knob", chA, codes.Aborted, none,
		"Request processing is aborted because of prior failures. The request can be retried if previous failure is addressed", Transient, 0},
	// An ended RPC answers no single append, whatever it says.
	{"section 0, channel B", chB, codes.AlreadyExists, storagepb.StorageError_OFFSET_ALREADY_EXISTS,
		"The offset is within stream, expected offset 1, received 0", Transient, 1},
	{"section 0, channel B", chB, codes.OutOfRange, none,
		"The offset is beyond stream, expected offset 7, received 9", Transient, 7},
	{"section 0, channel B", chB, codes.InvalidArgument, none,
		"AppendRows request too large: 19923131 limit 10485760" + entity, Blocked, 0},
	{"section 0, channel B", chB, codes.InvalidArgument, none,
		"Errors found while processing rows. Please refer to the row_errors field for details." + entity, Blocked, 0},
	{"[T] beam#30177, case 78 (FlushRows is for BUFFERED streams, never called here)", unary, codes.OutOfRange, none,
		"Offset 4143 is beyond the end of the stream" + entity, Transient, 0},

	// Finalized.
	{"[T] GO-IT, JAVA-IT, case 75", chA, codes.InvalidArgument, storagepb.StorageError_STREAM_FINALIZED,
		"Stream has been finalized and cannot be appended: x" + entity, Finalized, 0},
	{"[I] case 75 on channel B", chB, codes.InvalidArgument, storagepb.StorageError_STREAM_FINALIZED,
		"Stream has been finalized and cannot be appended: x" + entity, Finalized, 0},
	{"[T] flink#235, case 79, text only", unary, codes.InvalidArgument, none,
		"Stream has been finalized and cannot be appended: x" + entity, Finalized, 0},

	// Streams and tables that are missing.
	{"[T] go#12449, spark#1487, beam#37140, case 4", unary, codes.NotFound, none,
		"Requested entity was not found.", Blocked, 0},
	{"[I] case 10", unary, codes.NotFound, none, "Requested entity was not found." + entity, Gone, 0},
	{"[T] go#12449, Aiven, case 95: a dropped table takes its streams along", chB, codes.NotFound, none,
		"Requested entity was not found." + entity, Gone, 0},
	{"[I] cases 94, 95", chB, codes.NotFound, storagepb.StorageError_STREAM_NOT_FOUND,
		"Requested entity was not found." + entity, Gone, 0},
	{"[I] table missing", chB, codes.NotFound, storagepb.StorageError_TABLE_NOT_FOUND,
		"Requested entity was not found." + entity, Blocked, 0},
	{"[T] section 5: entity is a table", chB, codes.NotFound, none,
		"Requested entity was not found. Entity: " + table, Blocked, 0},
	{"[T] section 1: default stream", chB, codes.NotFound, none,
		"Requested entity was not found. Entity: " + table + "/streams/_default", Blocked, 0},
	{"[T] section 1: default stream, short name", chB, codes.NotFound, none,
		"Requested entity was not found. Entity: " + table + "/_default", Blocked, 0},
	{"[T] Aiven", chB, codes.NotFound, none, "Not found: table p:d.t" + entity, Blocked, 0},
	{"[T] Aiven, capital letter", unary, codes.NotFound, none, "Not found: Table p:d.t", Blocked, 0},
	{"[T] Aiven", chB, codes.NotFound, none, "Table is deleted: 123" + entity, Blocked, 0},
	{"[T] python#593, case 10", chB, codes.InvalidArgument, none, "Invalid stream name." + entity, Blocked, 0},
	{"[T] node#348, case 14", chB, codes.InvalidArgument, none, "Cannot route on empty project id ''", Blocked, 0},

	// Access.
	{"[T] java#1017, case 92", chB, codes.PermissionDenied, none,
		"Permission 'TABLES_UPDATE_DATA' denied on resource 'projects/p/datasets/d/tables/t' (or it may not exist).", Blocked, 0},
	{"[D] status code", chB, codes.Unauthenticated, none, "Request had invalid authentication credentials.", Blocked, 0},
	{"[I] section 5: also seen as 'stream gone', which can't be told", chB, codes.FailedPrecondition, none, "precondition" + entity, Blocked, 0},
	{"[D] status code", chB, codes.Unimplemented, none, "unknown method AppendRows", Blocked, 0},
	{"[D] status code", chA, codes.DataLoss, none, "data loss", Blocked, 0},

	// Rows and sizes.
	{"[T] NODE-IT, gatk#7627, case 35", chA, codes.InvalidArgument, none, "Rows must be specified. x", Blocked, 0},
	{"[T] JAVA-IT, NODE-IT, python#717, case 36, list cut to nothing", chA, codes.InvalidArgument, none,
		"Errors found while processing rows. Please refer to the row_errors field for details. The list may not be complete because of the size limitations." + entity, RowErrors, 0},
	{"[T] node#470, dotnet#11527, case 97", chB, codes.InvalidArgument, none,
		"The given value is not a valid CHANGE_TYPE in insert mode: UPSERT", Blocked, 0},
	{"[T] go PR#7516, debezium#268, case 98", chB, codes.InvalidArgument, none,
		"The primary keys and clustering keys of the table project.dataset.table are required to create an upsert stream.", Blocked, 0},
	{"[T] JAVA-IT, duckdb#134, GO-IT, case 52", chA, codes.InvalidArgument, none,
		"AppendRows request too large: 19923131 limit 10485760" + entity, TooLarge, 0},
	{"[T] case 52, without entity", chA, codes.InvalidArgument, none,
		"AppendRows request too large: 19923131 limit 10485760", TooLarge, 0},
	{"[T] BQRS, case 51", chB, codes.InvalidArgument, none, "Request contains an invalid argument.", Blocked, 0},
	{"grpc-go rpc_util.go", chB, codes.ResourceExhausted, none,
		"grpc: received message larger than max (20989006 vs. 20971520)", Blocked, 0},
	{"grpc-go stream.go", chB, codes.ResourceExhausted, none,
		"trying to send message larger than max (20989006 vs. 20971520)", Blocked, 0},

	// Schema.
	{"[T] NODE-IT, case 56", chB, codes.InvalidArgument, storagepb.StorageError_SCHEMA_MISMATCH_EXTRA_FIELDS,
		"Input schema has more fields than BigQuery schema, extra fields: 'testfield'" + entity, ExtraFields, 0},
	{"[T] beam#27892, case 56, text only", chB, codes.InvalidArgument, none,
		"Input schema has more fields than BigQuery schema, extra fields: 'testfield'" + entity, ExtraFields, 0},
	{"[T] BQRS, case 70: in-response after DROP COLUMN", chA, codes.InvalidArgument, storagepb.StorageError_SCHEMA_MISMATCH_EXTRA_FIELDS,
		"Input schema has more fields than BigQuery schema, extra fields: 'x'" + entity, ExtraFields, 0},
	{"[T] BEAM-13158, case 57", chB, codes.InvalidArgument, none,
		"The proto field mismatched with BigQuery field at D586b3f9a_1543_4dbe_87ff_ef786d6803c2.bytes_sent, the proto field type string, BigQuery field type INTEGER" + entity, Mismatch, 0},
	{"[T] python#257, case 58", chB, codes.InvalidArgument, none,
		`Invalid proto schema: BqMessage.proto: Song.composer: ".Composer" is not defined.` + entity, Blocked, 0},
	{"[T] python#519, case 58", chB, codes.InvalidArgument, none,
		"Invalid proto schema: BqMessage.proto: protoSchema.timestamp: \".google.protobuf.Timestamp\" is not defined.\nBqMessage.proto: x", Blocked, 0},

	// Quotas.
	{"[T] go#6595, beam#25073, case 53", chA, codes.ResourceExhausted, none,
		"Exceeds 'AppendRows throughput' quota, user_id: project000000TTTTT_us (status: INSUFFICIENT_TOKENS), you can issue a raise quota request through Google Cloud Console. Be sure to include this full error message in the request description.  Entity: " + stream, Transient, 0},
	{"[T] gatk#8649, case 5", unary, codes.ResourceExhausted, none,
		"Exceeds 'CreateWriteStream requests' quota, user_id: project0000002c6ed4d198_us (status: INSUFFICIENT_TOKENS), you can issue a raise quota request through Google Cloud Console. Entity: " + table, Transient, 0},
	{"[T] spark#594, case 5", unary, codes.ResourceExhausted, none,
		"Exceeds 'CreateWriteStream requests per minute' quota", Transient, 0},
	{"[I] case 54", chB, codes.ResourceExhausted, none, "too many concurrent connections", Transient, 0},

	// Connections.
	{"[T] python#593, node#427, node#561, java#2942, case 88", chB, codes.Aborted, none,
		"Closing the stream because it has been inactive for 600 seconds." + entity, Idle, 0},
	{"[T] NODE-IT, case 89", chB, codes.Aborted, none, "Closing the stream on request intervals: 10", Transient, 0},
	{"[I] case 32", chB, codes.Aborted, none, "another connection took over" + entity, Transient, 0},
	{"[T] go#6595, go#6650, case 90", chB, codes.Unavailable, none, "the connection is draining", Transient, 0},
	{"[T] java#2725", chB, codes.Unavailable, none,
		"Request 'AppendRows' from role 'cloud-dataengine-globalrouting' throttled: Task is overloaded (memory-protection) go/tr-t.", Transient, 0},
	{"[T] java#2078", chB, codes.Internal, none,
		"A retriable error could not be retried due to Extensible Stubs memory limits for streams (see go/xs-retries-memory-limit-reached) (old status: RPC::STREAM_BROKEN: Connection to server broken (OnChannelError))", Transient, 0},
	{"[T] section 4", chB, codes.Internal, none, "Received Rst Stream", Transient, 0},
	{"[T] section 4", chB, codes.Internal, none, "Received unexpected EOS on empty DATA frame from server", Transient, 0},
	{"[T] JAVA NonQuotaRetry IT, CW, case 91", chA, codes.Internal, none, "THROTTLED", Transient, 0},
	{"grpc-go", chB, codes.Canceled, none, "context canceled", Transient, 0},
	{"managedwriter connection.go", chB, codes.Canceled, none, "client connection context was canceled", Transient, 0},
	{"grpc-go", unary, codes.DeadlineExceeded, none, "context deadline exceeded", Transient, 0},
	{"grpc-go", chB, codes.Unknown, none, "unexpected HTTP status code", Transient, 0},
	{"beyond gRPC's codes", chB, codes.Code(99), none, "from the future", Transient, 0},

	// Other StorageErrors (section 3).
	{"[T] node#413, case 84", unary, codes.InvalidArgument, storagepb.StorageError_INVALID_STREAM_TYPE,
		"Stream must be created in pending mode, actual: WRITE_OPTIMIZED", Blocked, 0},
	{"[D] case 85", unary, codes.InvalidArgument, storagepb.StorageError_INVALID_STREAM_STATE, "state", Blocked, 0},
	{"[T] Beam, case 86", unary, codes.AlreadyExists, storagepb.StorageError_STREAM_ALREADY_COMMITTED, "committed", Blocked, 0},
	{"[I] section 3", chB, codes.InvalidArgument, storagepb.StorageError_CMEK_NOT_PROVIDED, "key", Blocked, 0},
	{"[I] section 3", chB, codes.FailedPrecondition, storagepb.StorageError_INVALID_CMEK_PROVIDED, "key", Blocked, 0},
	{"[I] section 3", chB, codes.Internal, storagepb.StorageError_CMEK_ENCRYPTION_ERROR, "key", Blocked, 0},
	{"[I] section 3", chB, codes.FailedPrecondition, storagepb.StorageError_KMS_SERVICE_ERROR, "key", Transient, 0},
	{"[I] section 3", chB, codes.Unavailable, storagepb.StorageError_KMS_PERMISSION_DENIED, "key", Blocked, 0},
}

// If this failed, an answer that the service is known to give would lead recovery to
// the wrong verdict: rows lost, doubled, or a partition stopped for nothing.
func TestEveryTextOfServerFacts(t *testing.T) {
	for _, tt := range texts {
		t.Run(fmt.Sprintf("%s/%v/%.40s", tt.channel, tt.code, tt.message), func(t *testing.T) {
			se := &storagepb.StorageError{Code: tt.storage, Entity: stream}
			if tt.storage == none {
				se = nil
			}
			var a Answer
			if tt.channel == chA {
				a = FromResponse(refusal(t, tt.code, tt.message, se))
			} else {
				a = FromError(statusErr(t, tt.code, tt.message, se), nil)
			}
			end := tt.end
			if end == 0 {
				end = -1
			}
			require.Equal(t, tt.want, a.Class, tt.source)
			require.Equal(t, tt.channel != chA, a.Broken)
			require.Equal(t, end, a.Expected)
			require.Equal(t, int64(-1), a.Offset)
			require.Equal(t, tt.code, a.Code)
			require.Equal(t, tt.storage, a.Storage)
			require.ErrorContains(t, a.Err, tt.code.String())
			require.ErrorContains(t, a.Err, tt.message)
		})
	}
}

// If this failed, a break that comes without a gRPC status would stop a partition or,
// worse, pass for an answer.
func TestErrorsWithoutStatus(t *testing.T) {
	lookup := fmt.Errorf("a streamname was specified, but lookup of stream failed: %v",
		status.Error(codes.NotFound, "Requested entity was not found."+entity))
	for name, tt := range map[string]struct {
		err  error
		want Class
		code codes.Code
	}{
		"no error at all":         {nil, Transient, codes.Unknown},
		"EOF":                     {io.EOF, Transient, codes.Unknown},
		"EOF, wrapped":            {fmt.Errorf("send: %w", io.EOF), Transient, codes.Unknown},
		"cut short":               {io.ErrUnexpectedEOF, Transient, codes.Unknown},
		"cancelled":               {context.Canceled, Transient, codes.Canceled},
		"cancelled, wrapped":      {fmt.Errorf("append: %w", context.Canceled), Transient, codes.Canceled},
		"deadline":                {context.DeadlineExceeded, Transient, codes.DeadlineExceeded},
		"reset":                   {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, Transient, codes.Unknown},
		"anything":                {errors.New("surprise"), Transient, codes.Unknown},
		"managedwriter lost it":   {lookup, Gone, codes.NotFound},
		"flattened, no such code": {errors.New("rpc error: code = Odd desc = x"), Transient, codes.Unknown},
		"flattened OK is no OK":   {errors.New("rpc error: code = OK desc = x"), Transient, codes.Unknown},
		"a status that is nil":    {nilStatus{}, Transient, codes.Unknown},
		"a status that says OK":   {okStatus{}, Transient, codes.OK},
		"joined with a status":    {errors.Join(io.EOF, status.Error(codes.PermissionDenied, "x")), Blocked, codes.PermissionDenied},
		"status before its cause": {fmt.Errorf("%w: %w", status.Error(codes.Aborted, "x"), context.Canceled), Transient, codes.Aborted},
		"wrapped in another's text": {fmt.Errorf("Stream has been finalized: %w", status.Error(codes.InvalidArgument, "x")),
			Blocked, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			a := FromError(tt.err, nil)
			require.Equal(t, tt.want, a.Class)
			require.Equal(t, tt.code, a.Code)
			require.True(t, a.Broken)
			require.Error(t, a.Err)
			if tt.err != nil {
				require.ErrorIs(t, a.Err, tt.err)
			}
		})
	}
}

type nilStatus struct{}

func (nilStatus) Error() string              { return "nil status" }
func (nilStatus) GRPCStatus() *status.Status { return nil }

type okStatus struct{}

func (okStatus) Error() string              { return "ok status" }
func (okStatus) GRPCStatus() *status.Status { return status.New(codes.OK, "") }

// If this failed, a name chosen by a user could be read as the service's words: a
// table called "Stream has been finalized" would fence its partitions.
func TestNamesAreNotWords(t *testing.T) {
	names := " Entity: projects/p/datasets/d/tables/stream has been finalized, not found: table, " +
		"expected offset 5, received 2, larger than max, because it has been inactive for/streams/x"
	for code, want := range map[codes.Code]Class{
		codes.InvalidArgument:   Blocked,
		codes.ResourceExhausted: Transient,
		codes.Aborted:           Transient,
		codes.NotFound:          Gone,
		codes.OutOfRange:        OutOfRange,
	} {
		a := FromResponse(refusal(t, code, "Sorry."+names, nil))
		require.Equal(t, want, a.Class, "%v", code)
		require.Equal(t, int64(-1), a.Expected)
	}
}

// If this failed, a class would reach logs and metrics as a number, or two classes
// under one name.
func TestClassNames(t *testing.T) {
	seen := map[string]bool{}
	for c := OK; c <= Blocked; c++ {
		name := c.String()
		require.Regexp(t, `^[a-z]+(_[a-z]+)*$`, name)
		require.False(t, seen[name], name)
		seen[name] = true
	}
	require.Equal(t, "class_12", (Blocked + 1).String())
}

// If this failed, some mix of code, text and StorageError would make the end of a
// connection pass for an answer to one append (the rule that keeps a broken
// connection from acknowledging rows), or the StorageError would not win.
func TestAnyFailure(t *testing.T) {
	known := []string{"", "expected offset 3, received 9", "has been finalized"}
	for _, tt := range texts {
		known = append(known, tt.message)
	}
	rapid.Check(t, func(rt *rapid.T) {
		code := codes.Code(rapid.Uint32Range(0, 20).Draw(rt, "code"))
		message := rapid.OneOf(rapid.SampledFrom(known), rapid.String()).Draw(rt, "message")
		storage := storagepb.StorageError_StorageErrorCode(rapid.Int32Range(0, 16).Draw(rt, "storage"))
		se := &storagepb.StorageError{Code: storage, Entity: stream}

		a := FromResponse(refusal(t, code, message, se))
		b := FromError(statusErr(t, code, message, se), nil)
		require.NotEqual(rt, OK, a.Class)
		require.False(rt, a.Broken)
		require.True(rt, b.Broken)
		require.NotContains(rt, []Class{OK, AlreadyExists, OutOfRange, RowErrors, TooLarge}, b.Class)
		if want, ok := storageClass(storage); ok {
			if want == AlreadyExists && code != codes.AlreadyExists {
				want = Transient // a contradiction acknowledges nothing
			}
			require.Equal(rt, want, a.Class)
		}
		for _, x := range []Answer{a, b} {
			require.Error(rt, x.Err)
			require.LessOrEqual(rt, len(x.Err.Error()), maxText+200)
			require.GreaterOrEqual(rt, x.Expected, int64(-1))
			if x.Expected >= 0 {
				require.True(rt, strings.Contains(message, fmt.Sprint(x.Expected)))
			}
		}
	})
}
