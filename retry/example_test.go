package retry_test

import (
	"context"
	"fmt"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/eowriter/eowriter/retry"
)

// The service refuses an offset beyond the stream's end and says where that is.
func ExampleFromResponse() {
	a := retry.FromResponse(&storagepb.AppendRowsResponse{
		Response: &storagepb.AppendRowsResponse_Error{Error: &spb.Status{
			Code:    int32(codes.OutOfRange),
			Message: "The offset is beyond stream, expected offset 1, received 100",
		}},
	})
	fmt.Println(a.Class, a.Broken, a.Expected)
	fmt.Println(a.Err)
	// Output:
	// out_of_range false 1
	// OutOfRange: The offset is beyond stream, expected offset 1, received 100
}

// A connection that was idle for ten minutes is closed by the service.
func ExampleFromError() {
	err := status.Error(codes.Aborted, "Closing the stream because it has been inactive for 600 seconds.")
	a := retry.FromError(err, nil)
	fmt.Println(a.Class, a.Broken)
	// Output: idle true
}

// A unary call is repeated while its error is transient.
func ExampleDo() {
	calls := 0
	err := retry.Do(context.Background(), retry.Policy{Initial: 1}, func(context.Context) error {
		calls++
		if calls == 1 {
			return status.Error(codes.Unavailable, "the connection is draining")
		}
		return status.Error(codes.PermissionDenied, "no access to the table")
	})
	fmt.Println(err)
	// Output: attempt 2: rpc error: code = PermissionDenied desc = no access to the table
}
