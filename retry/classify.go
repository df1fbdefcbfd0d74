package retry

import (
	"fmt"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
)

// Class says what an answer means for the writer, and so what may be done next.
// The verdict itself also depends on the partition's state; recovery gives it.
type Class uint8

const (
	// OK: the append was applied.
	OK Class = iota
	// AlreadyExists: the offset lies below the end of the stream. Nothing was
	// written, and the bytes were not compared (case 23): it acknowledges an intent
	// only if that may have been sent before.
	AlreadyExists
	// OutOfRange: the offset lies beyond the end of the stream; nothing was written.
	OutOfRange
	// Finalized: the stream takes no more rows, whatever the offset.
	Finalized
	// Gone: the stream is not found or expired. Its end can no longer be asked for.
	Gone
	// RowErrors: the service refused some rows; nothing of the request was written.
	RowErrors
	// TooLarge: the request exceeds the size limit; nothing was written and the
	// connection lives on. Past the hard limit the service says only INVALID_ARGUMENT
	// (case 51), which is Blocked.
	TooLarge
	// ExtraFields: the writer schema has fields that the table doesn't have, or that
	// have not reached the append backend yet (case 69).
	ExtraFields
	// Mismatch: a field of the writer schema doesn't fit the type or mode of its column,
	// as the append backend knows the column (case 57).
	Mismatch
	// Transient: the same again after backoff.
	Transient
	// Idle: the service closed a connection without requests for 600 s. Normal life:
	// reconnect when there is something to send, and report nothing.
	Idle
	// Blocked: the same again brings the same until somebody changes something
	// outside (access, table, schema, key, limits).
	Blocked
)

var classNames = [...]string{
	OK:            "ok",
	AlreadyExists: "already_exists",
	OutOfRange:    "out_of_range",
	Finalized:     "finalized",
	Gone:          "gone",
	RowErrors:     "row_errors",
	TooLarge:      "too_large",
	ExtraFields:   "extra_fields",
	Mismatch:      "mismatch",
	Transient:     "transient",
	Idle:          "idle",
	Blocked:       "blocked",
}

// String returns the class in lower-case words joined by underscores, fit for a
// log line and for the value of a metric's label.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class_%d", uint8(c))
}

// class classifies what a failed append or call reported. The most exact source
// wins: the StorageError's code, then the row errors, then the gRPC code together
// with the text.
func (r report) class() Class {
	if c, ok := storageClass(r.storage.GetCode()); ok {
		if c == AlreadyExists && r.code != codes.AlreadyExists {
			// The service never says so (case 18). A row counts as landed by this class: that
			// must not hang on an answer that contradicts itself.
			return Transient
		}
		return c
	}
	if r.rows > 0 {
		// Also beside another code than INVALID_ARGUMENT: the answer to row errors is a
		// rotation, and there Finalize's count decides, not this guess.
		return RowErrors
	}
	return r.statusClass()
}

// storageClass classifies by the StorageError's code, which is meant to be branched
// on. ok is false for UNSPECIFIED and for codes newer than this program: there the
// gRPC code says at least as much.
func storageClass(code storagepb.StorageError_StorageErrorCode) (c Class, ok bool) {
	switch code {
	case storagepb.StorageError_OFFSET_ALREADY_EXISTS:
		return AlreadyExists, true // case 18
	case storagepb.StorageError_OFFSET_OUT_OF_RANGE:
		return OutOfRange, true // case 19
	case storagepb.StorageError_STREAM_FINALIZED:
		return Finalized, true // case 75
	case storagepb.StorageError_STREAM_NOT_FOUND:
		return Gone, true // case 94
	case storagepb.StorageError_TABLE_NOT_FOUND:
		// A table made anew is not found for minutes (case 95), and only somebody
		// outside can make it. A new epoch would not help: it needs the table too.
		return Blocked, true
	case storagepb.StorageError_SCHEMA_MISMATCH_EXTRA_FIELDS:
		return ExtraFields, true // case 56
	case storagepb.StorageError_KMS_SERVICE_ERROR:
		return Transient, true // documented as "can be retried"
	case storagepb.StorageError_CMEK_NOT_PROVIDED,
		storagepb.StorageError_INVALID_CMEK_PROVIDED,
		storagepb.StorageError_CMEK_ENCRYPTION_ERROR,
		storagepb.StorageError_KMS_PERMISSION_DENIED:
		return Blocked, true // the key's owner has to act
	case storagepb.StorageError_STREAM_ALREADY_COMMITTED,
		storagepb.StorageError_INVALID_STREAM_TYPE,
		storagepb.StorageError_INVALID_STREAM_STATE:
		// Answers about PENDING and BUFFERED streams (cases 84 to 86): on a COMMITTED
		// stream they mean a mistake in this program or in the stream's name. "Garbaged"
		// is one of the meanings of INVALID_STREAM_STATE, but not the only one, and
		// Gone may abandon the stream: too much to hang on a guess.
		return Blocked, true
	default:
		return 0, false
	}
}

// statusClass classifies by the gRPC code, and by the text where one code has
// several meanings.
func (r report) statusClass() Class {
	switch r.code {
	case codes.AlreadyExists:
		return AlreadyExists // some versions of the service send no StorageError with it
	case codes.OutOfRange:
		return OutOfRange // as above
	case codes.NotFound:
		return r.notFoundClass()
	case codes.InvalidArgument:
		return r.invalidArgumentClass()

	case codes.Aborted:
		if r.says("because it has been inactive for") {
			return Idle // case 88
		}
		// Interval close (case 89), a newer connection to the same stream (case 32), an
		// earlier request that failed (case 24): each is over with the next try.
		return Transient
	case codes.ResourceExhausted:
		if r.says("larger than max") {
			// Not a quota: a message limit of gRPC's own, here or at a proxy. It doesn't
			// refill, and the batch meets it again each time.
			return Blocked
		}
		// Throughput (case 53), connections (case 54), creation of streams (case 5): they
		// refill within seconds to an hour. The bare client retries the first only.
		return Transient
	case codes.Unavailable:
		return Transient // drain, GOAWAY, overload, no network (case 90)
	case codes.Internal:
		return Transient // throttling, stream resets, broken backends (case 91)
	case codes.DeadlineExceeded:
		return Transient // nobody knows whether it was applied: the offset tells the next time
	case codes.Canceled:
		return Transient // our own close of the RPC; the service doesn't cancel
	case codes.Unknown:
		// Errors without a status: resets, proxies, TLS. Sent again at the same offset,
		// an append that landed after all is answered ALREADY_EXISTS.
		return Transient
	case codes.OK:
		// An error that says OK, or an end of the RPC without an error: no answer.
		return Transient

	case codes.PermissionDenied:
		// Access is missing, or the table is ("or it may not exist"), or the routing
		// header (case 92). Mostly a person has to act, so it must not look like weather.
		return Blocked
	case codes.Unauthenticated:
		return Blocked // credentials
	case codes.FailedPrecondition:
		return Blocked // the service's "don't retry until the state was fixed"
	case codes.Unimplemented:
		return Blocked // not this service, or not this feature
	case codes.DataLoss:
		return Blocked // defined as unrecoverable: somebody should look
	default:
		return Transient // a code that gRPC doesn't define counts as UNKNOWN
	}
}

// notFoundClass tells a stream that is gone from a missing table. Only the first
// may be replaced by a new epoch, so what is not clearly a stream is Blocked.
func (r report) notFoundClass() Class {
	if r.says("not found: table") || r.says("table is deleted") {
		return Blocked // case 95, as told by the text
	}
	_, rest, ok := strings.Cut(r.entity(), "/streams/")
	if !ok {
		return Blocked // a table, "<table>/_default", or nothing named at all (case 4)
	}
	id := strings.Fields(rest) // more text may follow the name
	if len(id) == 0 || id[0] == "_default" {
		return Blocked // the default stream lives as long as its table
	}
	return Gone // cases 10, 94 and 95
}

// invalidArgumentClass finds the meanings of INVALID_ARGUMENT that one can act on.
// The rest needs a change of request, schema or program: malformed names (case 10),
// no rows (case 35), unusable writer schemas (cases 58, 63), more than 20 MiB (case 51).
func (r report) invalidArgumentClass() Class {
	switch {
	case r.says("stream has been finalized"):
		return Finalized // cases 75 and 79
	case r.says("appendrows request too large"):
		return TooLarge // case 52
	case r.says("errors found while processing rows"):
		return RowErrors // case 36; the list of rows may be cut down to nothing
	case r.says("input schema has more fields than bigquery schema"):
		return ExtraFields // case 56
	case r.says("the proto field mismatched with bigquery field"):
		return Mismatch // case 57
	default:
		return Blocked
	}
}

// ofConnection narrows a class to what the end of an RPC can say. Its status goes to
// every append in flight, so it is no answer to any single one of them: an append
// must not count as landed, refused or too large because of another one.
func (c Class) ofConnection() Class {
	switch c {
	case OK, AlreadyExists, OutOfRange:
		return Transient // reconnect, send again: then each append gets its own answer
	case RowErrors, TooLarge:
		return Blocked // as a bare INVALID_ARGUMENT: which append it was, nobody can tell
	default:
		return c // about the stream, the schema, the table or the connection: true for all
	}
}
