package emulator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
)

// If this failed, --fault would mean something else than its help says.
func TestParseFault(t *testing.T) {
	f, err := ParseFault("close-after:every=97,count=20,after=3,p=0.01,table=projects/p/datasets/d/tables/t,stream=s,delay=1.5s,all=true,lag=2,checks=3,code=INTERNAL,storage=STREAM_FINALIZED,message=a, b=c")
	require.NoError(t, err)
	require.Equal(t, codes.Internal, f.Error.Code())
	require.Equal(t, "a, b=c", f.Error.Message())
	require.Equal(t, sealed, f.answer("", nil).storage)
	f.Error = nil
	require.Equal(t, Fault{Kind: CloseAfter, Every: 97, Count: 20, After: 3, Probability: 0.01, Table: "projects/p/datasets/d/tables/t",
		Stream: "s", Delay: 1500 * time.Millisecond, All: true, Lag: 2, Checks: 3}, f)

	for _, k := range KindList() {
		require.NotEmpty(t, k.Does)
		f, err := ParseFault(string(k.Kind))
		require.NoError(t, err)
		require.Equal(t, Fault{Kind: k.Kind}, f)
	}
	for _, bad := range []string{"", "nonsense", "stall:", "stall:delay", "stall:delay=x", "stall:delay=-1s", "error:code=OK",
		"error:message=without a code", "error:storage=NONE", "abort:code=14", "abort:every=-1", "abort:p=2", "abort:p=NaN",
		"abort:every=1,every=2", "abort:unknown=1", "stale-end:lag=65", "abort:count=99999999999999999999"} {
		_, err := ParseFault(bad)
		require.Error(t, err, bad)
	}
}

// If this failed, a fault that is printed could not be given again.
func FuzzParseFault(f *testing.F) {
	f.Add("close-after:every=97,count=20,p=0.01")
	f.Add("error:code=RESOURCE_EXHAUSTED,message=Exceeds 'AppendRows throughput' quota, and so on")
	f.Add("abort:code=CANCELLED,storage=STREAM_NOT_FOUND")
	f.Add("stall:delay=1h2m3.5s")
	f.Fuzz(func(t *testing.T, spec string) {
		one, err := ParseFault(spec)
		if err != nil {
			return
		}
		require.NoError(t, one.Validate())
		two, err := ParseFault(one.String())
		require.NoError(t, err, one.String())
		require.Equal(t, one.Error.Proto().String(), two.Error.Proto().String())
		one.Error, two.Error = nil, nil
		require.Equal(t, one, two)
	})
}
