package recovery_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
)

// carrier carries a machine's writes out in a real ledger, one after the other; the
// service says yes to everything.
type carrier struct {
	t   *testing.T
	l   *ledger.Ledger
	m   *recovery.Machine
	end int64 // of the stream
	err error // of the first write that the ledger refused
}

func (c *carrier) step(e recovery.Event) {
	var told []recovery.Event
	for _, a := range c.m.Step(e) {
		if a.Kind <= recovery.Forget {
			told = append(told, c.write(a))
		}
	}
	for _, e := range told {
		c.step(e)
	}
	for a, due := c.m.Next(); due; a, due = c.m.Next() {
		c.step(c.call(a))
	}
}

func (c *carrier) write(a recovery.Action) (e recovery.Event) {
	part, _, _ := c.l.Partition(key)
	done := make(chan error, 1)
	tell := func(err error) { done <- err }
	took := func(p ledger.Partition, err error) {
		e.Partition, e.Suspicious = &p, p.Owner != c.l.Identity()
		done <- err
	}
	switch a.Kind {
	case recovery.OpenEpoch:
		e.Kind = recovery.Opened
		c.l.OpenEpoch(*a.Opening, took)
	case recovery.Bind:
		e.Kind = recovery.Bound
		c.l.Bind(part.ID, a.Epoch, a.Intent, tell)
	case recovery.Acknowledge:
		e.Kind = recovery.Acknowledged
		c.l.Acknowledge(part.ID, a.Epoch, a.End, tell)
	case recovery.Seal:
		e.Kind = recovery.Sealed
		c.l.Seal(part.ID, a.Epoch, *a.Seal, tell)
	case recovery.Settle:
		e.Kind = recovery.Settled
		c.l.Settle(part.ID, a.Epoch, *a.Settlement, took)
	case recovery.Forget:
		e.Kind = recovery.Forgotten
		c.l.Retire(part.ID, a.Epoch, a.End, tell)
	}
	if err := <-done; err != nil {
		e = recovery.Event{Kind: recovery.Failed, Err: err}
		if c.err == nil {
			c.err = err
		}
	}
	return e
}

func (c *carrier) call(a recovery.Action) recovery.Event {
	answer := inResponse(retry.OutOfRange, c.end)
	switch a.Kind {
	case recovery.Create:
		c.end = 0
		return recovery.Event{Kind: recovery.Created, Name: table + "/streams/s" + string('1'+rune(c.m.Partition().Epoch))}
	case recovery.Finalize:
		return recovery.Event{Kind: recovery.Finalized, Count: c.m.Partition().Acked}
	case recovery.Connect:
		return recovery.Event{Kind: recovery.Connected, Conn: a.Conn}
	case recovery.Send:
		answer = inResponse(retry.OK, -1)
		if a.Intent.Rows > 1 {
			answer = inResponse(retry.TooLarge, -1)
		} else {
			c.end = a.Intent.End()
		}
	}
	return recovery.Event{Kind: recovery.Answered, Conn: a.Conn, Answer: answer}
}

// If it fails, the machine asks the ledger for something that the ledger refuses: the
// partition stops for good in a case that is none.
func TestLedgerTakesWhatTheMachineAsks(t *testing.T) {
	l, err := ledger.Open(filepath.Join(t.TempDir(), "ledger"), nil)
	require.NoError(t, err)
	defer l.Close()
	descriptor := []byte("a descriptor")
	schema := ledger.FingerprintOf(descriptor)
	c := &carrier{t: t, l: l, m: recovery.New(recovery.Options{
		Key: key, Mode: ledger.Replayable, Schema: schema, Descriptor: descriptor, Encoder: 1,
	})}
	offer := func(rows int64, after string) {
		in := intent(after, rows)
		in.Before, in.Schema = c.m.Position(), schema
		c.step(recovery.Event{Kind: recovery.Offered, Intent: in})
		require.NoError(t, c.err)
		require.True(t, c.m.Empty())
	}
	c.step(recovery.Event{Kind: recovery.Start})
	offer(1, "A")
	offer(5, "B") // too large: split again and again
	c.step(recovery.Event{Kind: recovery.Age})
	offer(1, "C")
	require.False(t, c.m.Stopped())
	violations, err := l.Check()
	require.NoError(t, err)
	require.Empty(t, violations)

	c.step(recovery.Event{Kind: recovery.Retire})
	require.NoError(t, c.err)
	require.True(t, c.m.Stopped())
	_, _, err = l.Partition(key)
	require.ErrorIs(t, err, ledger.ErrNoPartition)
}
