package retry

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	overloaded = status.Error(codes.Unavailable, "Task is overloaded")
	denied     = status.Error(codes.PermissionDenied, "denied")
)

// steady has no jitter, so that tests can name the delays.
var steady = Policy{Initial: time.Second, Max: 5 * time.Second, Multiplier: 2}

// If this failed, tries would follow each other too fast for the service or too
// slowly for the window, or a success would not start the series anew.
func TestDelays(t *testing.T) {
	b := steady.New()
	for range 2 {
		for _, want := range []time.Duration{1, 2, 4, 5, 5} {
			require.Equal(t, want*time.Second, b.Next())
		}
		b.Reset()
	}
}

// If this failed, the default would give up on an open intent, or hammer a service
// that asks for rest.
func TestDefaultNeverGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := DefaultPolicy().New()
		for i := range 1000 {
			d := b.Next()
			require.GreaterOrEqual(t, d, 50*time.Millisecond)
			require.LessOrEqual(t, d, 45*time.Second+1)
			if i > 10 {
				require.GreaterOrEqual(t, d, 15*time.Second)
			}
			time.Sleep(d)
		}
	})
}

// If this failed, a limit on the time would be ignored or end the tries early.
func TestMaxElapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady
		p.MaxElapsed = 8 * time.Second
		b := p.New()
		for _, want := range []time.Duration{1, 2, 4} {
			d := b.Next()
			require.Equal(t, want*time.Second, d)
			time.Sleep(d)
		}
		require.Equal(t, time.Duration(-1), b.Next(), "the next would begin after 12 s")
		b.Reset()
		require.Equal(t, time.Second, b.Next())
	})
}

// If this failed, some policy would make delays overflow, shrink to a busy loop or
// leave its own bounds.
func TestAnyPolicy(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		duration := rapid.Int64Range(-1, math.MaxInt64)
		p := Policy{
			Initial:    time.Duration(duration.Draw(rt, "initial")),
			Max:        time.Duration(duration.Draw(rt, "max")),
			Multiplier: rapid.Float64Range(-1, 1e9).Draw(rt, "multiplier"),
			Jitter:     rapid.Float64Range(-1, 2).Draw(rt, "jitter"),
		}
		limit := 2*p.Max + 1
		if p.Max <= 0 || p.Max > 24*time.Hour {
			limit = 48*time.Hour + 1
		}
		b := p.New()
		for range 20 {
			d := b.Next()
			require.GreaterOrEqual(rt, d, time.Duration(0))
			require.LessOrEqual(rt, d, limit)
		}
	})
	huge := Policy{Initial: math.MaxInt64, Max: math.MaxInt64, Jitter: 1}.New()
	for range 20 {
		require.GreaterOrEqual(t, huge.Next(), time.Duration(0))
	}
	require.Equal(t, DefaultPolicy().Initial, Policy{}.New().Next(), "the zero value is the default without jitter")
}

// If this failed, a unary call would give up on weather, or go on after success.
func TestDoRetriesTransient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, calls := time.Now(), 0
		err := Do(t.Context(), steady, func(context.Context) error {
			if calls++; calls < 4 {
				return overloaded
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 4, calls)
		require.Equal(t, 7*time.Second, time.Since(start))
	})
}

// If this failed, a call that can't succeed would be repeated for ever.
func TestDoStopsAtOtherClasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		err := Do(t.Context(), steady, func(context.Context) error {
			if calls++; calls == 2 {
				return denied
			}
			return overloaded
		})
		require.ErrorIs(t, err, denied)
		require.ErrorContains(t, err, "attempt 2")
		require.Equal(t, Blocked, FromError(err, nil).Class)
		require.Equal(t, 2, calls)
	})
}

// If this failed, a limited policy would run on, or its error would not say why.
func TestDoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady
		p.MaxElapsed = 4 * time.Second
		calls := 0
		err := Do(t.Context(), p, func(context.Context) error { calls++; return overloaded })
		require.ErrorIs(t, err, overloaded)
		require.ErrorContains(t, err, "gave up after attempt 3")
		require.Equal(t, 3, calls)
	})
}

// If this failed, closing a writer would hang in a backoff, or its caller would not
// learn what stood in the way.
func TestDoEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		start := time.Now()
		err := Do(ctx, steady, func(context.Context) error { return overloaded })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, overloaded)
		require.Equal(t, 4*time.Second, time.Since(start), "within the third delay")
	})
	synctest.Test(t, func(t *testing.T) {
		closing := errors.New("closing")
		ctx, cancel := context.WithCancelCause(t.Context())
		calls := 0
		err := Do(ctx, steady, func(ctx context.Context) error {
			calls++
			cancel(closing)
			return ctx.Err() // of the class Transient, but it is the caller's own
		})
		require.ErrorIs(t, err, closing)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, 1, calls)
	})
}

// If this failed, the deadline of one attempt would count as the caller's.
func TestDoOutlivesAnAttemptsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		err := Do(t.Context(), steady, func(ctx context.Context) error {
			if calls++; calls > 1 {
				return nil
			}
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			<-ctx.Done()
			return ctx.Err()
		})
		require.NoError(t, err)
		require.Equal(t, 2, calls)
	})
}
