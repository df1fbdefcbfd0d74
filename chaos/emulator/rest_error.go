package emulator

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// restError is an error as the REST API words it.
type restError struct {
	code    int    // of HTTP
	reason  string // BigQuery's word for it, such as notFound
	message string
}

func restErrorf(code int, reason, format string, args ...any) *restError {
	return &restError{code: code, reason: reason, message: fmt.Sprintf(format, args...)}
}

func (e *restError) Error() string { return e.message }

// asRESTError makes any other error a failure of the emulator's own.
func asRESTError(err error) *restError {
	var e *restError
	if errors.As(err, &e) {
		return e
	}
	return restErrorf(http.StatusInternalServerError, "internalError", "The emulator failed: %v.", err)
}

// body is the error in Google's JSON form.
func (e *restError) body() any {
	type item struct {
		Message string `json:"message"`
		Domain  string `json:"domain"`
		Reason  string `json:"reason"`
	}
	type object struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Errors  []item `json:"errors"`
		Status  string `json:"status"`
	}
	return map[string]object{"error": {e.code, e.message, []item{{e.message, "global", e.reason}}, e.status()}}
}

func (e *restError) status() string {
	switch e.code {
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusConflict:
		return "ALREADY_EXISTS"
	case http.StatusPreconditionFailed:
		return "FAILED_PRECONDITION"
	case http.StatusNotImplemented:
		return "UNIMPLEMENTED"
	case http.StatusInternalServerError:
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}

func invalid(format string, args ...any) *restError {
	return restErrorf(http.StatusBadRequest, "invalid", format, args...)
}

func restNotFound(kind, name string) *restError {
	return restErrorf(http.StatusNotFound, "notFound", "Not found: %s %s", kind, spell(name))
}

func restExists(kind, name string) *restError {
	return restErrorf(http.StatusConflict, "duplicate", "Already Exists: %s %s", kind, spell(name))
}

func notMet() *restError {
	return restErrorf(http.StatusPreconditionFailed, "conditionNotMet", "Precondition check failed.")
}

// spell turns projects/p/datasets/d/tables/t into p:d.t, as ids and messages have it.
func spell(name string) string {
	parts := strings.Split(name, "/")
	switch len(parts) {
	case 4:
		return parts[1] + ":" + parts[3]
	case 6:
		return parts[1] + ":" + parts[3] + "." + parts[5]
	}
	return name
}
