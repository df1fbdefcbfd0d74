package retry

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Policy says how the delays between tries grow. The zero value of a field other
// than Jitter and MaxElapsed means the default's.
type Policy struct {
	Initial    time.Duration // the first delay
	Max        time.Duration // no delay grows past it, jitter aside; a day at most
	Multiplier float64       // from one delay to the next, at least 1
	// Jitter spreads each delay d evenly over [d-Jitter*d, d+Jitter*d]; 0 to 1. With
	// 0 the delays are the same each time, as a simulation with a seed needs them.
	Jitter float64
	// MaxElapsed ends the tries when the next one would begin later than this after
	// the first; 0: never.
	MaxElapsed time.Duration
}

// DefaultPolicy starts at 100 ms, because most breaks are over at once, and doubles
// to 30 s, because quotas take 10 s to minutes to refill. It never gives up: an open
// intent has to be settled at some time, and a caller that doesn't want to wait has
// its context.
func DefaultPolicy() Policy {
	return Policy{Initial: 100 * time.Millisecond, Max: 30 * time.Second, Multiplier: 2, Jitter: 0.5}
}

// Backoff hands out the delays of one series of tries. It belongs to one goroutine.
type Backoff struct {
	delays *backoff.ExponentialBackOff
}

// New begins a series: MaxElapsed counts from here.
func (p Policy) New() *Backoff {
	d := DefaultPolicy()
	if p.Initial <= 0 {
		p.Initial = d.Initial
	}
	if p.Max <= 0 {
		p.Max = d.Max
	}
	p.Max = min(p.Max, 24*time.Hour) // jitter on top must not overflow
	if p.Multiplier < 1 {
		p.Multiplier = d.Multiplier
	}
	return &Backoff{backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(p.Initial, p.Max)),
		backoff.WithMaxInterval(p.Max),
		backoff.WithMultiplier(p.Multiplier),
		backoff.WithRandomizationFactor(min(max(p.Jitter, 0), 1)),
		backoff.WithMaxElapsedTime(max(p.MaxElapsed, 0)),
	)}
}

// Next returns how long to wait before the next try, or -1 if MaxElapsed forbids one.
func (b *Backoff) Next() time.Duration { return b.delays.NextBackOff() }

// Reset begins a new series: call it after a success.
func (b *Backoff) Reset() { b.delays.Reset() }

// Do calls op until it succeeds, fails with something else than a Transient class,
// p gives up or ctx ends. It is for unary calls that may be repeated: an append is
// never repeated here, its next step is recovery's to choose. op should pass the
// ctx it is given; an attempt that ends by a shorter deadline of its own is tried
// again.
//
// The error names the number of attempts and wraps op's last error, and also ctx's
// cause if that ended it.
func Do(ctx context.Context, p Policy, op func(ctx context.Context) error) error {
	delays := p.New()
	for attempt := 1; ; attempt++ {
		err := op(ctx)
		if err == nil {
			return nil
		}
		if c := FromError(err, nil).Class; c != Transient && c != Idle {
			return fmt.Errorf("attempt %d: %w", attempt, err)
		}
		delay := delays.Next()
		if delay < 0 {
			return fmt.Errorf("gave up after attempt %d: %w", attempt, err)
		}
		if !sleep(ctx, delay) {
			return fmt.Errorf("%w after attempt %d: %w", context.Cause(ctx), attempt, err)
		}
	}
}

// sleep waits for d and reports whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
