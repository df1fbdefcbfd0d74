package ingest

import (
	"cmp"
	"slices"
	"sync"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/pace"
	"github.com/eowriter/eowriter/ledger"
)

// Overview is how all partitions were at a moment. Several callers share it: it is only to be read.
type Overview struct {
	At         time.Time
	Partitions []*eowriterv1.PartitionStatus // ordered by table and name
	Totals     *eowriterv1.Totals
}

// overviewAge is how old an Overview may be: reading a ledger of thousands of partitions is not done for each of several
// watchers.
const overviewAge = 500 * time.Millisecond

// shared is the newest Overview.
type shared struct {
	mu  sync.Mutex // guards what follows; held while a new one is made, which others wait for
	one *Overview
}

// Overview returns how all partitions are, or were half a second ago.
func (i *Ingest) Overview() (*Overview, error) {
	i.shared.mu.Lock()
	defer i.shared.mu.Unlock()
	if o := i.shared.one; o != nil && time.Since(o.At) < overviewAge {
		return o, nil
	}
	o := &Overview{At: time.Now()}
	err := i.each("", func(part *ledger.Partition, p *partition) {
		o.Partitions = append(o.Partitions, i.statusOf(part, p, o.At))
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(o.Partitions, func(a, b *eowriterv1.PartitionStatus) int { return byName(a.Partition, b.Partition) })
	o.Totals = totalsOf(o.Partitions)
	i.shared.one = o
	return o, nil
}

// statusOf is stateOf with what an operator wants to know besides.
func (i *Ingest) statusOf(part *ledger.Partition, p *partition, now time.Time) *eowriterv1.PartitionStatus {
	state, _ := i.stateOf(part, p)
	s := &eowriterv1.PartitionStatus{Partition: state}
	switch {
	case state.State == eowriterv1.State_STATE_WAITING || state.RetryAt != nil: // a file's has no state of its own for that
		s.Attention = eowriterv1.Attention_ATTENTION_WAITING
	case part.Halt != nil && part.Halt.Cause == ledger.InDoubt:
		s.Attention = eowriterv1.Attention_ATTENTION_IN_DOUBT
	case part.Halt != nil || state.State == eowriterv1.State_STATE_HALTED:
		s.Attention = eowriterv1.Attention_ATTENTION_HALTED
	}
	if p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		s.RowsPerSecond = p.rate.At(now)
	}
	return s
}

func totalsOf(all []*eowriterv1.PartitionStatus) *eowriterv1.Totals {
	t := &eowriterv1.Totals{}
	states, attention := map[eowriterv1.State]int32{}, map[eowriterv1.Attention]int32{}
	for _, s := range all {
		p := s.Partition
		states[p.State]++
		if s.Attention != eowriterv1.Attention_ATTENTION_UNSPECIFIED {
			attention[s.Attention]++
		}
		t.Rows += p.Rows
		t.DeadRows += p.DeadRows
		t.LettersWaiting += p.LettersWaiting
		t.QueuedAppends += p.QueuedAppends
		t.OpenAppends += p.OpenAppends
		t.InFlight += p.InFlight
		if p.Oldest != nil && (t.Oldest == nil || p.Oldest.AsTime().Before(t.Oldest.AsTime())) {
			t.Oldest = p.Oldest
		}
	}
	for state, n := range states {
		t.States = append(t.States, &eowriterv1.StateCount{State: state, Partitions: n})
	}
	for kind, n := range attention {
		t.Attention = append(t.Attention, &eowriterv1.AttentionCount{Attention: kind, Partitions: n})
	}
	slices.SortFunc(t.States, func(a, b *eowriterv1.StateCount) int { return cmp.Compare(a.State, b.State) })
	slices.SortFunc(t.Attention, func(a, b *eowriterv1.AttentionCount) int { return -cmp.Compare(a.Attention, b.Attention) })
	return t
}

// Usage returns what may be accepted and not landed, and what is.
func (i *Ingest) Usage() *eowriterv1.Room {
	r := &eowriterv1.Room{
		MaxBytes: i.opt.TotalBytes, MaxAppends: int32(i.opt.TotalAppends),
		Partitions: int32(len(i.all(""))), MaxPartitions: int32(i.opt.MaxPartitions),
	}
	i.budget.mu.Lock()
	defer i.budget.mu.Unlock()
	r.Bytes, r.Appends = i.budget.bytes, int32(i.budget.appends)
	return r
}

// Pace returns how fast rows land, and how long appends take to.
func (i *Ingest) Pace() pace.Reading { return i.meter.Read(time.Now()) }
