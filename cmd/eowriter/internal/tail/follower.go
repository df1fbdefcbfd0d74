package tail

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tablename"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"google.golang.org/protobuf/types/known/timestamppb"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
)

// follower reads one log into its partition, in one goroutine: run.
type follower struct {
	t     *Tail
	key   ledger.Key
	path  string
	table *table
	log   *Log // run's, see there
	poke  chan struct{}

	share   ingest.Share
	resumed bool // log is where the ledger says
	moved   bool // something has landed since the partition was opened

	mu       sync.Mutex // guards what follows
	cp       *committed.Partition
	failure  string
	retryAt  time.Time
	position source.LogPosition // up to which rows are bound, or will be
	open     int                // batches that are bound and have not landed
	oldest   time.Time          // when the first of them was read
	bytes    int64              // of all
	unread   int64
	losses   int64
	lost     int64
	lastLoss string
}

var (
	errStopping = errors.New("the sidecar is being stopped")
	errDone     = errors.New("the log is no more, and all of it has landed")
)

func newFollower(t *Tail, key ledger.Key, path string, tbl *table) *follower {
	f := &follower{t: t, key: key, path: path, table: tbl, poke: make(chan struct{}, 1)}
	f.log = &Log{path: path, settle: t.opt.Settle, now: time.Now, lost: f.report}
	return f
}

// wake has the log looked at.
func (f *follower) wake() {
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

// run follows the log until it is no more, or Close ends everything. A partition that stops is opened again after a while, unless it
// is halted.
func (f *follower) run() {
	delays := f.t.opt.Ingest.Reopen.New()
	defer f.log.Close()
	for {
		err := f.session()
		switch {
		case errors.Is(err, errDone):
			f.t.ended(f, f.bound())
			return
		case errors.Is(err, errStopping), f.t.ctx.Err() != nil:
			return
		}
		if f.moved {
			delays.Reset()
		}
		if !f.failed(err, delays.Next()) || !f.pause() {
			return
		}
	}
}

// attrs are attributes for a line of the log.
func (f *follower) attrs(more ...any) []any {
	return append([]any{"table", tablename.Short(f.key.Table), "partition", f.key.Name, "path", f.path}, more...)
}

// failed notes why the log isn't read, and says whether it is tried again after the delay.
func (f *follower) failed(err error, delay time.Duration) (again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failure = err.Error()
	if errors.Is(err, committed.ErrConflict) || errors.Is(err, committed.ErrFenced) || errors.Is(err, committed.ErrInDoubt) {
		f.retryAt = time.Time{}
		f.t.opt.Log.Error("log halted", f.attrs("error", ingest.Loggable(err))...)
		return false
	}
	f.retryAt = time.Now().Add(delay)
	f.t.opt.Log.Warn("log stopped", f.attrs("error", ingest.Loggable(err), "retry_in", delay.Round(time.Millisecond).String())...)
	return true
}

// pause waits until the partition is to be opened again. Rotations are noticed meanwhile.
func (f *follower) pause() bool {
	f.mu.Lock()
	wait := time.NewTimer(time.Until(f.retryAt))
	f.mu.Unlock()
	defer wait.Stop()
	for {
		select {
		case <-wait.C:
			return true
		case <-f.poke:
			if f.resumed {
				_ = f.look() // it is tried again
			}
		case <-f.t.stopping:
			return false
		}
	}
}

// look has the log looked at, and notes how far it is.
func (f *follower) look() error {
	err := f.log.Look()
	f.note()
	return err
}

func (f *follower) note() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.unread = f.log.Behind()
}

// resume brings the log to where the ledger has its partition.
func (f *follower) resume() error {
	if f.resumed {
		return nil
	}
	part, open, err := f.t.led.Partition(f.key)
	fresh := errors.Is(err, ledger.ErrNoPartition)
	if err != nil && !fresh {
		return err
	}
	token := part.Position
	if len(open) > 0 {
		token = open[len(open)-1].After
	}
	p, err := source.ParseLogPosition(token)
	switch {
	case err != nil || !fresh && part.Mode != ledger.Replayable:
		return fmt.Errorf("partition %q was not written by --tail: retire it, or give the log another name", f.key.Name)
	case fresh:
		err = f.log.Begin(Live)
	case p.Offset == 0:
		// It was opened and nothing was bound: what was written to since then has not been read.
		err = f.log.Begin(source.LogPosition{Written: part.Updated.UnixNano()})
	case f.t.isComplete(f.key, token):
		err = f.log.Begin(p)
	default:
		err = f.log.Resume(p)
	}
	if err != nil {
		return err
	}
	f.resumed = true
	f.mu.Lock()
	f.position, f.open = p, len(open)
	f.mu.Unlock()
	f.note()
	return nil
}

// report is told of what was lost.
func (f *follower) report(l Loss) {
	f.mu.Lock()
	f.losses++
	f.lost += l.Bytes
	f.lastLoss = fmt.Sprintf("%s (%s), at %s", l.What, l.size(), time.Now().UTC().Format(time.RFC3339))
	f.mu.Unlock()
	f.t.count(func(c *Counts) { c.Losses++; c.LostBytes += l.Bytes })
	f.t.opt.Log.Error("rows of a log are lost", f.attrs("what", l.What, "bytes", l.size())...)
}

// bound is the position up to which rows are bound.
func (f *follower) bound() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.position.Token()
}

func (f *follower) behind() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unread
}

func (f *follower) describe(s *eowriterv1.Partition) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.position.Offset > 0 {
		s.Position = f.position.String()
	}
	s.Error = f.failure
	if f.failure != "" && !f.retryAt.IsZero() {
		s.RetryAt = timestamppb.New(f.retryAt)
	}
	s.OpenAppends, s.OpenBytes = int32(f.open), f.bytes
	if f.open > 0 && !f.oldest.IsZero() {
		s.Oldest = timestamppb.New(f.oldest)
	}
	if f.cp != nil {
		s.InFlight = int32(f.cp.InFlight())
	}
	s.Tail = &eowriterv1.Tail{Path: source.Printable(f.path), Behind: f.unread, Losses: f.losses, LostBytes: f.lost, LastLoss: f.lastLoss}
}

// replay is the partition's Replay.
func (f *follower) replay(ctx context.Context, want committed.Range) (committed.Replayed, error) {
	before, err := source.ParseLogPosition(want.Before)
	if err != nil {
		return committed.Replayed{}, err
	}
	after, err := source.ParseLogPosition(want.After)
	if err != nil {
		return committed.Replayed{}, err
	}
	again, err := f.table.encodings.Again(want, maxRow, f.none())
	if err != nil {
		return committed.Replayed{}, err
	}
	if err := f.log.Again(before, after, again.Add); err != nil {
		return committed.Replayed{}, err
	}
	if ctx.Err() != nil {
		return committed.Replayed{}, ctx.Err()
	}
	return again.Replayed()
}

// none says that no line may become a dead letter.
func (f *follower) none() bool { return f.t.opt.Ingest.MaxDead == 0 }
