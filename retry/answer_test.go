package retry

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/googleapis/gax-go/v2/apierror"
	"github.com/stretchr/testify/require"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// statusProto is a google.rpc.Status with se, unless nil, among its details.
func statusProto(t testing.TB, code codes.Code, message string, se *storagepb.StorageError) *spb.Status {
	st := &spb.Status{Code: int32(code), Message: message}
	if se != nil {
		detail, err := anypb.New(se)
		require.NoError(t, err)
		st.Details = []*anypb.Any{{TypeUrl: "type.googleapis.com/google.rpc.DebugInfo"}, detail}
	}
	return st
}

// refusal is an in-response error.
func refusal(t testing.TB, code codes.Code, message string, se *storagepb.StorageError) *storagepb.AppendRowsResponse {
	return &storagepb.AppendRowsResponse{
		Response:    &storagepb.AppendRowsResponse_Error{Error: statusProto(t, code, message, se)},
		WriteStream: stream,
	}
}

// statusErr is the error of an RPC that ended with a status, also with OK.
func statusErr(t testing.TB, code codes.Code, message string, se *storagepb.StorageError) error {
	return endedRPC{status.FromProto(statusProto(t, code, message, se))}
}

type endedRPC struct{ st *status.Status }

func (e endedRPC) Error() string              { return e.st.String() }
func (e endedRPC) GRPCStatus() *status.Status { return e.st }

func success(offset *wrapperspb.Int64Value) *storagepb.AppendRowsResponse {
	return &storagepb.AppendRowsResponse{Response: &storagepb.AppendRowsResponse_AppendResult_{
		AppendResult: &storagepb.AppendRowsResponse_AppendResult{Offset: offset},
	}}
}

// If this failed, a success would be judged at a wrong offset (a conflict), or the
// table's new schema would be missed (cases 17, 30, 68).
func TestSuccess(t *testing.T) {
	a := FromResponse(success(wrapperspb.Int64(0)))
	require.Equal(t, Answer{Class: OK, Offset: 0, Expected: -1}, a)

	a = FromResponse(success(nil))
	require.Equal(t, Answer{Class: OK, Offset: -1, Expected: -1}, a)

	resp := success(wrapperspb.Int64(1 << 60))
	resp.UpdatedSchema = &storagepb.TableSchema{Fields: []*storagepb.TableFieldSchema{{Name: "new"}}}
	a = FromResponse(resp)
	require.Equal(t, int64(1<<60), a.Offset)
	require.Same(t, resp.UpdatedSchema, a.Schema)
}

// If this failed, every answered append would cost garbage: successes pass here at
// the full rate of the writer.
func TestSuccessAllocatesNothing(t *testing.T) {
	resp := success(wrapperspb.Int64(7))
	require.Zero(t, testing.AllocsPerRun(100, func() { FromResponse(resp) }))
}

// If this failed, a response that claims nothing would acknowledge rows.
func TestResponsesThatSayNothing(t *testing.T) {
	for name, resp := range map[string]*storagepb.AppendRowsResponse{
		"empty":        {},
		"stream only":  {WriteStream: stream},
		"nil error":    {Response: &storagepb.AppendRowsResponse_Error{}},
		"error 0":      {Response: &storagepb.AppendRowsResponse_Error{Error: &spb.Status{}}},
		"error 0 text": refusal(t, codes.OK, "fine", nil),
		"nil result":   {Response: &storagepb.AppendRowsResponse_AppendResult_{}},
	} {
		t.Run(name, func(t *testing.T) {
			a := FromResponse(resp)
			require.Equal(t, Transient, a.Class)
			require.False(t, a.Broken)
			require.Error(t, a.Err)
		})
	}
	a := FromResponse(nil)
	require.Equal(t, Transient, a.Class)
	require.True(t, a.Broken, "the bare client's nil response is a broken connection")
	require.Error(t, a.Err)
}

// If this failed, rejected rows could not be told from good ones, or their values
// would leak into logs (case 36).
func TestRowErrors(t *testing.T) {
	resp := refusal(t, codes.InvalidArgument,
		"Errors found while processing rows. Please refer to the row_errors field for details. "+
			"The list may not be complete because of the size limitations."+entity, nil)
	secret := "Timestamp field value is out of range: -9223372036854775808 on field bar."
	resp.RowErrors = []*storagepb.RowError{
		{Index: 1, Code: storagepb.RowError_FIELDS_ERROR, Message: "Field foo: STRING(10) has maximum length 10 but got a value with length 12 on field foo."},
		{Index: 4, Code: storagepb.RowError_FIELDS_ERROR, Message: secret},
	}
	a := FromResponse(resp)
	require.Equal(t, RowErrors, a.Class)
	require.Len(t, a.Rows, 2)
	require.Equal(t, int64(1), a.Rows[0].Index)
	require.Equal(t, RowError{4, secret}, a.Rows[1])
	require.NotContains(t, a.Err.Error(), "9223372036854775808")
	require.ErrorContains(t, a.Err, "row errors reported: 2")

	// Beside a result, or under another code or text, they still count.
	resp = success(wrapperspb.Int64(3))
	resp.RowErrors = []*storagepb.RowError{{Index: 0}}
	a = FromResponse(resp)
	require.Equal(t, RowErrors, a.Class)
	require.Equal(t, int64(-1), a.Offset)
	require.Error(t, a.Err)
	for _, row := range []string{
		"Cannot return an invalid datetime value of 1550402640 microseconds expressed as civil time, according to civil_time encoding. The range of valid datetime values is [0001-01-01 00:00:00, 9999-12-31 23:59:59.999999] on field datetimefield.", // case 40
		"Field value of req_col cannot be empty.",                           // case 41
		"Stream has been finalized, expected offset 5, received 2",          // a row's own words
		"The given value is not a valid CHANGE_TYPE in insert mode: UPSERT", // case 97
	} {
		resp = refusal(t, codes.Internal, "odd", nil)
		resp.RowErrors = []*storagepb.RowError{{Message: row}}
		a = FromResponse(resp)
		require.Equal(t, RowErrors, a.Class)
		require.Equal(t, int64(-1), a.Expected)
	}

	// The StorageError is more exact.
	resp = refusal(t, codes.AlreadyExists, "x", &storagepb.StorageError{Code: storagepb.StorageError_OFFSET_ALREADY_EXISTS})
	resp.RowErrors = []*storagepb.RowError{{}}
	require.Equal(t, AlreadyExists, FromResponse(resp).Class)
}

// If this failed, wrapping by gax or by our own code would hide what the service
// said, or callers could not reach the cause.
func TestErrReachesTheCause(t *testing.T) {
	cause := status.FromProto(statusProto(t, codes.InvalidArgument, "Stream has been finalized and cannot be appended: x"+entity,
		&storagepb.StorageError{Code: storagepb.StorageError_STREAM_FINALIZED, Entity: stream})).Err()
	gax, ok := apierror.FromError(cause)
	require.True(t, ok)

	for name, err := range map[string]error{
		"bare":           cause,
		"wrapped":        fmt.Errorf("finalize %s: %w", stream, cause),
		"gax":            gax,
		"gax, wrapped":   fmt.Errorf("finalize: %w", gax),
		"joined":         errors.Join(errors.New("first"), gax),
		"wrapped in gax": must(apierror.FromError(fmt.Errorf("finalize: %w", cause))),
	} {
		t.Run(name, func(t *testing.T) {
			a := FromError(err, nil)
			require.Equal(t, Finalized, a.Class)
			require.Equal(t, storagepb.StorageError_STREAM_FINALIZED, a.Storage)
			require.ErrorIs(t, a.Err, err)
			require.ErrorIs(t, a.Err, cause)
			require.Equal(t, codes.InvalidArgument, status.Code(a.Err))
			// Classified once more, say after a journey through an event, it stays the same.
			again := FromError(a.Err, nil)
			require.Equal(t, a.Class, again.Class)
			require.Equal(t, a.Storage, again.Storage)
		})
	}

	a := FromResponse(refusal(t, codes.OutOfRange, "m", nil))
	require.Equal(t, codes.OutOfRange, status.Code(a.Err))
	require.Equal(t, "OutOfRange: m", a.Err.Error())
}

func must(e *apierror.APIError, ok bool) error {
	if !ok {
		panic("not an API error")
	}
	return e
}

// If this failed, one hostile or broken message could fill the logs.
func TestLongTextIsCut(t *testing.T) {
	a := FromError(status.Error(codes.Internal, strings.Repeat("ö", 1<<20)), nil)
	require.Less(t, len(a.Err.Error()), 2*maxText)
	require.True(t, strings.HasSuffix(a.Err.Error(), "ö..."))
}

// If it fails, a log may have words of the service that it was to leave out.
func TestCodeOf(t *testing.T) {
	answer := FromResponse(refusal(t, codes.InvalidArgument, "x", nil))
	ended := FromError(statusErr(t, codes.PermissionDenied, "x", nil), nil)
	for err, want := range map[error]codes.Code{
		answer.Err:                            codes.InvalidArgument,
		fmt.Errorf("open: %w", answer.Err):    codes.InvalidArgument,
		ended.Err:                             codes.PermissionDenied,
		statusErr(t, codes.Aborted, "x", nil): codes.Aborted,
		errors.New("x"):                       codes.Unknown,
	} {
		require.Equal(t, want, CodeOf(err), "%v", err)
	}
}
