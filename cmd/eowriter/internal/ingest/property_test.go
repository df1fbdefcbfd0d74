package ingest

import (
	"os"
	"slices"
	"testing"

	"github.com/eowriter/eowriter/chaos/emulator"
	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"
)

// The ingest against a model that is too simple to be wrong: a partition is the list of the appends that its producer made, and how
// many of them are known to be safe.

// sent is one append of the model.
type sent struct {
	Append
	rows []int
}

// producer is one producer with its partition.
type producer struct {
	name    string
	chain   []sent     // in order; all but the newest safe of them may be lost by a crash
	safe    int        // so many are stored or landed for certain
	waiting []*Pending // of chain[safe:], perhaps of some that are safe
	next    int        // number of its next row

	loose []loose // appends without positions
}

type loose struct {
	number int
	safe   bool
}

type ingestMachine struct {
	*rig
	producers []*producer
}

// TestModel runs random producers, right and wrong ones, against a service with faults, with crashes in between. If it
// fails, some producer's row is lost or twice in the table, or a producer is told something that isn't so.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "model")
		require.NoError(rt, err)
		opt := testOptions()
		opt.BatchRows = rapid.SampledFrom([]int{1, 3, 100}).Draw(rt, "batch rows")
		m := &ingestMachine{rig: startRig(rt, dir, opt, emulator.Options{Seed: rapid.Uint64().Draw(rt, "seed")})}
		defer m.end()
		for _, name := range []string{"a", "b"} {
			m.producers = append(m.producers, &producer{name: name})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append more": m.append, "loose": m.loose, "wait": m.wait, "repeat": m.repeat,
			"conflict": m.conflict, "stale": m.stale, "ask": m.ask, "fault": m.fault, "reset": m.reset, "crash": m.crashAndAsk,
		})
		m.srv.ClearFaults()
		m.drained()
		for _, p := range m.producers {
			m.check(rt, p)
		}
	})
}

func (m *ingestMachine) pick(t *rapid.T) *producer {
	return rapid.SampledFrom(m.producers).Draw(t, "producer")
}

func (p *producer) position() string {
	if n := len(p.chain); n > 0 {
		return p.chain[n-1].Position
	}
	return ""
}

func (p *producer) make(t *rapid.T) sent {
	n := rapid.IntRange(1, 4).Draw(t, "rows")
	s := sent{Append: Append{Key: testKey(p.name), Expected: p.position(), Position: pos(p.next + n)}}
	for range n {
		s.Rows = append(s.Rows, object(p.name, p.next))
		s.rows = append(s.rows, p.next)
		p.next++
	}
	return s
}

// append accepts some appends without waiting for them.
func (m *ingestMachine) append(t *rapid.T) {
	p := m.pick(t)
	for range rapid.IntRange(1, 5).Draw(t, "appends") {
		s := p.make(t)
		pending, err := m.in.Accept(ctx(), s.Append)
		if err != nil {
			m.sync(t, p, err)
			return
		}
		require.False(t, pending.duplicate)
		p.chain, p.waiting = append(p.chain, s), append(p.waiting, pending)
	}
}

// sync is for a producer that was told that the partition doesn't work now, and asks once it does.
func (m *ingestMachine) sync(t *rapid.T, p *producer, err error) {
	var refused *Error
	require.ErrorAs(t, err, &refused)
	require.Contains(t, []eowriterv1.Reason{
		eowriterv1.Reason_REASON_UNAVAILABLE, eowriterv1.Reason_REASON_POSITION, eowriterv1.Reason_REASON_UNRESOLVED,
	}, refused.Reason, "%v", err)
	m.resume(t, p)
}

// resume goes on where the partition is: what it has not is lost, and none of that was safe.
func (m *ingestMachine) resume(t *rapid.T, p *producer) {
	state, err := m.in.Ask(ctx(), testKey(p.name))
	require.NoError(t, err)
	has := slices.IndexFunc(p.chain, func(s sent) bool { return s.Position == state.Position }) + 1
	require.True(t, has > 0 || state.Position == "", "position %q is none of ours", state.Position)
	require.GreaterOrEqual(t, has, p.safe, "what was acknowledged is lost")
	p.chain, p.waiting = p.chain[:has], nil
	p.safe = has // what is told is durable
}

// wait waits for the last append, and so for all.
func (m *ingestMachine) wait(t *rapid.T) {
	p := m.pick(t)
	if len(p.waiting) == 0 {
		t.Skip("nothing to wait for")
	}
	ack := rapid.SampledFrom([]eowriterv1.Acknowledge{stored, landed}).Draw(t, "ack")
	s := p.chain[len(p.chain)-1]
	r, err := p.waiting[len(p.waiting)-1].Wait(ctx(), ack)
	if err != nil {
		m.sync(t, p, err)
		return
	}
	require.Equal(t, s.Position, r.Position)
	require.EqualValues(t, len(s.rows), r.Rows)
	require.False(t, r.AtLeastOnce)
	p.safe, p.waiting = len(p.chain), nil
}

// loose appends without positions, and waits.
func (m *ingestMachine) loose(t *rapid.T) {
	p := m.pick(t)
	number := -1 - len(p.loose)
	pending, err := m.in.Accept(ctx(), Append{Key: testKey(p.name), Rows: [][]byte{object(p.name, number)}})
	if err != nil {
		m.sync(t, p, err)
		return
	}
	r, err := pending.Wait(ctx(), rapid.SampledFrom([]eowriterv1.Acknowledge{stored, landed}).Draw(t, "ack"))
	if err == nil {
		require.True(t, r.AtLeastOnce)
		require.False(t, r.Duplicate)
	}
	p.loose = append(p.loose, loose{number, err == nil})
}

// repeat sends an append once more: the newest is always known.
func (m *ingestMachine) repeat(t *rapid.T) {
	p := m.pick(t)
	if len(p.chain) == 0 {
		t.Skip("nothing to repeat")
	}
	n := rapid.IntRange(0, len(p.chain)-1).Draw(t, "append")
	pending, err := m.in.Accept(ctx(), p.chain[n].Append)
	if err != nil {
		m.told(t, p, err, n, eowriterv1.Reason_REASON_POSITION)
		return
	}
	if !pending.duplicate {
		m.retaken(t, p, n, pending)
		return
	}
	r, err := pending.Wait(ctx(), landed)
	if err != nil {
		m.sync(t, p, err)
		return
	}
	require.True(t, r.Duplicate)
	require.Equal(t, p.chain[n].Position, r.Position)
	require.EqualValues(t, len(p.chain[n].rows), r.Rows)
	p.safe = max(p.safe, n+1)
}

// retaken is for an append that was lost with a stop that the producer had not heard of: it was accepted anew.
func (m *ingestMachine) retaken(t *rapid.T, p *producer, n int, pending *Pending) {
	require.GreaterOrEqual(t, n, p.safe, "a safe append was accepted twice")
	p.chain, p.waiting = p.chain[:n+1], []*Pending{pending}
}

// told wants a refusal that says where the partition is.
func (m *ingestMachine) told(t *rapid.T, p *producer, err error, n int, reason eowriterv1.Reason) {
	var refused *Error
	require.ErrorAs(t, err, &refused)
	if refused.Reason == reason && refused.Position == p.position() {
		p.safe = len(p.chain)
		require.True(t, reason == eowriterv1.Reason_REASON_CONFLICT || n < len(p.chain)-1, "the newest append is not known any more")
		return
	}
	m.sync(t, p, err) // it has stopped meanwhile, and was told to us now
}

// conflict sends other rows between the positions of the newest append.
func (m *ingestMachine) conflict(t *rapid.T) {
	p := m.pick(t)
	if len(p.chain) == 0 {
		t.Skip("nothing to contradict")
	}
	s := p.chain[len(p.chain)-1]
	s.Rows = append(slices.Clone(s.Rows), object(p.name, 1_000_000))
	_, err := m.in.Accept(ctx(), s.Append)
	if err == nil {
		// It was lost with a stop that the producer had not heard of: what counts is what was accepted now.
		require.Greater(t, len(p.chain), p.safe)
		s.rows = append(slices.Clone(s.rows), 1_000_000)
		p.chain[len(p.chain)-1], p.waiting = s, nil
		return
	}
	m.told(t, p, err, len(p.chain)-1, eowriterv1.Reason_REASON_CONFLICT)
}

// stale expects a position that was never there.
func (m *ingestMachine) stale(t *rapid.T) {
	p := m.pick(t)
	_, err := m.in.Accept(ctx(), Append{Key: testKey(p.name), Expected: "nowhere", Position: "elsewhere", Rows: [][]byte{object(p.name, 2_000_000)}})
	m.told(t, p, err, -2, eowriterv1.Reason_REASON_POSITION)
}

func (m *ingestMachine) ask(t *rapid.T) { m.resume(t, m.pick(t)) }

// faults that pass, and one that stops a partition until it is opened again.
func (m *ingestMachine) fault(t *rapid.T) {
	kind := rapid.SampledFrom([]emulator.Kind{
		emulator.CloseBefore, emulator.CloseAfter, emulator.ErrorAfter, emulator.ResetAfter, emulator.InternalEach, emulator.StaleEnd, emulator.ErrorBefore,
	}).Draw(t, "fault")
	f := emulator.Fault{Kind: kind, After: int64(rapid.IntRange(0, 5).Draw(t, "after")), Count: 1}
	if kind == emulator.ErrorBefore {
		f.Error = status.New(codes.PermissionDenied, "no")
	}
	m.srv.Inject(f)
}

func (m *ingestMachine) reset(*rapid.T) { m.srv.ResetConnections() }

// crashAndAsk ends everything with whatever is under way, starts anew, and has every producer ask.
func (m *ingestMachine) crashAndAsk(t *rapid.T) {
	m.crash()
	m.open()
	for _, p := range m.producers {
		m.resume(t, p)
	}
}

// check compares the table with what the producer knows.
func (m *ingestMachine) check(t *rapid.T, p *producer) {
	m.resume(t, p)
	var want, got []int
	for _, s := range p.chain {
		want = append(want, s.rows...)
	}
	seen := map[int]int{}
	for _, n := range m.table(p.name) {
		if seen[n]++; n >= 0 {
			got = append(got, n)
		}
	}
	require.Equal(t, want, got, "rows with positions, partition %s", p.name)
	for _, l := range p.loose {
		require.LessOrEqual(t, seen[l.number], 1)
		require.True(t, seen[l.number] == 1 || !l.safe, "an acknowledged row without position is lost")
	}
}
