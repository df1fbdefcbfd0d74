package emulator

import (
	"context"
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
)

// storageErrorTrailer is the second trailer of an error that ends an RPC or answers a unary call: the bare
// StorageError, beside grpc-status-details-bin (docs/service-facts.md, section 0).
const storageErrorTrailer = "google.cloud.bigquery.storage.v1.storageerror-bin"

type storageCode = storagepb.StorageError_StorageErrorCode

// apiError is one error of the service. It reaches a client either inside a response (proto) or as the status of the
// RPC (GRPCStatus, plus the trailer that the interceptors add).
type apiError struct {
	code    codes.Code
	text    string      // without the entity
	storage storageCode // 0: no StorageError
	short   string      // StorageError.error_message where it differs from text
	entity  string      // the resource the message ends with; empty: none
}

func errorf(code codes.Code, entity, format string, args ...any) *apiError {
	return &apiError{code: code, entity: entity, text: fmt.Sprintf(format, args...)}
}

func (e *apiError) with(code storageCode) *apiError {
	e.storage = code
	return e
}

// Error is the message as the service words it, with the entity at its end.
func (e *apiError) Error() string {
	if e.entity == "" {
		return e.text
	}
	return e.text + " Entity: " + e.entity
}

func (e *apiError) storageError() *storagepb.StorageError {
	if e.storage == 0 {
		return nil
	}
	short := e.short
	if short == "" {
		short = e.Error()
	}
	return &storagepb.StorageError{Code: e.storage, Entity: e.entity, ErrorMessage: short}
}

// GRPCStatus makes grpc end the RPC with this error and its details.
func (e *apiError) GRPCStatus() *status.Status {
	st := status.New(e.code, e.Error())
	if detail := e.storageError(); detail != nil {
		// WithDetails fails only for OK and for messages that can't be marshalled.
		if with, err := st.WithDetails(protoadapt.MessageV1Of(detail)); err == nil {
			return with
		}
	}
	return st
}

// inResponse is the error as an answer to one request; the RPC goes on (channel A of section 0).
func (e *apiError) inResponse(stream string) *storagepb.AppendRowsResponse {
	return &storagepb.AppendRowsResponse{
		Response:    &storagepb.AppendRowsResponse_Error{Error: e.GRPCStatus().Proto()},
		WriteStream: stream,
	}
}

// trailer returns the storageerror-bin trailer of err, nil when it carries no StorageError.
func trailer(err error) metadata.MD {
	e, ok := err.(*apiError)
	if !ok || e.storage == 0 {
		return nil
	}
	raw, err := proto.Marshal(e.storageError())
	if err != nil {
		return nil
	}
	return metadata.Pairs(storageErrorTrailer, string(raw))
}

func unaryTrailer(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	resp, err := next(ctx, req)
	if md := trailer(err); md != nil {
		_ = grpc.SetTrailer(ctx, md) // fails only outside of an RPC
	}
	return resp, err
}

func streamTrailer(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	err := next(srv, ss)
	if md := trailer(err); md != nil {
		ss.SetTrailer(md)
	}
	return err
}

func notFound(entity string, code storageCode) *apiError {
	return errorf(codes.NotFound, entity, "Requested entity was not found.").with(code)
}

func invalidName(entity string) *apiError {
	return errorf(codes.InvalidArgument, entity, "Invalid stream name.")
}

func unsupported(entity, what string) *apiError {
	return errorf(codes.Unimplemented, entity, "This emulator does not support %s.", what)
}

func offsetExists(stream string, end, offset int64) *apiError {
	return errorf(codes.AlreadyExists, stream, "The offset is within stream, expected offset %d, received %d", end, offset).
		with(storagepb.StorageError_OFFSET_ALREADY_EXISTS)
}

func offsetBeyond(stream string, end, offset int64) *apiError {
	return errorf(codes.OutOfRange, stream, "The offset is beyond stream, expected offset %d, received %d", end, offset).
		with(storagepb.StorageError_OFFSET_OUT_OF_RANGE)
}

// priorFailure is the other answer of case 24; its StorageError, if any, is not known.
func priorFailure(stream string) *apiError {
	return errorf(codes.Aborted, stream, "Request processing is aborted because of prior failures. The request can be "+
		"retried if previous failure is addressed.")
}

// extraFields is what a writer's schema with columns that the table hasn't is told (cases 56, 69, 70).
func extraFields(stream string, columns []string) *apiError {
	err := errorf(codes.InvalidArgument, stream, "Input schema has more fields than BigQuery schema, extra fields: '%s'",
		strings.Join(columns, "', '")).with(storagepb.StorageError_SCHEMA_MISMATCH_EXTRA_FIELDS)
	err.short = "Schema mismatch due to extra fields in user schema"
	return err
}

func finalized(stream string) *apiError {
	return errorf(codes.InvalidArgument, stream, "Stream has been finalized and cannot be appended:").
		with(storagepb.StorageError_STREAM_FINALIZED)
}

func takenOver(stream string) *apiError {
	return errorf(codes.Aborted, stream, "Closing the stream because a newer connection appends to it.")
}

func badRows(stream string) *apiError {
	return errorf(codes.InvalidArgument, stream, "Errors found while processing rows. Please refer to the row_errors "+
		"field for details. The list may not be complete because of the size limitations.")
}

func noRows(stream string) *apiError {
	return errorf(codes.InvalidArgument, stream, "Rows must be specified.")
}

func offsetOnDefault(stream string) *apiError {
	return errorf(codes.InvalidArgument, stream, "Offset must not be specified on the default stream.")
}

func negativeOffset(stream string, offset int64) *apiError {
	return errorf(codes.InvalidArgument, stream, "Offset must not be negative, received %d.", offset)
}

// internal reports a failure of the emulator's own, such as a full disk under its data folder.
func internal(entity string, err error) *apiError {
	return errorf(codes.Internal, entity, "The emulator failed: %v.", err)
}

func draining() *apiError { return errorf(codes.Unavailable, "", "the connection is draining") }

func tooManyConnections() *apiError {
	return errorf(codes.ResourceExhausted, "", "Exceeds 'concurrent connections' quota.")
}
