package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The ledger against a model that is too simple to be wrong: a partition is the
// list of its batches' pieces that have not landed, and a few numbers.

type modelPartition struct {
	Partition
	open []Intent
	rows int64 // of the source, that were bound over all epochs
}

type modelMachine struct {
	l          *Ledger
	path       string
	partitions map[Key]*modelPartition
	retired    int
	lastID     ID
	streams    int
}

// TestModel runs random writes, right and wrong ones, with reopenings between them.
// If the ledger and the model ever differ, some caller's offset, position or rows
// are not what it was told.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "model")
		require.NoError(rt, err)
		m := &modelMachine{path: filepath.Join(dir, "l"), partitions: map[Key]*modelPartition{}}
		m.l, err = Open(m.path, small)
		require.NoError(rt, err)
		defer func() { m.l.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"open": m.open, "bind": m.bind, "bind many": m.bindMany, "acknowledge": m.acknowledge,
			"seal": m.seal, "settle": m.settle, "retire": m.retire, "wrong": m.wrong,
			"halt": m.halt, "resolve": m.resolve,
			"reopen": m.reopen, "": m.same,
		})
	})
}

func (m *modelMachine) stream() string {
	m.streams++
	return fmt.Sprint("stream", m.streams)
}

// pick chooses a partition for which fit is true.
func (m *modelMachine) pick(t *rapid.T, fit func(*modelPartition) bool) *modelPartition {
	var names []string
	for k, p := range m.partitions {
		if fit(p) {
			names = append(names, k.Name)
		}
	}
	if len(names) == 0 {
		t.Skip("none fits")
	}
	slices.Sort(names)
	return m.partitions[key(rapid.SampledFrom(names).Draw(t, "partition"))]
}

func owned(p *modelPartition) bool { return p.Seal == nil && p.Halt == nil }

func (m *modelMachine) open(t *rapid.T) {
	o := opening(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name"), rapid.SampledFrom([]Mode{Frozen, Replayable}).Draw(t, "mode"))
	o.Stream = m.stream()
	p := m.partitions[o.Key]
	if p != nil {
		o.Mode, o.Epoch = p.Mode, p.Epoch+1
	}
	got, err := openEpoch(m.l, o)
	if p != nil && (p.Seal != nil || p.Halt != nil || len(p.open) > 0) {
		refused(t, err, "")
		return
	}
	require.NoError(t, err)
	if p == nil {
		m.lastID++
		p = &modelPartition{Partition: Partition{ID: m.lastID, Key: o.Key, Mode: o.Mode}}
		m.partitions[o.Key] = p
	} else {
		m.retired++
	}
	p.Epoch++
	p.Stream, p.Owner, p.Acked, p.Next, p.Schema, p.Encoder = o.Stream, m.l.Identity(), 0, 0, o.Schema, o.Encoder
	p.requireSame(t, got)
}

// content makes the rows [at, at+n) of a partition's source.
func content(at, n int64) (rows [][]byte) {
	for i := range n {
		rows = append(rows, fmt.Appendf(nil, "row %d", at+i))
	}
	return rows
}

// next makes the batch that comes next, not yet bound.
func (m *modelMachine) next(t *rapid.T, p *modelPartition) Intent {
	n := int64(rapid.IntRange(1, 5).Draw(t, "rows"))
	in := batch(p.Next, p.rows, n)
	in.Digest = DigestOf(content(p.rows, n))
	if p.Mode == Frozen {
		var err error
		in.Payload, err = freeze(m.l, content(p.rows, n))
		require.NoError(t, err)
	}
	return in
}

func (p *modelPartition) bound(in Intent) {
	p.open = append(p.open, in)
	p.Next = in.End()
	p.rows += in.Rows
}

func (m *modelMachine) bind(t *rapid.T) {
	p := m.pick(t, owned)
	in := m.next(t, p)
	require.NoError(t, bind(m.l, p.ID, p.Epoch, in))
	p.bound(in)
}

// bindMany submits without waiting, so that a group holds several.
func (m *modelMachine) bindMany(t *rapid.T) {
	p := m.pick(t, owned)
	n := rapid.IntRange(2, 6).Draw(t, "batches")
	results := make(chan error, 2*n)
	for i := range n {
		in := m.next(t, p)
		m.l.Bind(p.ID, p.Epoch, in, func(err error) { results <- err })
		p.bound(in)
		if i%2 == 1 {
			m.l.Acknowledge(p.ID, p.Epoch, in.End(), func(err error) { results <- err })
			p.landed(len(p.open))
		}
	}
	for range n + n/2 {
		require.NoError(t, <-results)
	}
}

// landed is the model's acknowledgement of the first n open intents.
func (p *modelPartition) landed(n int) {
	for _, in := range p.open[:n] {
		p.Acked = in.End()
		p.Rows += in.Rows
		if in.From+in.Rows == in.Of {
			p.Position = in.After
			p.Last = &Append{Before: in.Before, After: in.After, Digest: in.Digest, Stream: p.Stream, Epoch: p.Epoch, Offset: in.Start, Rows: in.Rows}
		}
	}
	p.open = slices.Clone(p.open[n:])
}

func (m *modelMachine) acknowledge(t *rapid.T) {
	p := m.pick(t, func(p *modelPartition) bool { return owned(p) && len(p.open) > 0 })
	n := rapid.IntRange(1, len(p.open)).Draw(t, "intents")
	require.NoError(t, acknowledge(m.l, p.ID, p.Epoch, p.open[n-1].End()))
	p.landed(n)
}

func (m *modelMachine) seal(t *rapid.T) {
	p := m.pick(t, owned)
	s := Seal{Successor: m.stream(), Reason: rapid.SampledFrom([]Reason{TakeOver, Aging, RowErrors}).Draw(t, "reason")}
	require.NoError(t, seal(m.l, p.ID, p.Epoch, s))
	s.Owner = m.l.Identity()
	p.Seal = &s
}

func (m *modelMachine) settle(t *rapid.T) {
	p := m.pick(t, func(p *modelPartition) bool { return p.Seal != nil && p.Halt == nil })
	n := rapid.IntRange(0, len(p.open)).Draw(t, "landed")
	rows := p.Acked
	if n > 0 {
		rows = p.open[n-1].End()
	}
	var rest []Intent
	var next int64
	for _, in := range p.open[n:] {
		for left := in.Rows; left > 0; { // divided at random
			part := in
			part.Rows = int64(rapid.IntRange(1, int(left)).Draw(t, "part"))
			part.Start, part.From = next, in.From+in.Rows-left
			rest = append(rest, part)
			next, left = part.End(), left-part.Rows
		}
	}
	got, err := settle(m.l, p.ID, p.Epoch, Settlement{Rows: rows, Rest: rest})
	require.NoError(t, err)
	p.landed(n)
	m.retired++
	p.Epoch++
	p.Stream, p.Owner, p.Seal = p.Seal.Successor, p.Seal.Owner, nil
	p.Acked, p.Next, p.open = 0, next, rest
	p.requireSame(t, got)
}

func (m *modelMachine) retire(t *rapid.T) {
	p := m.pick(t, func(p *modelPartition) bool { return owned(p) && len(p.open) == 0 })
	require.NoError(t, retire(m.l, p.ID, p.Epoch, p.Acked))
	delete(m.partitions, p.Key)
	m.retired++
}

// wrong submits what must be refused; same then sees whether it changed anything.
func (m *modelMachine) wrong(t *rapid.T) {
	p := m.pick(t, func(*modelPartition) bool { return true })
	in := m.next(t, p)
	in.Start += int64(rapid.SampledFrom([]int{-1, 1, 7}).Draw(t, "off"))
	refused(t, bind(m.l, p.ID, p.Epoch, in), "")
	m.l.Release(in.Payload)
	refused(t, bind(m.l, p.ID, p.Epoch+1, in), "")
	refused(t, acknowledge(m.l, p.ID, p.Epoch, p.Next+1), "")
	refused(t, acknowledge(m.l, p.ID, p.Epoch, p.Acked), "")
	refused(t, seal(m.l, p.ID, p.Epoch, Seal{Successor: p.Stream, Reason: Aging}), "")
	_, err := settle(m.l, p.ID, p.Epoch, Settlement{Rows: p.Next + 1})
	refused(t, err, "")
	_, err = settle(m.l, p.ID, p.Epoch, Settlement{Rows: p.Acked - 1})
	refused(t, err, "")
	refused(t, forget(m.l, p.ID, p.Epoch, p.Acked), "")
	refused(t, halt(m.l, p.ID, p.Epoch+1, Halt{Cause: Fenced}), "")
	refused(t, halt(m.l, p.ID, p.Epoch, Halt{Cause: InDoubt + 1}), "")
	refused(t, resolve(m.l, p.ID, p.Epoch+1), "")
	if p.Halt != nil {
		m.wrongForHalted(t, p)
	}
}

// wrongForHalted submits what would be right if the partition were not halted.
func (m *modelMachine) wrongForHalted(t *rapid.T, p *modelPartition) {
	if p.Seal != nil {
		_, err := settle(m.l, p.ID, p.Epoch, Settlement{Rows: p.Next})
		refused(t, err, "halted")
		return
	}
	in := m.next(t, p)
	refused(t, bind(m.l, p.ID, p.Epoch, in), "halted")
	m.l.Release(in.Payload)
	refused(t, seal(m.l, p.ID, p.Epoch, Seal{Successor: m.stream(), Reason: Aging}), "halted")
	if len(p.open) > 0 {
		refused(t, acknowledge(m.l, p.ID, p.Epoch, p.Next), "halted")
	}
}

// halt marks a partition, halted before or not, while other writes are on their way:
// what was submitted before it counts, what comes after is refused.
func (m *modelMachine) halt(t *rapid.T) {
	p := m.pick(t, func(*modelPartition) bool { return true })
	h := Halt{
		Cause:  rapid.SampledFrom([]HaltCause{Conflict, Fenced, InDoubt}).Draw(t, "cause"),
		Offset: p.Next, Detail: rapid.StringN(0, 20, -1).Draw(t, "detail"),
	}
	if !owned(p) {
		require.NoError(t, halt(m.l, p.ID, p.Epoch, h))
		if p.Halt == nil {
			p.Halt = &h
		}
		return
	}
	before := m.next(t, p)
	results := make(chan error, 3)
	tell := func(err error) { results <- err }
	m.l.Bind(p.ID, p.Epoch, before, tell)
	m.l.Halt(p.ID, p.Epoch, h, tell)
	m.l.Acknowledge(p.ID, p.Epoch, before.End(), tell)
	require.NoError(t, <-results)
	require.NoError(t, <-results)
	refused(t, <-results, "halted")
	p.bound(before)
	p.Halt = &h
}

func (m *modelMachine) resolve(t *rapid.T) {
	p := m.pick(t, func(*modelPartition) bool { return true })
	require.NoError(t, resolve(m.l, p.ID, p.Epoch))
	p.Halt = nil
}

func (m *modelMachine) reopen(t *rapid.T) {
	before := m.l.Identity()
	require.NoError(t, m.l.Close())
	var err error
	m.l, err = Open(m.path, small)
	require.NoError(t, err)
	require.Equal(t, before, m.l.Identity())
}

func (p *modelPartition) requireSame(t *rapid.T, got Partition) {
	want := p.Partition
	require.False(t, got.Created.IsZero() || got.Updated.Before(got.Created))
	got.Created, got.Updated = want.Created, want.Updated
	if got.Seal != nil {
		s := *got.Seal
		require.False(t, s.At.IsZero())
		s.At = want.Seal.At
		got.Seal = &s
	}
	if got.Halt != nil {
		h := *got.Halt
		require.False(t, h.At.IsZero())
		h.At = want.Halt.At
		got.Halt = &h
	}
	require.Equal(t, want, got)
}

func (m *modelMachine) same(t *rapid.T) {
	all, err := m.l.Partitions()
	require.NoError(t, err)
	require.Len(t, all, len(m.partitions))
	for k, p := range m.partitions {
		got, open, err := m.l.Partition(k)
		require.NoError(t, err)
		p.requireSame(t, got)
		require.Equal(t, len(p.open), len(open))
		for i, in := range open {
			require.Equal(t, p.open[i], in)
			if p.Mode == Frozen {
				rows, err := thaw(m.l, in.Payload)
				require.NoError(t, err)
				require.Equal(t, in.Digest, DigestOf(rows))
			}
		}
	}
	retired, err := m.l.Retired()
	require.NoError(t, err)
	require.Len(t, retired, m.retired)
	violations, err := m.l.Check()
	require.NoError(t, err)
	require.Empty(t, violations)
}
