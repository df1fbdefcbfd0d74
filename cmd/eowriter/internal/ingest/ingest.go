package ingest

import (
	"context"
	"fmt"
	"sync"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/pace"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
)

// Ingest lands what producers append. Safe for concurrent use.
type Ingest struct {
	led *ledger.Ledger
	w   *committed.Writer
	opt Options

	ctx     context.Context // of everything that partitions wait for; ends in Close, when they have drained or had the time to
	end     context.CancelCauseFunc
	running sync.WaitGroup // the goroutines of partitions
	budget  budget
	tables  tables
	meter   pace.Meter // of what lands
	shared  shared     // see Overview

	mu         sync.Mutex // guards what follows
	partitions map[ledger.Key]*partition
	closing    bool // nothing is accepted any more
}

// New returns an Ingest for a writer and its ledger, which stay the caller's to close, afterwards. What earlier runs left open
// begins to land.
func New(led *ledger.Ledger, w *committed.Writer, opt Options) (*Ingest, error) {
	known, err := led.Partitions()
	if err != nil {
		return nil, err
	}
	i := &Ingest{led: led, w: w, opt: opt, partitions: map[ledger.Key]*partition{}}
	i.ctx, i.end = context.WithCancelCause(context.Background())
	i.budget.opt = &i.opt
	i.tables.i = i
	for n := range known {
		if !opt.ours(known[n].Key) {
			continue
		}
		p := newPartition(i, known[n].Key)
		r, err := p.read()
		if err != nil {
			return nil, err
		}
		p.adopt(r)
		i.partitions[p.key] = p
	}
	for _, p := range i.partitions {
		p.resume()
	}
	return i, nil
}

// find returns a partition, which is made if it is new and make says so; nil otherwise.
func (i *Ingest) find(key ledger.Key, make bool) (*partition, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p := i.partitions[key]
	switch {
	case p != nil || !make:
		return p, nil
	case i.closing:
		return nil, stopping()
	case len(i.partitions) >= i.opt.MaxPartitions:
		e := refuse(eowriterv1.Reason_REASON_TOO_MANY_PARTITIONS, "partition %q would be a new one, and there are %d: see --max-partitions", key.Name, i.opt.MaxPartitions)
		return nil, e
	}
	p = newPartition(i, key)
	i.partitions[key] = p
	return p, nil
}

// forget lets go of a partition that came to nothing: nobody's typing errors may fill the memory. p.mu is held.
func (i *Ingest) forget(p *partition) {
	p.gone = true
	i.mu.Lock()
	delete(i.partitions, p.key)
	i.mu.Unlock()
	i.tables.tidy(p.key.Table)
}

// spawn runs f in a goroutine that Close waits for, unless that has begun to wait.
func (i *Ingest) spawn(f func()) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ctx.Err() != nil {
		return false
	}
	i.running.Go(f)
	return true
}

// all returns the partitions of a table, or of all.
func (i *Ingest) all(table string) []*partition {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := make([]*partition, 0, len(i.partitions))
	for key, p := range i.partitions {
		if table == "" || key.Table == table {
			all = append(all, p)
		}
	}
	return all
}

// Close accepts nothing any more, lets land what was accepted, and ends. When ctx ends first, what is durable stays for
// the next start, and what isn't is refused. It returns what is left, as Remaining does.
func (i *Ingest) Close(ctx context.Context) (remaining []*eowriterv1.Partition, err error) {
	i.mu.Lock()
	i.closing = true
	i.mu.Unlock()
	for _, p := range i.all("") {
		p.wake() // nothing lingers
	}
	_, _ = i.Drain(ctx, "", "")
	i.mu.Lock()
	i.end(errStopped)
	i.mu.Unlock()
	i.running.Wait()
	return i.Remaining()
}

// Remaining returns the partitions of which something is open in the ledger, those of files included. It is right after Close.
func (i *Ingest) Remaining() (remaining []*eowriterv1.Partition, err error) {
	all, err := i.Partitions("")
	if err != nil {
		return nil, fmt.Errorf("look what is left: %w", err)
	}
	for _, p := range all {
		if p.OpenAppends > 0 {
			remaining = append(remaining, p)
		}
	}
	return remaining, nil
}

// isClosing says that Close was called.
func (i *Ingest) isClosing() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.closing
}
