package serve

import (
	"context"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/deadletter"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
)

// letters has the dead letters of all of the ledger's partitions delivered, if Options say where to. open comes first, then
// start, finish and close. Letters that can't be delivered stay in the ledger: the sidecar goes on, and tries again.
type letters struct {
	led  *ledger.Ledger
	opt  *Options
	w    *committed.Writer
	news chan struct{} // of 1: there are new ones

	ctx   context.Context // of run; ends in finish
	end   context.CancelFunc
	ended chan struct{} // closed when run has ended

	// Of one goroutine at a time: run, once start was called, until it has ended.
	to       deadletter.Destination // nil: not open
	delivery *deadletter.Delivery   // to it
}

func newLetters(led *ledger.Ledger, opt *Options) *letters {
	l := &letters{led: led, opt: opt, news: make(chan struct{}, 1), ended: make(chan struct{})}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l
}

// wanted says that letters are delivered at all.
func (l *letters) wanted() bool { return l.opt.DeadLetters != "" || l.opt.DeadTable != "" }

// keeps says that a partition is of the table for letters.
func (l *letters) keeps(key ledger.Key) bool { return deadletter.Keeps(l.opt.DeadTable, key) }

// events notices batches that land with dead rows, for whoever else wants to be told.
func (l *letters) events(others committed.Events) committed.Events {
	e := others
	e.Landed = func(key ledger.Key, ack committed.Ack) {
		if others.Landed != nil {
			others.Landed(key, ack)
		}
		if ack.Dead > 0 {
			select {
			case l.news <- struct{}{}:
			default:
			}
		}
	}
	if l.opt.step != nil {
		e.Step = func(e committed.StepEvent) {
			if others.Step != nil {
				others.Step(e)
			}
			if e.Done && l.keeps(e.Key) {
				l.opt.step(string(e.Step))
			}
		}
	}
	return e
}

// open opens the file for letters, if that is where they go: if it can't be used the sidecar doesn't start. A table is
// opened when the service answers.
func (l *letters) open(w *committed.Writer) error {
	l.w = w
	if l.opt.DeadLetters == "" {
		return nil
	}
	return l.reopen(l.ctx)
}

// reopen opens the destination, unless it is open.
func (l *letters) reopen(ctx context.Context) error {
	if l.to != nil {
		return nil
	}
	done := l.done()
	if l.opt.DeadLetters != "" {
		f, err := deadletter.OpenFile(l.opt.DeadLetters, l.led.ID())
		if err != nil {
			return err
		}
		f.Done = done
		l.to = f
	} else {
		s, err := l.w.TableSchema(ctx, l.opt.DeadTable)
		if err != nil {
			return err
		}
		t, err := deadletter.OpenTable(l.w, l.opt.DeadTable, s.Table())
		if err != nil {
			return err
		}
		l.to = t
	}
	l.delivery = deadletter.New(l.led, l.to)
	l.delivery.Done = done
	return nil
}

// done tells a test of a letter's steps.
func (l *letters) done() func(deadletter.Step) {
	if l.opt.step == nil {
		return nil
	}
	return func(s deadletter.Step) { l.opt.step(string(s)) }
}

// close lets go of the destination.
func (l *letters) close() error {
	if l.to == nil {
		return nil
	}
	err := l.to.Close()
	l.to = nil
	return err
}

// start begins to deliver.
func (l *letters) start() {
	if !l.wanted() {
		close(l.ended)
		return
	}
	go l.run()
}

// run delivers what waits in the ledger, and then whenever there is more.
func (l *letters) run() {
	defer close(l.ended)
	delays := l.opt.Ingest.Reopen.New()
	for {
		news, again := l.news, (<-chan time.Time)(nil)
		if err := l.deliver(l.ctx); err != nil && l.ctx.Err() == nil {
			delay := delays.Next()
			news, again = nil, time.After(delay)
			l.opt.Log.Warn("dead letters are not delivered, and stay in the ledger", "error", ingest.Loggable(err), "retry_in", delay.Round(time.Millisecond).String())
			// The next opening mends a file, and a table's partitions.
			if err := l.close(); err != nil {
				l.opt.Log.Warn("close where dead letters go", "error", ingest.Loggable(err))
			}
		} else {
			delays.Reset()
		}
		select {
		case <-news:
		case <-again:
		case <-l.ctx.Done():
			return
		}
	}
}

func (l *letters) deliver(ctx context.Context) error {
	if err := l.reopen(ctx); err != nil {
		return err
	}
	before := l.delivery.Delivered()
	err := l.delivery.All(ctx)
	if n := l.delivery.Delivered() - before; n > 0 {
		l.opt.Log.Info("dead letters delivered", "letters", n)
	}
	return err
}

// finish delivers the rest, while ctx allows, and says how many wait for the next start. It is called when nothing lands
// any more.
func (l *letters) finish(ctx context.Context) {
	l.end()
	<-l.ended
	if !l.wanted() || l.led.Err() != nil {
		return
	}
	if err := l.deliver(ctx); err != nil {
		n, _ := deadletter.Waiting(l.led) // the ledger's own failure has been told
		l.opt.Log.Warn("dead letters wait in the ledger for the next start", "letters", n, "error", ingest.Loggable(err))
	}
}
