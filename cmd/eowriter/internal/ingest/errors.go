package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/retry"
	"google.golang.org/grpc/codes"
)

// Error is why an append was not acknowledged. What each Reason means is in the API.
type Error struct {
	Reason   eowriterv1.Reason
	Message  string // for people; no contents of rows
	Position string // with POSITION and CONFLICT: where the partition is

	Rows    []*eowriterv1.RowError // with BAD_ROWS: the first of
	BadRows int                    // so many

	RetryAfter time.Duration // 0: trying again doesn't help by itself
	Err        error         // what the writer said, or nil
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Detail is the error as the API has it.
func (e *Error) Detail() *eowriterv1.AppendError {
	return &eowriterv1.AppendError{
		Reason: e.Reason, Message: e.Message, CurrentPosition: e.Position,
		Rows: e.Rows, BadRows: int32(e.BadRows), RetryAfter: durationOf(e.RetryAfter),
	}
}

func refuse(reason eowriterv1.Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// soon is when to try again what fails for want of room.
const soon = time.Second

func busy(format string, args ...any) *Error {
	e := refuse(eowriterv1.Reason_REASON_BUSY, format, args...)
	e.RetryAfter = soon
	return e
}

// errStopped is what Ingest.Close ends everything with.
var errStopped = errors.New("the sidecar is being stopped")

// errBefore is what appends are refused with that were queued behind one that was refused.
var errBefore = errors.New("an append before this one was refused")

// stopping is what everything is refused with once Close was called.
func stopping() *Error {
	e := refuse(eowriterv1.Reason_REASON_UNAVAILABLE, "the sidecar is being stopped; nothing was accepted")
	e.RetryAfter = soon
	return e
}

// unresolved is for an append that was accepted, and whose fate isn't known now.
func unresolved(cause error) *Error {
	return &Error{
		Reason:     eowriterv1.Reason_REASON_UNRESOLVED,
		Message:    fmt.Sprintf("accepted, but not known to be safe yet: send the same append again, or ask for the position: %v", cause),
		RetryAfter: soon, Err: cause,
	}
}

// isHalted says that a partition has stopped with a cause that only a person can judge.
func isHalted(err error) bool {
	return errors.Is(err, committed.ErrConflict) || errors.Is(err, committed.ErrFenced) || errors.Is(err, committed.ErrInDoubt)
}

// halted is for a partition that only a person can let go on; what says why.
func halted(what string, cause error) *Error {
	e := refuse(eowriterv1.Reason_REASON_HALTED, "%s. Everything is kept. To go on: stop the sidecar, do what `eowriter ledger show` says "+
		"about the partition (`eowriter ledger resolve`, mostly), and start the sidecar again", what)
	e.Err = cause
	return e
}

// why tells producers what a partition stopped with, or can't be opened for.
func why(err error) *Error {
	e := &Error{Reason: eowriterv1.Reason_REASON_UNAVAILABLE, Message: strings.ReplaceAll(err.Error(), "\n", "; "), Err: err}
	var stopped *committed.Error
	switch {
	case isHalted(err):
		return halted(e.Message, err)
	case errors.Is(err, committed.ErrTooLarge):
		e.Reason = eowriterv1.Reason_REASON_TOO_LARGE
	case !errors.As(err, &stopped) && retry.FromError(err, nil).Code == codes.NotFound:
		e.Reason = eowriterv1.Reason_REASON_NO_TABLE
	}
	return e
}

// Loggable is what a log may say of why a partition has stopped: the service's words about rows, or about a request that it
// takes for wrong, may have values of rows in them. Producers are told them all the same, and the partition's state has them.
func Loggable(err error) string {
	const hidden = "its words may have values of rows in them: see the partition's state"
	var stopped *committed.Error
	code := retry.CodeOf(err)
	switch {
	case errors.As(err, &stopped) && (stopped.Class == retry.RowErrors || code == codes.InvalidArgument):
		return fmt.Sprintf("%v: %v, %v at offset %d (%s)", stopped.Kind, code, stopped.Class, stopped.Offset, hidden)
	case code == codes.InvalidArgument:
		return fmt.Sprintf("the service answers %v (%s)", code, hidden)
	}
	return err.Error()
}

// tellsPosition says that an error says where the partition is.
func tellsPosition(err error) bool {
	var refused *Error
	return errors.As(err, &refused) && (refused.Reason == eowriterv1.Reason_REASON_POSITION || refused.Reason == eowriterv1.Reason_REASON_CONFLICT)
}

// gaveUp is for a caller that did not wait.
func gaveUp(ctx context.Context) error { return context.Cause(ctx) }
