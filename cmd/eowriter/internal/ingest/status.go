package ingest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Partition returns the state of one partition.
func (i *Ingest) Partition(key ledger.Key) (*eowriterv1.Partition, error) {
	s, _, err := i.state(key)
	return s, err
}

// state returns the state of one partition, and whether its position is all that is durable.
func (i *Ingest) state(key ledger.Key) (s *eowriterv1.Partition, known bool, err error) {
	if bad := badName(key.Name); bad != "" {
		return nil, false, refuse(eowriterv1.Reason_REASON_INVALID, "%s", bad)
	}
	part, _, err := i.led.Partition(key)
	if err != nil && !errors.Is(err, ledger.ErrNoPartition) {
		return nil, false, err
	}
	part.Key = key
	p, err := i.find(key, false)
	s, known = i.stateOf(&part, p)
	return s, known, err
}

// Ask is Partition for a producer that goes on at the position: it waits until what was accepted before the call is durable.
func (i *Ingest) Ask(ctx context.Context, key ledger.Key) (*eowriterv1.Partition, error) {
	for {
		p, _ := i.find(key, false)
		if p != nil {
			if err := p.settle(ctx); err != nil {
				return nil, err
			}
		}
		// It may have stopped meanwhile: then the ledger's own position is before what is open there.
		if s, known, err := i.state(key); err != nil || known {
			return s, err
		}
	}
}

// Partitions returns the state of all partitions, or of those of a table, projects/P/datasets/D/tables/T, ordered by table and name.
func (i *Ingest) Partitions(table string) ([]*eowriterv1.Partition, error) {
	var all []*eowriterv1.Partition
	err := i.each(table, func(part *ledger.Partition, p *partition) {
		s, _ := i.stateOf(part, p)
		all = append(all, s)
	})
	slices.SortFunc(all, byName)
	return all, err
}

// each calls f with every partition of a table, or of all, as the ledger has it, and as it is known here. One of them may be
// nothing: the zero value but for the key, or nil.
func (i *Ingest) each(table string, f func(part *ledger.Partition, p *partition)) error {
	recorded, err := i.led.Partitions()
	if err != nil {
		return err
	}
	used := map[ledger.Key]*partition{}
	for _, p := range i.all(table) {
		used[p.key] = p
	}
	known := map[ledger.Key]bool{}
	for n := range recorded {
		part := &recorded[n]
		if table == "" || part.Key.Table == table {
			f(part, used[part.Key])
		}
		known[part.Key] = true
		delete(used, part.Key)
	}
	for _, p := range used {
		f(&ledger.Partition{Key: p.key}, p)
	}
	for _, key := range i.unread(table, known) {
		f(&ledger.Partition{Key: key}, nil)
	}
	return nil
}

func byName(a, b *eowriterv1.Partition) int {
	return cmp.Or(strings.Compare(a.Table, b.Table), strings.Compare(a.Partition, b.Partition))
}

// stateOf puts together what the ledger knows of a partition, which may be nothing, and what is known of it here. While
// it is being found out what of the latter is in the ledger, the position is that of what has landed: known is false.
func (i *Ingest) stateOf(part *ledger.Partition, p *partition) (s *eowriterv1.Partition, known bool) {
	s = &eowriterv1.Partition{
		Table: short(part.Key.Table), Partition: part.Key.Name, State: eowriterv1.State_STATE_NEW,
		Position: text(part.Position), LandedPosition: text(part.Position),
		Rows: part.Rows, DeadRows: part.Dead, LettersWaiting: part.Dead - part.Delivered,
		Stream: part.Stream, Epoch: int64(part.Epoch), Acked: part.Acked, Next: part.Next, Updated: timeOf(part.Updated),
	}
	if part.Epoch > 0 {
		s.State = eowriterv1.State_STATE_IDLE
	}
	known = p == nil || p.describe(s)
	i.describe(part, s)
	return s, known
}

func (p *partition) describe(s *eowriterv1.Partition) (known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.State = p.state
	if !p.settling {
		s.Position, s.LandedPosition = text(p.durable()), text(p.landedAt)
	}
	s.QueuedAppends, s.OpenAppends = int32(p.queued), int32(len(p.entries)-p.queued)
	if len(p.entries) > 0 {
		s.Oldest = timeOf(p.entries[0].since)
	}
	if p.cp != nil {
		s.InFlight = int32(p.cp.InFlight())
	}
	switch p.state {
	case eowriterv1.State_STATE_WAITING:
		s.RetryAt = timeOf(p.retryAt)
		s.Error = p.failure.Message
	case eowriterv1.State_STATE_HALTED:
		s.Error = p.failure.Message
	}
	p.i.budget.mu.Lock()
	defer p.i.budget.mu.Unlock()
	s.OpenBytes = p.share.bytes
	return !p.settling
}

// text is a position as the API has it. Positions that other programs put into the ledger need not be text.
func text(position []byte) string { return strings.ToValidUTF8(string(position), "\ufffd") }

func timeOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func durationOf(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// Drain waits until everything that was accepted before the call has landed: in one partition, in those of a table
// (projects/P/datasets/D/tables/T), or in all. It returns those that have something left when ctx ends, or that can't
// land it now.
func (i *Ingest) Drain(ctx context.Context, table, name string) (remaining []*eowriterv1.Partition, err error) {
	var left []*partition
	for _, p := range i.all(table) {
		if (name == "" || p.key.Name == name) && !p.drain(ctx) {
			left = append(left, p)
		}
	}
	for _, p := range left {
		one, err := i.Partition(p.key)
		if err != nil {
			return nil, err
		}
		remaining = append(remaining, one)
	}
	return remaining, nil
}

// drain says whether everything that was accepted before the call has landed.
func (p *partition) drain(ctx context.Context) bool {
	p.mu.Lock()
	for p.settling { // it has stopped, and what the ledger has of it is not known yet
		changed := p.awaitChange()
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
		p.mu.Lock()
	}
	var newest *entry
	if n := len(p.entries); n > 0 {
		newest = p.entries[n-1]
	}
	stuck := p.state == eowriterv1.State_STATE_WAITING || p.state == eowriterv1.State_STATE_HALTED
	p.mu.Unlock()
	switch {
	case newest == nil:
		return true
	case stuck:
		return false
	}
	select {
	case <-newest.done:
		return newest.err == nil
	case <-ctx.Done():
		return false
	}
}
