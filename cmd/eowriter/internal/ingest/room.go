package ingest

import (
	"context"
	"sync"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/ledger"
)

// budget is the memory that all appends share, from the moment in which they are read until they have landed.
type budget struct {
	opt *Options

	mu      sync.Mutex // guards what follows, and every Share
	bytes   int64
	appends int
	freed   chan struct{} // closed when room was given back; nil: nobody waits
}

// Share is what a partition has of the budget. The zero value is nothing.
type Share struct {
	bytes   int64
	appends int
}

// Room is a part of the budget. It has one owner, who gives it back with Release; Accept takes it over.
type Room struct {
	b     *budget
	bytes int64
	of    *Share // nil: of nobody yet
}

// Room begins to take room for an append that is being read.
func (i *Ingest) Room() *Room { return &Room{b: &i.budget} }

// Grow takes n bytes more, and says whether they were free. What is still being read never gets more than it leaves free,
// unless there is nothing else: bodies that arrive slowly, or are only announced, keep nobody out.
func (r *Room) Grow(n int64) bool {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if left := b.opt.TotalBytes - b.bytes - n; left < 0 || left < r.bytes+n && b.bytes > r.bytes {
		return false
	}
	b.bytes += n
	r.bytes += n
	return true
}

// Release gives all of it back. It may be called again.
func (r *Room) Release() {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= r.bytes
	if r.of != nil {
		r.of.bytes -= r.bytes
		r.of.appends--
		b.appends--
	}
	r.bytes, r.of = 0, nil
	b.wake()
}

// wake tells those who wait that something was given back; mu is held.
func (b *budget) wake() {
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// assign makes it n bytes of a partition, if they are free; otherwise the channel is closed when more is.
func (r *Room) assign(s *Share, n int64) (ok bool, freed <-chan struct{}) {
	b := r.b
	b.mu.Lock()
	defer b.mu.Unlock()
	left := b.opt.TotalBytes - (b.bytes - r.bytes) - n
	if left >= s.bytes && s.bytes+n <= b.opt.PartitionBytes && s.appends < b.opt.PartitionAppends && b.appends < b.opt.TotalAppends {
		b.bytes += n - r.bytes
		b.appends++
		s.bytes += n
		s.appends++
		r.bytes, r.of = n, s
		return true, nil
	}
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return false, b.freed
}

// Take takes n bytes for a source of rows beside the producers, as they have it: so that it leaves room for others. If there
// are none it returns a channel that is closed when something was given back.
func (i *Ingest) Take(s *Share, n int64) (*Room, <-chan struct{}) {
	r := i.Room()
	ok, freed := r.assign(s, n)
	if !ok {
		return nil, freed
	}
	return r, nil
}

// Shrink gives back all but n bytes.
func (r *Room) Shrink(n int64) {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	back := max(0, r.bytes-n)
	r.b.bytes -= back
	r.bytes -= back
	if r.of != nil {
		r.of.bytes -= back
	}
	r.b.wake()
}

// retake makes room for an append that was accepted in an earlier opening, whether it is free or not.
func (b *budget) retake(s *Share, n int64) *Room {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes += n
	b.appends++
	s.bytes += n
	s.appends++
	return &Room{b: b, bytes: n, of: s}
}

// sizeOf is what intents take in memory when they are sent again.
func sizeOf(intents []ledger.Intent) (n int64) {
	for i := range intents {
		n += intents[i].Bytes
		for j := range intents[i].Dead {
			n += int64(len(intents[i].Dead[j].Content))
		}
	}
	return n
}

// perRow is what a row costs beside its bytes.
const perRow = 32

// take gives the append's room to the partition. Patient appends wait for it.
func (p *partition) take(ctx context.Context, a *Append) error {
	opt := &p.i.opt
	n := a.size() + perRow*int64(len(a.Rows))
	for {
		ok, freed := a.Room.assign(&p.share, n)
		switch {
		case ok:
			return nil
		case n > min(opt.PartitionBytes, opt.TotalBytes):
			return refuse(eowriterv1.Reason_REASON_TOO_LARGE, "the append takes %d bytes of memory, and partitions have %d: make smaller appends",
				n, min(opt.PartitionBytes, opt.TotalBytes))
		case !a.Patient:
			return busy("no room: rows come faster than they land; nothing was accepted")
		}
		select {
		case <-freed:
		case <-p.i.ctx.Done():
			return stopping()
		case <-ctx.Done():
			return gaveUp(ctx)
		}
	}
}
