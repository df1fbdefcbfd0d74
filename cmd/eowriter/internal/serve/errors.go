package serve

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
)

// statuses are the codes of gRPC and HTTP for each reason, as the API promises them.
var statuses = map[eowriterv1.Reason]struct {
	rpc  connect.Code
	http int
}{
	eowriterv1.Reason_REASON_INVALID:             {connect.CodeInvalidArgument, http.StatusBadRequest},
	eowriterv1.Reason_REASON_BAD_ROWS:            {connect.CodeInvalidArgument, http.StatusUnprocessableEntity},
	eowriterv1.Reason_REASON_POSITION:            {connect.CodeFailedPrecondition, http.StatusPreconditionFailed},
	eowriterv1.Reason_REASON_CONFLICT:            {connect.CodeAlreadyExists, http.StatusConflict},
	eowriterv1.Reason_REASON_TOO_LARGE:           {connect.CodeResourceExhausted, http.StatusRequestEntityTooLarge},
	eowriterv1.Reason_REASON_BUSY:                {connect.CodeResourceExhausted, http.StatusTooManyRequests},
	eowriterv1.Reason_REASON_TOO_MANY_PARTITIONS: {connect.CodeResourceExhausted, http.StatusTooManyRequests},
	eowriterv1.Reason_REASON_UNAVAILABLE:         {connect.CodeUnavailable, http.StatusServiceUnavailable},
	eowriterv1.Reason_REASON_HALTED:              {connect.CodeFailedPrecondition, http.StatusServiceUnavailable},
	eowriterv1.Reason_REASON_UNRESOLVED:          {connect.CodeUnavailable, http.StatusServiceUnavailable},
	eowriterv1.Reason_REASON_NO_TABLE:            {connect.CodeNotFound, http.StatusNotFound},
	eowriterv1.Reason_REASON_UNAUTHENTICATED:     {connect.CodeUnauthenticated, http.StatusUnauthorized},
	eowriterv1.Reason_REASON_FORBIDDEN:           {connect.CodePermissionDenied, http.StatusForbidden},
}

// invalid is for requests that ingest never sees.
func invalid(err error) *ingest.Error {
	return &ingest.Error{Reason: eowriterv1.Reason_REASON_INVALID, Message: err.Error(), Err: err}
}

// refusal makes an *ingest.Error of whatever went wrong.
func refusal(err error) *ingest.Error {
	var refused *ingest.Error
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &ingest.Error{
			Reason:     eowriterv1.Reason_REASON_UNRESOLVED,
			Message:    "the call ended before the append was known to be safe; it goes on: send the same append again, or ask for the position",
			RetryAfter: time.Second, Err: err,
		}
	}
	return &ingest.Error{Reason: eowriterv1.Reason_REASON_UNAVAILABLE, Message: err.Error(), RetryAfter: time.Second, Err: err}
}

// rpcError is an error for gRPC and its relatives, with its detail.
func rpcError(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, err)
	case errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, err)
	}
	refused := refusal(err)
	e := connect.NewError(statuses[refused.Reason].rpc, refused)
	if detail, err := connect.NewErrorDetail(refused.Detail()); err == nil {
		e.AddDetail(detail)
	}
	if refused.RetryAfter > 0 {
		e.Meta().Set("Retry-After", retryAfter(refused))
	}
	return e
}

// retryAfter is in whole seconds, as HTTP has it.
func retryAfter(e *ingest.Error) string {
	return strconv.Itoa(int((e.RetryAfter + time.Second - 1) / time.Second))
}

// httpError answers a plain request with an error.
func httpError(w http.ResponseWriter, err error) {
	refused := refusal(err)
	if refused.RetryAfter > 0 {
		w.Header().Set("Retry-After", retryAfter(refused))
	}
	writeJSON(w, statuses[refused.Reason].http, refused.Detail())
}
