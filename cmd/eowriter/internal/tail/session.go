package tail

import (
	"context"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
)

const (
	maxOpen = 64      // batches of a log that have not landed: fewer than the writer's window
	maxRow  = 9 << 20 // bytes of an encoded row: the smallest request limit that projects have is 10 MiB (case 52)
)

// session is one opening of a log's partition.
type session struct {
	f        *follower
	cp       *committed.Partition
	encoding *lines.Follower
	open     []batch       // not landed, oldest first
	position []byte        // after the last of them
	last     error         // the newest line that became a dead row
	stopping chan struct{} // Tail's, until that is known; nil then
	freed    <-chan struct{}
}

// batch is what the writer has.
type batch struct {
	result *committed.Result
	after  source.LogPosition
	room   *ingest.Room // nil: it is of an earlier run
	bytes  int64
	since  time.Time
}

// session opens the partition when there is something for it, reads the log into it, and returns why that has ended.
func (f *follower) session() error {
	if err := f.resume(); err != nil {
		return err
	}
	if err := f.idle(); err != nil {
		return err
	}
	s, err := f.openPartition()
	if err != nil {
		return err
	}
	err = s.run()
	s.close()
	return err
}

// idle waits until there is something to read, or something of an earlier run to land.
func (f *follower) idle() error {
	for !f.log.Unread() && !f.isOpen() {
		if f.log.Done() {
			return errDone
		}
		select {
		case <-f.poke:
			if err := f.look(); err != nil {
				return err
			}
		case <-f.t.stopping:
			return errStopping
		}
	}
	return nil
}

func (f *follower) isOpen() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open > 0
}

// openPartition opens it at the writer. Rotations are noticed meanwhile: that may take as long as BigQuery is out of reach.
func (f *follower) openPartition() (*session, error) {
	ctx, cancel := context.WithCancel(f.t.ctx)
	defer cancel()
	s := &session{f: f, stopping: f.t.stopping}
	opened := make(chan error, 1)
	go func() { opened <- s.openAt(ctx) }()
	stopping := f.t.stopping
	for {
		select {
		case err := <-opened:
			if err != nil {
				return nil, err
			}
			return s, s.begin()
		case <-f.poke:
			_ = f.look() // tried again
		case <-stopping:
			if stopping = nil; !f.isOpen() {
				cancel() // there is nothing to land
			}
		}
	}
}

func (s *session) openAt(ctx context.Context) error {
	f := s.f
	e, err := f.table.first(ctx)
	if err != nil {
		return err
	}
	opt := &f.t.opt.Ingest
	s.cp, err = f.t.w.Partition(ctx, committed.PartitionConfig{
		Table: f.key.Table, Name: f.key.Name, Schema: e.Schema, Encoder: opt.Choices.Encoder(), Replay: f.replay,
		DefaultValues: opt.DefaultValues, MaxDead: opt.MaxDead,
	})
	if err != nil {
		f.table.believe(false) // perhaps it is the schema's fault
		return err
	}
	s.encoding = f.table.encodings.Follow(s.cp, e, f.none(), func() {
		f.t.opt.Log.Info("the table's schema has changed", f.attrs()...)
	})
	return nil
}

// begin brings the log to where the partition is.
func (s *session) begin() error {
	f := s.f
	s.position = s.cp.Position()
	p, err := source.ParseLogPosition(s.position)
	if err == nil {
		err = f.log.Seek(p)
	}
	if err != nil {
		s.close()
		return err
	}
	n := 0
	for _, in := range s.cp.Found() {
		if in.From > 0 && n > 0 {
			continue // a part of the same batch
		}
		after, err := source.ParseLogPosition(in.After)
		if err != nil {
			s.close()
			return err
		}
		s.open = append(s.open, batch{result: s.cp.Recovered()[n], after: after, since: time.Now()})
		n++
	}
	f.moved = false
	f.mu.Lock()
	f.cp, f.failure, f.position = s.cp, "", p
	f.mu.Unlock()
	s.tell()
	return nil
}

// close lets go of the partition; what is open stays in the ledger.
func (s *session) close() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.cp.Close(now)
	s.f.log.EndAgain()
	for _, b := range s.open {
		if b.room != nil {
			b.room.Release()
		}
	}
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	s.f.cp, s.f.bytes = nil, 0
}

// run reads, and notes what has landed.
func (s *session) run() error {
	for {
		if err := s.landed(); err != nil {
			return err
		}
		switch {
		case s.stopping == nil && len(s.open) == 0:
			return errStopping
		case len(s.open) == 0 && s.f.log.Done():
			return errDone
		}
		more := false
		if s.stopping != nil && len(s.open) < maxOpen {
			var err error
			if more, err = s.read(); err != nil {
				return err
			}
		}
		if err := s.wait(more); err != nil {
			return err
		}
	}
}

// wait waits until something has happened, or, if there is more to read, only looks whether it has.
func (s *session) wait(more bool) error {
	at := make(chan struct{})
	if more {
		close(at)
	}
	var oldest <-chan struct{}
	if len(s.open) > 0 {
		oldest = s.open[0].result.Done()
	}
	select {
	case <-s.f.poke:
		if !more && len(s.open) > 0 {
			s.linger()
		}
		return s.f.look()
	case <-s.stopping:
		s.stopping = nil
	case <-s.cp.Stopped():
		return s.cp.Err()
	case <-s.f.t.ctx.Done():
		return errStopping
	case <-oldest:
	case <-s.freed:
	case <-at:
	}
	return nil
}

// linger waits for company for the next rows, while some are on their way.
func (s *session) linger() {
	t := time.NewTimer(s.f.t.opt.Ingest.Linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.stopping:
	case <-s.cp.Stopped():
	}
}

// landed notes which of the open batches have.
func (s *session) landed() error {
	for len(s.open) > 0 {
		b := &s.open[0]
		select {
		case <-b.result.Done():
		default:
			return nil
		}
		if _, err := b.result.Wait(context.Background()); err != nil {
			return err
		}
		if b.room != nil {
			b.room.Release()
		}
		s.f.moved = true
		s.f.log.Landed(b.after)
		s.open[0] = batch{}
		s.open = s.open[1:]
		s.tell()
	}
	if p, err := source.ParseLogPosition(s.position); err == nil {
		s.f.log.Landed(p) // files that were left since
	}
	return nil
}

// tell notes for others what is open.
func (s *session) tell() {
	f := s.f
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open, f.bytes, f.oldest = len(s.open), 0, time.Time{}
	for n, b := range s.open {
		if f.bytes += b.bytes; n == 0 {
			f.oldest = b.since
		}
	}
	f.unread = f.log.Behind()
}
