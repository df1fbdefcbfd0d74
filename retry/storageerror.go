package retry

import (
	"regexp"
	"strconv"
	"strings"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	// storageErrorType is how a detail's type URL ends (docs/service-facts.md, section 0).
	storageErrorType = "google.cloud.bigquery.storage.v1.StorageError"
	// storageErrorKey is the trailer with a bare StorageError; grpc-go has undone its
	// base64 already.
	storageErrorKey = "google.cloud.bigquery.storage.v1.storageerror-bin"
)

// storageErrorOf returns the first StorageError among a status's details, or nil.
func storageErrorOf(details []*anypb.Any) *storagepb.StorageError {
	for _, d := range details {
		if !strings.HasSuffix(d.GetTypeUrl(), storageErrorType) {
			continue
		}
		if se := decodeStorageError(d.GetValue()); se != nil {
			return se
		}
	}
	return nil
}

// storageErrorIn returns the StorageError of an RPC's trailer, or nil.
func storageErrorIn(trailer metadata.MD) *storagepb.StorageError {
	for _, v := range trailer.Get(storageErrorKey) {
		if se := decodeStorageError([]byte(v)); se != nil {
			return se
		}
	}
	return nil
}

// decodeStorageError returns nil for what is no StorageError: a damaged detail must
// not hide the status that it came with.
func decodeStorageError(b []byte) *storagepb.StorageError {
	se := new(storagepb.StorageError)
	if len(b) == 0 || proto.Unmarshal(b, se) != nil {
		return nil
	}
	return se
}

// expectedOffset matches the texts of cases 18 and 19. It wants the comma after the
// number: of a text that was cut off, half a number must not be taken for the end.
var expectedOffset = regexp.MustCompile(`expected offset ([0-9]{1,19}), received -?[0-9]`)

// expected returns the end of the stream that an offset error reports, or -1. Other
// errors are not looked at: their texts may quote names and values.
func (r report) expected() int64 {
	switch r.class() {
	case AlreadyExists, OutOfRange:
	default:
		return -1
	}
	for _, text := range []string{r.sentence(), r.storage.GetErrorMessage()} {
		m := expectedOffset.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		if e, err := strconv.ParseInt(m[1], 10, 64); err == nil { // else beyond int64
			return e
		}
	}
	return -1
}

// entityMark separates a message's sentence from the resource that it is about.
const entityMark = "Entity: "

// sentence is the message without the resource's name, which users choose.
func (r report) sentence() string {
	if i := strings.LastIndex(r.message, entityMark); i >= 0 {
		return r.message[:i]
	}
	return r.message
}

// entity is the resource that the error is about; empty if it names none.
func (r report) entity() string {
	if i := strings.LastIndex(r.message, entityMark); i >= 0 {
		return r.message[i+len(entityMark):]
	}
	return r.storage.GetEntity()
}

// says reports whether the message's sentence contains words, given in lower case.
func (r report) says(words string) bool {
	return strings.Contains(strings.ToLower(r.sentence()), words)
}

// flattenedStatus is how a status prints as an error.
var flattenedStatus = regexp.MustCompile(`(?s)rpc error: code = ([A-Za-z]+) desc = (.*)$`)

// flattened recovers a status that somebody wrapped with %v, or returns nil. The bare
// client does so when it looks up the stream to open (managedwriter v1.84.0, "lookup
// of stream failed"); without this a stream that is gone would look like weather.
func flattened(text string) *status.Status {
	m := flattenedStatus.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
		if c.String() == m[1] {
			return status.New(c, m[2])
		}
	}
	return nil
}
