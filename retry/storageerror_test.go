package retry

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"testing"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/stretchr/testify/require"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// closer ends every AppendRows with a status and a trailer.
type closer struct {
	storagepb.UnimplementedBigQueryWriteServer
	st      *spb.Status
	trailer metadata.MD
}

func (c *closer) AppendRows(s storagepb.BigQueryWrite_AppendRowsServer) error {
	s.SetTrailer(c.trailer)
	return status.FromProto(c.st).Err()
}

// closed opens AppendRows at srv and returns how the RPC ended.
func closed(t *testing.T, srv *closer) (metadata.MD, error) {
	lis := bufconn.Listen(1 << 16)
	g := grpc.NewServer()
	storagepb.RegisterBigQueryWriteServer(g, srv)
	served := make(chan error, 1)
	go func() { served <- g.Serve(lis) }()
	defer func() { g.Stop(); require.NoError(t, <-served) }()

	conn, err := grpc.NewClient("passthrough:///bufconn",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	rpc, err := storagepb.NewBigQueryWriteClient(conn).AppendRows(t.Context())
	require.NoError(t, err)
	_, err = rpc.Recv()
	require.Error(t, err)
	return rpc.Trailer(), err
}

// If this failed, a StorageError that the service sends in only one of its two
// trailers would be missed on a real connection (case 56).
func TestBothTrailers(t *testing.T) {
	se := &storagepb.StorageError{
		Code:         storagepb.StorageError_SCHEMA_MISMATCH_EXTRA_FIELDS,
		Entity:       stream,
		ErrorMessage: "Schema mismatch due to extra fields in user schema",
	}
	bare, err := proto.Marshal(se)
	require.NoError(t, err)
	trailer := metadata.Pairs(storageErrorKey, string(bare))

	for name, srv := range map[string]*closer{
		"details":  {st: statusProto(t, codes.InvalidArgument, "m", se)},
		"trailer":  {st: statusProto(t, codes.InvalidArgument, "m", nil), trailer: trailer},
		"both":     {st: statusProto(t, codes.InvalidArgument, "m", se), trailer: trailer},
		"status 0": {trailer: trailer}, // read as io.EOF
	} {
		t.Run(name, func(t *testing.T) {
			md, err := closed(t, srv)
			a := FromError(err, md)
			require.Equal(t, ExtraFields, a.Class)
			require.Equal(t, se.Code, a.Storage)
			require.True(t, a.Broken)
			require.Equal(t, srv.st == nil, errors.Is(a.Err, io.EOF))
		})
	}
}

// If this failed, a detail that can't be read would hide the status, or one of an
// unknown kind would be taken for a StorageError.
func TestDamagedDetails(t *testing.T) {
	good, err := proto.Marshal(&storagepb.StorageError{Code: storagepb.StorageError_STREAM_NOT_FOUND})
	require.NoError(t, err)
	bad := []byte{0xff, 0xff, 0xff}

	st := &spb.Status{Code: int32(codes.Unavailable), Details: []*anypb.Any{
		nil,
		{TypeUrl: "type.googleapis.com/" + storageErrorType, Value: bad},
		{TypeUrl: "type.googleapis.com/google.rpc.DebugInfo", Value: good},
	}}
	a := FromResponse(&storagepb.AppendRowsResponse{Response: &storagepb.AppendRowsResponse_Error{Error: st}})
	require.Equal(t, Transient, a.Class)
	require.Equal(t, none, a.Storage)

	st.Details = append(st.Details, &anypb.Any{TypeUrl: storageErrorType, Value: good}) // URL without a host
	a = FromResponse(&storagepb.AppendRowsResponse{Response: &storagepb.AppendRowsResponse_Error{Error: st}})
	require.Equal(t, Gone, a.Class)

	a = FromError(io.EOF, metadata.Pairs(storageErrorKey, string(bad), storageErrorKey, "", "other-bin", string(good)))
	require.Equal(t, Transient, a.Class)
	a = FromError(io.EOF, metadata.Pairs(storageErrorKey, string(bad), storageErrorKey, string(good)))
	require.Equal(t, Gone, a.Class)
}

// If this failed, a stream that only the StorageError names would pass for a missing
// table, and the partition would be blocked instead of in doubt or in a new epoch.
func TestEntityOfStorageError(t *testing.T) {
	err := statusErr(t, codes.NotFound, "Requested entity was not found.", &storagepb.StorageError{Entity: stream})
	require.Equal(t, Gone, FromError(err, nil).Class)
}

// If this failed, recovery would compare with an end that the service never named:
// acknowledge rows that are not there, or stop over a conflict that is none.
func TestExpected(t *testing.T) {
	for message, want := range map[string]int64{
		"The offset is within stream, expected offset 0, received 0":                    0,
		"The offset is beyond stream, expected offset 9223372036854775807, received 1":  1<<63 - 1,
		"The offset is beyond stream, expected offset 9223372036854775808, received 1":  -1,
		"The offset is beyond stream, expected offset 99999999999999999999, received 1": -1,
		"expected offset 7, received -1":                                                7,
		"expected offset -7, received 1":                                                -1,
		"expected offset 1,000, received 5":                                             -1,
		"expected offset 12":                                                            -1, // cut off
		"expected offset 12, received":                                                  -1,
		"expected offset , received 1":                                                  -1,
		"expected offset 0x10, received 1":                                              -1,
		"Offset 4143 is beyond the end of the stream":                                   -1,
		"": -1,
	} {
		require.Equal(t, want, FromResponse(refusal(t, codes.OutOfRange, message, nil)).Expected, message)
	}
	// The StorageError's own text serves when the status has none.
	a := FromResponse(refusal(t, codes.OutOfRange, "m", &storagepb.StorageError{
		Code: storagepb.StorageError_OFFSET_OUT_OF_RANGE, ErrorMessage: "expected offset 8, received 9"}))
	require.Equal(t, int64(8), a.Expected)
	// Other classes have no expected end.
	require.Equal(t, int64(-1), FromError(status.Error(codes.Internal, "expected offset 8, received 9"), nil).Expected)
}

// If this failed, a text from the network could crash the writer or make up an end.
func FuzzExpected(f *testing.F) {
	f.Fuzz(func(t *testing.T, message string) {
		a := FromResponse(refusal(t, codes.OutOfRange, message, nil))
		require.Equal(t, OutOfRange, a.Class)
		if a.Expected == -1 {
			return
		}
		require.GreaterOrEqual(t, a.Expected, int64(0))
		require.Contains(t, message, strconv.FormatInt(a.Expected, 10)+", received ")
	})
}

// If this failed, bytes from the network could crash the writer, or pass for an
// answer to one append although the RPC has ended.
func FuzzFromError(f *testing.F) {
	f.Fuzz(func(t *testing.T, code uint32, message string, trailer []byte) {
		md := metadata.MD{storageErrorKey: {string(trailer)}}
		for _, err := range []error{endedRPC{status.New(codes.Code(code), message)}, errors.New(message), io.EOF} {
			a := FromError(err, md)
			require.True(t, a.Broken)
			require.NotContains(t, []Class{OK, AlreadyExists, OutOfRange, RowErrors, TooLarge}, a.Class)
			require.NotEmpty(t, a.Err.Error())
		}
	})
}

// If this failed, a response with odd contents could crash the writer, or count as
// a success without a result.
func FuzzFromResponse(f *testing.F) {
	f.Fuzz(func(t *testing.T, wire []byte) {
		resp := new(storagepb.AppendRowsResponse)
		if proto.Unmarshal(wire, resp) != nil {
			return
		}
		a := FromResponse(resp)
		require.False(t, a.Broken)
		require.Equal(t, a.Class == OK, a.Err == nil)
		if a.Class == OK {
			require.NotNil(t, resp.GetAppendResult())
			require.Empty(t, resp.GetRowErrors())
		} else {
			require.NotEmpty(t, a.Err.Error())
		}
		require.Len(t, a.Rows, len(resp.GetRowErrors()))
	})
}

// If this failed, a status with odd details could crash the writer, have no class, or
// make an append count as landed that nobody said had landed.
func FuzzStatus(f *testing.F) {
	for _, c := range texts {
		var se *storagepb.StorageError
		if c.storage != none {
			se = &storagepb.StorageError{Code: c.storage, Entity: stream, ErrorMessage: c.message}
		}
		wire, err := proto.Marshal(statusProto(f, c.code, c.message, se))
		require.NoError(f, err)
		bare, err := proto.Marshal(se)
		require.NoError(f, err)
		f.Add(wire, bare)
	}
	f.Fuzz(func(t *testing.T, wire, trailer []byte) {
		st := new(spb.Status)
		if proto.Unmarshal(wire, st) != nil {
			return
		}
		inResponse := FromResponse(&storagepb.AppendRowsResponse{Response: &storagepb.AppendRowsResponse_Error{Error: st}})
		ended := FromError(endedRPC{status.FromProto(st)}, metadata.MD{storageErrorKey: {string(trailer)}})
		for _, a := range []Answer{inResponse, ended} {
			require.LessOrEqual(t, int(a.Class), int(Blocked))
			require.NotEmpty(t, a.Err.Error())
			require.GreaterOrEqual(t, a.Expected, int64(-1))
			require.Equal(t, int64(-1), a.Offset)
		}
		require.NotEqual(t, OK, inResponse.Class)
		if inResponse.Class == AlreadyExists {
			require.Equal(t, int32(codes.AlreadyExists), st.GetCode())
		}
		require.True(t, ended.Broken)
		require.NotContains(t, []Class{OK, AlreadyExists, OutOfRange, RowErrors, TooLarge}, ended.Class)
	})
}
