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
	key ledger.Key
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
	part, _, _ := c.l.Partition(c.key)
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
		c.l.Acknowledge(part.ID, a.Epoch, a.Number, a.End, tell)
	case recovery.Seal:
		e.Kind = recovery.Sealed
		c.l.Seal(part.ID, a.Epoch, *a.Seal, tell)
	case recovery.Settle:
		e.Kind = recovery.Settled
		c.l.Settle(part.ID, a.Epoch, *a.Settlement, took)
	case recovery.Halt:
		e.Kind = recovery.Halted
		c.l.Halt(part.ID, a.Epoch, *a.Halt, tell)
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
		return recovery.Event{Kind: recovery.Created, Name: table + "/streams/" + c.key.Name + string('1'+rune(c.m.Partition().Epoch))}
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

// newCarrier returns a carrier for a partition that has not started.
func newCarrier(t *testing.T) (c *carrier, schema ledger.Fingerprint) {
	l, err := ledger.Open(filepath.Join(t.TempDir(), "ledger"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	c = &carrier{t: t, l: l, key: key}
	return c, c.machine()
}

// machine gives the carrier a new machine and returns its writer schema.
func (c *carrier) machine() ledger.Fingerprint {
	descriptor := []byte("a descriptor")
	schema := ledger.FingerprintOf(descriptor)
	c.m = recovery.New(recovery.Options{
		Key: c.key, Mode: ledger.Replayable, Schema: schema, Descriptor: descriptor, Encoder: 1,
	})
	return schema
}

// offer offers a batch, which has to land.
func (c *carrier) offer(rows int64, after string) {
	in := intent(after, rows)
	in.Before, in.Schema = c.m.Position(), ledger.FingerprintOf([]byte("a descriptor"))
	c.step(recovery.Event{Kind: recovery.Offered, Intent: in})
	require.NoError(c.t, c.err)
	require.True(c.t, c.m.Empty())
}

// If it fails, the ledger refuses a halt as the machine asks for it, or its word does
// not stop the next machine: what was found out is lost with a restart.
func TestLedgerTakesTheHalt(t *testing.T) {
	c, schema := newCarrier(t)
	c.step(recovery.Event{Kind: recovery.Start})
	in := intent("A", 1)
	in.Before, in.Schema = c.m.Position(), schema
	c.end = 1 // of somebody else: A's append is answered before it is looked at
	for _, a := range c.m.Step(recovery.Event{Kind: recovery.Offered, Intent: in}) {
		require.Equal(t, recovery.Bound, c.write(a).Kind)
	}
	c.m.Step(recovery.Event{Kind: recovery.Bound})
	send, due := c.m.Next()
	require.True(t, due)
	c.step(recovery.Event{Kind: recovery.Answered, Conn: send.Conn, Answer: inResponse(retry.AlreadyExists, 1)})
	require.NoError(t, c.err)
	require.True(t, c.m.Stopped())

	part, open, err := c.l.Partition(key)
	require.NoError(t, err)
	require.Equal(t, ledger.Conflict, part.Halt.Cause)
	require.Contains(t, part.Halt.Detail, "the service has the stream's end at 1")
	c.machine()
	did := c.m.Step(recovery.Event{Kind: recovery.Start, Partition: &part, Intents: open})
	require.Len(t, did, 1)
	require.Equal(t, recovery.Stop, did[0].Kind)
	require.Equal(t, recovery.Conflict, did[0].Cause.Verdict)
	require.Equal(t, part.Halt.Detail+"; found by an earlier run", did[0].Cause.Detail)
	_, due = c.m.Next()
	require.False(t, due)
}

// If it fails, the machine asks the ledger for something that the ledger refuses: the
// partition stops for good in a case that is none.
func TestLedgerTakesWhatTheMachineAsks(t *testing.T) {
	c, _ := newCarrier(t)
	l := c.l
	c.step(recovery.Event{Kind: recovery.Start})
	c.offer(1, "A")
	c.offer(5, "B") // too large: split again and again
	c.step(recovery.Event{Kind: recovery.Age})
	c.offer(1, "C")
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

// If it fails, partitions of one table share a counter of offsets: the second one's first batch goes to an offset that
// its stream has not reached, and no probe fits any more.
func TestPartitionsHaveTheirOwnOffsets(t *testing.T) {
	one, _ := newCarrier(t)
	two := &carrier{t: t, l: one.l, key: ledger.Key{Table: table, Name: "second"}}
	two.machine()
	one.step(recovery.Event{Kind: recovery.Start})
	two.step(recovery.Event{Kind: recovery.Start})
	one.offer(1, "A")
	two.offer(1, "A")
	two.offer(1, "B")
	one.offer(1, "B")
	for _, c := range []*carrier{one, two} {
		part, open, err := c.l.Partition(c.key)
		require.NoError(t, err)
		require.Empty(t, open)
		require.EqualValues(t, 2, part.Acked)
	}
}
