// Package retry says what an answer of the Storage Write API means, in one place,
// and how long to wait before the next try.
//
// Every answer passes through one of two functions first. [FromResponse] takes an
// AppendRowsResponse: a success or an in-response error, which answers exactly one
// append while the connection lives on. [FromError] takes everything else: the
// status with which an RPC ended, io.EOF, context and transport errors, and the
// errors of unary calls. Both return an [Answer] whose [Class] the verdicts of
// recovery are built on.
//
// For waiting there is [Policy.New], which makes one [Backoff] for one series of
// tries, and [Do], which runs a unary call until it succeeds or can't.
package retry

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Answer is what came back for one append or call, in facts.
type Answer struct {
	Class Class

	// Broken: the RPC ended, so this append and everything in flight has no answer
	// and may or may not have been applied. Class then speaks of the stream or the
	// connection, never of one append: it is none of OK, AlreadyExists, OutOfRange,
	// RowErrors and TooLarge.
	Broken bool

	// Offset is the offset of the append's first row as the service reports it with
	// OK; -1 if it reports none.
	Offset int64
	// Expected is the end of the stream as the service reports it with an offset
	// error ("expected offset E", cases 18 and 19); -1 if it reports none. It may be
	// a lagging view (case 27).
	Expected int64

	Code    codes.Code                              // gRPC code; Unknown for errors that carry none
	Storage storagepb.StorageError_StorageErrorCode // UNSPECIFIED if there was no StorageError

	// Rows are the refused rows of RowErrors, as far as reported: the service cuts
	// long lists short, even to none.
	Rows []RowError

	// Schema is the table's new schema if the service attached one to a success
	// (case 68). It is the response's own message, not a copy.
	Schema *storagepb.TableSchema

	// Err is nil for OK, else an error that prints code and message but no row
	// errors (these may quote values). errors.Is and errors.As reach the cause.
	Err error
}

// RowError is one refused row.
type RowError struct {
	Index   int64  // of the row in its request
	Message string // may quote the row's values: not for logs
}

// FromResponse reads an AppendRowsResponse: a success or an in-response error. A nil
// response is what the bare client returns for a broken connection, so it is
// classified as one. Safe for concurrent use; resp is not changed.
func FromResponse(resp *storagepb.AppendRowsResponse) Answer {
	if resp == nil {
		return FromError(nil, nil)
	}
	refused := resp.GetRowErrors()
	result := resp.GetAppendResult()
	if result != nil && len(refused) == 0 {
		a := Answer{Class: OK, Offset: -1, Expected: -1, Schema: resp.GetUpdatedSchema()}
		if off := result.GetOffset(); off != nil { // unset on the default stream (case 30)
			a.Offset = off.GetValue()
		}
		return a
	}

	st := resp.GetError()
	r := report{
		code:    codes.Code(st.GetCode()),
		message: st.GetMessage(),
		storage: storageErrorOf(st.GetDetails()),
		rows:    len(refused),
		cause:   status.FromProto(st).Err(),
	}
	if r.code == codes.OK && r.message == "" && r.rows == 0 {
		// Neither a result nor an error. The append may have been applied; sent again
		// it gets an answer that says so.
		r.message = "the response holds neither a result nor an error"
	}
	a := r.answer(r.class())
	a.Schema = resp.GetUpdatedSchema()
	for _, row := range refused {
		a.Rows = append(a.Rows, RowError{Index: row.GetIndex(), Message: row.GetMessage()})
	}
	return a
}

// FromError reads the error that ended an RPC: a broken connection or a unary call.
// It sees through wrapping, finds the StorageError in the status or in the trailer
// (which may be nil), and accepts io.EOF, context and transport errors. A nil err is
// an RPC that ended without one. The answer is always Broken and never OK. Safe for
// concurrent use; nothing passed in is changed.
func FromError(err error, trailer metadata.MD) Answer {
	st := statusOf(err)
	r := report{
		code:    st.Code(),
		message: st.Message(),
		storage: storageErrorOf(st.Proto().GetDetails()),
		cause:   err,
	}
	if r.storage == nil {
		r.storage = storageErrorIn(trailer)
	}
	c := r.class()
	a := r.answer(c.ofConnection())
	a.Broken = true
	return a
}

// report is what an error says, before it is classified.
type report struct {
	code    codes.Code
	message string
	storage *storagepb.StorageError // nil: none came
	rows    int                     // number of row errors
	cause   error                   // may be nil
}

func (r report) answer(c Class) Answer {
	return Answer{
		Class:    c,
		Offset:   -1,
		Expected: r.expected(),
		Code:     r.code,
		Storage:  r.storage.GetCode(),
		Err:      &failure{r},
	}
}

// failure prints a report in one line.
type failure struct{ report }

// maxText bounds the service's text in an error message, in bytes.
const maxText = 1024

func (f *failure) Error() string {
	var b strings.Builder
	b.WriteString(f.code.String())
	if f.storage.GetCode() != storagepb.StorageError_STORAGE_ERROR_CODE_UNSPECIFIED {
		fmt.Fprintf(&b, " (%v)", f.storage.GetCode())
	}
	text := f.message
	if text == "" {
		text = f.storage.GetErrorMessage()
	}
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "..."
	}
	if text != "" {
		b.WriteString(": " + text)
	}
	if f.rows > 0 {
		fmt.Fprintf(&b, " (row errors reported: %d)", f.rows)
	}
	return b.String()
}

func (f *failure) Unwrap() error { return f.cause }

// CodeOf returns the gRPC code of the answer that err wraps, or else that FromError finds. Safe for concurrent use.
func CodeOf(err error) codes.Code {
	if f := (*failure)(nil); errors.As(err, &f) {
		return f.code
	}
	return statusOf(err).Code()
}

// statusOf returns the innermost facts of err as a status. status.FromError would
// replace the service's message by that of the wrapping error, whose names and
// numbers are not the service's words.
func statusOf(err error) *status.Status {
	var carrier interface{ GRPCStatus() *status.Status }
	if errors.As(err, &carrier) {
		if st := carrier.GRPCStatus(); st != nil {
			return st
		}
	}
	switch {
	case err == nil:
		return status.New(codes.Unknown, "the RPC ended without an answer")
	case errors.Is(err, io.EOF):
		// What a send sees after the RPC has ended, or a receive after the service has
		// closed it in good order. Either way nothing in flight will be answered.
		return status.New(codes.Unknown, "the RPC ended before an answer came: EOF")
	}
	if st := flattened(err.Error()); st != nil {
		return st
	}
	return status.FromContextError(err) // CANCELLED, DEADLINE_EXCEEDED, else UNKNOWN
}
