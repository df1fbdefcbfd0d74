package committed_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
	"github.com/stretchr/testify/require"
)

// steps are those of one batch.
type steps []committed.Step

func (s *steps) Step(step committed.Step) { *s = append(*s, step) }

// If it fails, a trace shows steps of another batch, or leaves some out.
func TestFollower(t *testing.T) {
	b := newBench(t, committed.Options{}, emulator.Options{})
	p := b.partition("a", true)
	all := make([]steps, 20)
	for i := range all {
		one := batch(int64(i)*10, int64(i)*10+10)
		one.Follower = &all[i]
		if i == 10 { // its connection breaks when the service has the rows
			b.srv.Inject(emulator.Fault{Kind: emulator.ResetAfter, Count: 1})
		}
		r, err := p.Append(b.ctx(), one)
		require.NoError(t, err)
		_, err = r.Wait(b.ctx())
		require.NoError(t, err)
	}
	require.NoError(t, p.Close(context.Background())) // nobody is told anything any more
	for i := range all {
		want := steps{committed.B1, committed.B2, committed.B3, committed.B5, committed.B6, committed.B7}
		if i == 10 {
			want = slices.Insert(want, 3, committed.B5, committed.B3)
		}
		require.Equal(t, want, all[i], "batch %d", i)
	}
}

// If it fails, metrics say that other things came back from the service than did.
func TestAnswered(t *testing.T) {
	var mu sync.Mutex
	var answers []committed.Answered
	connected := 0
	b := newBench(t, committed.Options{Events: committed.Events{
		Connected: func(ledger.Key) { mu.Lock(); connected++; mu.Unlock() },
		Answered:  func(_ ledger.Key, a committed.Answered) { mu.Lock(); answers = append(answers, a); mu.Unlock() },
	}}, emulator.Options{})
	p := b.partition("a", true)
	b.requireLanded(b.append(p, 0, 3))
	b.srv.Inject(emulator.Fault{Kind: emulator.ResetAfter, Count: 1})
	b.requireLanded(b.append(p, 3, 4))
	require.NoError(t, p.Close(context.Background()))
	require.Equal(t, 2, connected)
	landed := committed.Answered{Class: retry.OK, Verdict: recovery.Acked, Append: true}
	require.Equal(t, []committed.Answered{
		{Class: retry.OutOfRange, Verdict: recovery.Acked}, // the probe
		landed, landed, landed,
		{Class: retry.Transient, Verdict: recovery.Again, Append: true, Broken: true},
		{Class: retry.AlreadyExists, Verdict: recovery.Acked, Append: true},
	}, answers)
}
