package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The ledger against a model that is too simple to be wrong: a partition is the
// list of its batches' pieces that have not landed, and a few numbers.

type modelPartition struct {
	Partition
	open    []Intent
	rows    int64 // of the source, that were bound over all epochs
	reached []byte
	letters []Letter
}

type modelMachine struct {
	l          *Ledger
	path       string
	partitions map[Key]*modelPartition
	retired    int
	lastID     ID
	streams    int
	number     uint64 // of the last intent, of whatever partition
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
			"halt": m.halt, "resolve": m.resolve, "deliver": m.deliver, "skip": m.skip,
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
	p.Resolution = nil
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

// next makes the batch that comes next, not yet bound. Some have dead rows, some of
// those nothing else.
func (m *modelMachine) next(t *rapid.T, p *modelPartition) Intent {
	n := int64(rapid.IntRange(0, 5).Draw(t, "rows"))
	in := batch(p.Next, p.rows, n)
	in.Digest = DigestOf(content(p.rows, n))
	m.number++
	in.Number = m.number
	if n == 0 || rapid.IntRange(0, 3).Draw(t, "has dead rows") == 0 {
		for i := range int64(rapid.IntRange(1, 3).Draw(t, "dead rows")) {
			in.Dead = append(in.Dead, Dead{Row: 2 * i, Reason: "why", Content: fmt.Appendf(nil, "dead row %d", p.rows+n+i)})
		}
		in.After = fmt.Appendf(nil, "row-%06d", p.rows+n+int64(len(in.Dead)))
	}
	in.Before = p.reached
	if p.Mode == Frozen {
		m.producers(t, &in)
	}
	if p.Mode == Frozen && n > 0 {
		var err error
		in.Payload, err = freeze(m.l, content(p.rows, n))
		require.NoError(t, err)
	}
	return in
}

// producers divides a batch among several producer appends, and takes away the positions of some.
func (m *modelMachine) producers(t *rapid.T, in *Intent) {
	if n := int64(rapid.IntRange(0, 3).Draw(t, "parts")); n > 1 && in.Rows >= n {
		for i := range n {
			in.Parts = append(in.Parts, Part{Rows: 1, Digest: Digest{byte(i)}, After: fmt.Appendf(nil, "part-%d", i)})
		}
		in.Parts[n-1].Rows = in.Rows - n + 1
	}
	if rapid.IntRange(0, 3).Draw(t, "without positions") == 0 {
		in.Before, in.After = nil, nil
	}
}

func (p *modelPartition) bound(in Intent) {
	p.Resolution = nil
	p.open = append(p.open, in)
	if in.After != nil {
		p.reached = in.After
	}
	p.Next = in.End()
	p.Schema, p.Encoder = in.Schema, in.Encoder
	p.rows += in.Rows + int64(len(in.Dead))
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
			m.l.Acknowledge(p.ID, p.Epoch, in.Number, in.End(), func(err error) { results <- err })
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
			if in.After != nil {
				p.Position = in.After
				p.Last = &Append{Before: in.Before, After: in.After, Digest: in.Digest, Stream: p.Stream, Epoch: p.Epoch, Offset: in.Start, Rows: in.Rows, Parts: in.Parts}
			}
		}
		for _, d := range in.Dead {
			p.Dead++
			p.letters = append(p.letters, Letter{Number: p.Dead, Before: in.Before, After: in.After, Dead: d})
		}
	}
	p.open = slices.Clone(p.open[n:])
}

func (m *modelMachine) acknowledge(t *rapid.T) {
	p := m.pick(t, func(p *modelPartition) bool { return owned(p) && len(p.open) > 0 })
	n := rapid.IntRange(1, len(p.open)).Draw(t, "intents")
	last := p.open[n-1]
	require.NoError(t, wait(func(done func(error)) { m.l.Acknowledge(p.ID, p.Epoch, last.Number, last.End(), done) }))
	p.landed(n)
	p.Resolution = nil
}

func (m *modelMachine) seal(t *rapid.T) {
	p := m.pick(t, owned)
	s := Seal{Successor: m.stream(), Reason: rapid.SampledFrom([]Reason{TakeOver, Aging, RowErrors, Encoding, Resolved, Found, Skipped}).Draw(t, "reason")}
	switch {
	case s.Reason == Resolved && p.Resolution == nil:
		refused(t, seal(m.l, p.ID, p.Epoch, s), "nobody has said")
		return
	case s.Reason != Resolved:
		p.Resolution = nil
	}
	require.NoError(t, seal(m.l, p.ID, p.Epoch, s))
	s.Owner = m.l.Identity()
	p.Seal = &s
}

func (m *modelMachine) settle(t *rapid.T) {
	p := m.pick(t, func(p *modelPartition) bool { return p.Seal != nil && p.Halt == nil })
	n := rapid.IntRange(0, len(p.open)).Draw(t, "landed")
	rows := p.Acked
	for n > 0 && n < len(p.open) && p.open[n].Rows == 0 {
		n++ // the count covers those without rows that follow
	}
	if n > 0 {
		rows = p.open[n-1].End()
	} else {
		for n < len(p.open) && p.open[n].End() == rows {
			n++
		}
	}
	rest := m.rest(t, p, p.open[n:])
	var next int64
	if len(rest) > 0 {
		next = rest[len(rest)-1].End()
	}
	got, err := settle(m.l, p.ID, p.Epoch, Settlement{Rows: rows, Rest: rest})
	require.NoError(t, err)
	p.landed(n)
	m.retired++
	p.Epoch++
	p.Stream, p.Owner, p.Seal, p.Resolution = p.Seal.Successor, p.Seal.Owner, nil, nil
	p.Acked, p.Next, p.open = 0, next, rest
	if len(rest) > 0 {
		p.Schema, p.Encoder = rest[len(rest)-1].Schema, rest[len(rest)-1].Encoder
	}
	p.requireSame(t, got)
}

// rest binds anew what is left: divided at random, without some of the rows, or after
// a seal for it with other rows.
func (m *modelMachine) rest(t *rapid.T, p *modelPartition, left []Intent) (rest []Intent) {
	anew := p.Mode == Replayable && p.Seal.Reason == Encoding
	var next int64
	for len(left) > 0 {
		last := left[batchLen(left)-1]
		from, rows := left[0].From, last.Of-left[0].From
		left = left[batchLen(left):]
		skipped := last.Skip != ""
		if skipped {
			last = withoutNewest(last, rows)
			last.Skip, from, rows = "", last.Of, 0
		} else if refused := rapid.Int64Range(0, 2).Draw(t, "refused"); min(refused, rows) > 0 {
			last = withoutNewest(last, min(refused, rows))
			rows = last.Of - from
		}
		if anew && from == 0 && !skipped && rapid.Bool().Draw(t, "anew") {
			rows = int64(rapid.IntRange(1, 7).Draw(t, "encoded"))
			last.Of, last.Encoder, last.Without = rows, last.Encoder+1, nil
		}
		for first := true; first || rows > 0; first = false {
			part := last
			part.Rows = int64(rapid.IntRange(min(1, int(rows)), int(rows)).Draw(t, "part"))
			part.Start, part.From = next, from
			if rows -= part.Rows; rows > 0 {
				part.Dead = nil
			}
			if part.Rows == 0 {
				part.Payload = Payload{}
			}
			m.number++
			part.Number = m.number
			rest = append(rest, part)
			next, from = part.End(), part.From+part.Rows
		}
	}
	return rest
}

// withoutNewest is a batch whose last n rows the service refused.
func withoutNewest(in Intent, n int64) Intent {
	in.Without, in.Dead = slices.Clone(in.Without), slices.Clone(in.Dead)
	for row := in.Whole() - 1; n > 0; row-- {
		if slices.Contains(in.Without, row) {
			continue
		}
		in.Without = append(in.Without, row)
		in.Dead = append(in.Dead, Dead{Row: 1000 + row, Service: true, Reason: "refused"})
		in.Of--
		n--
	}
	slices.Sort(in.Without)
	slices.SortFunc(in.Dead, func(a, b Dead) int { return int(a.Row - b.Row) })
	return in
}

func (m *modelMachine) deliver(t *rapid.T) {
	p := m.pick(t, func(p *modelPartition) bool { return len(p.letters) > 0 })
	n := rapid.IntRange(1, len(p.letters)).Draw(t, "letters")
	p.Delivered += int64(n)
	require.NoError(t, wait(func(done func(error)) { m.l.Deliver(p.ID, p.Delivered, done) }))
	p.letters = p.letters[n:]
}

func (m *modelMachine) retire(t *rapid.T) {
	p := m.pick(t, func(p *modelPartition) bool { return owned(p) && len(p.open) == 0 && len(p.letters) == 0 })
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
	refused(t, wait(func(done func(error)) { m.l.Acknowledge(p.ID, p.Epoch, m.number+1, p.Next, done) }), "")
	refused(t, wait(func(done func(error)) { m.l.Acknowledge(p.ID, p.Epoch, 0, p.Acked, done) }), "")
	refused(t, wait(func(done func(error)) { m.l.Deliver(p.ID, p.Dead+1, done) }), "")
	if len(p.letters) > 0 {
		refused(t, seal(m.l, p.ID, p.Epoch, Seal{Reason: Finished}), "")
	}
	refused(t, seal(m.l, p.ID, p.Epoch, Seal{Successor: p.Stream, Reason: Aging}), "")
	_, err := settle(m.l, p.ID, p.Epoch, Settlement{Rows: p.Next + 1})
	refused(t, err, "")
	_, err = settle(m.l, p.ID, p.Epoch, Settlement{Rows: p.Acked - 1})
	refused(t, err, "")
	refused(t, forget(m.l, p.ID, p.Epoch, p.Acked), "")
	refused(t, halt(m.l, p.ID, p.Epoch+1, Halt{Cause: Fenced}), "")
	refused(t, halt(m.l, p.ID, p.Epoch, Halt{Cause: InDoubt + 1}), "")
	refused(t, resolve(m.l, p.ID, p.Epoch+1, nil), "")
	refused(t, skip(m.l, p.ID, p.Epoch, m.number+1, "x"), "")
	refused(t, resolve(m.l, p.ID, p.Epoch, &Resolution{Landed: p.Next + 1}), "")
	for i := range p.open {
		if in := &p.open[i]; in.Skip != "" && p.Seal != nil && p.Halt == nil && p.Acked == p.open[0].Start {
			rest := m.unskipped(p)
			_, err := settle(m.l, p.ID, p.Epoch, Settlement{Rows: p.Acked, Rest: rest})
			refused(t, err, "")
			break
		}
	}
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
	if n := len(p.open); n > 0 {
		refused(t, wait(func(done func(error)) { m.l.Acknowledge(p.ID, p.Epoch, p.open[n-1].Number, p.Next, done) }), "halted")
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
			p.Halt, p.Resolution = &h, nil
		}
		return
	}
	before := m.next(t, p)
	results := make(chan error, 3)
	tell := func(err error) { results <- err }
	m.l.Bind(p.ID, p.Epoch, before, tell)
	m.l.Halt(p.ID, p.Epoch, h, tell)
	m.l.Acknowledge(p.ID, p.Epoch, before.Number, before.End(), tell)
	require.NoError(t, <-results)
	require.NoError(t, <-results)
	refused(t, <-results, "halted")
	p.bound(before)
	p.Halt, p.Resolution = &h, nil
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
		letters, err := m.l.Letters(p.ID, p.Delivered, 1<<20)
		require.NoError(t, err)
		for i := range letters {
			require.False(t, letters[i].At.IsZero())
			letters[i].At = time.Time{}
		}
		if len(p.letters) > 0 || len(letters) > 0 {
			require.Equal(t, p.letters, letters)
		}
		for i, in := range open {
			require.Equal(t, p.open[i], in)
			if p.Mode == Frozen && in.Rows > 0 {
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
