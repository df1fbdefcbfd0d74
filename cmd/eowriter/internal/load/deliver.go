package load

import (
	"cmp"
	"context"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/deadletter"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
)

// openFile opens the file for dead letters, if that is where they go.
func (l *loader) openFile() error {
	if l.opt.DeadLetters == "" {
		return nil
	}
	f, err := deadletter.OpenFile(l.opt.DeadLetters, l.led.ID())
	if err != nil {
		return err
	}
	f.Done = l.letterStep()
	l.letters = f
	l.newDelivery(f)
	return nil
}

// openTable opens the table for dead letters, if that is where they go.
func (l *loader) openTable(ctx context.Context) error {
	if l.opt.DeadTable == "" {
		return nil
	}
	ts, err := l.ask(ctx, l.opt.DeadTable)
	if err != nil {
		return err
	}
	t, err := deadletter.OpenTable(l.w, l.opt.DeadTable, ts)
	if err != nil {
		return err
	}
	l.letters = t
	l.newDelivery(t)
	return nil
}

func (l *loader) newDelivery(to deadletter.Destination) {
	l.delivery = deadletter.New(l.led, to)
	l.delivery.Done = l.letterStep()
}

// letterStep tells a test of a letter's steps.
func (l *loader) letterStep() func(deadletter.Step) {
	if l.opt.step == nil {
		return nil
	}
	return func(s deadletter.Step) { l.opt.step(string(s), true) }
}

func (l *loader) closeLetters() error {
	if l.letters == nil {
		return nil
	}
	err := l.letters.Close()
	l.letters = nil
	return err
}

// deliverAll delivers what waits now.
func (l *loader) deliverAll(ctx context.Context) error {
	if l.delivery == nil {
		return nil
	}
	return l.delivery.All(ctx)
}

// deliver begins to deliver letters now and then, and calls failed when that fails. The returned function ends it,
// delivers the rest and returns the first error; call it when no letter comes any more.
func (l *loader) deliver(ctx context.Context, failed func()) (finish func() error) {
	if l.delivery == nil {
		return func() error { return nil }
	}
	quit := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- l.deliverUntil(ctx, quit, failed) }()
	return func() error {
		close(quit)
		if err := <-ended; err != nil {
			return err
		}
		return l.delivery.All(ctx)
	}
}

func (l *loader) deliverUntil(ctx context.Context, quit <-chan struct{}, failed func()) error {
	tick := time.NewTicker(cmp.Or(l.opt.deliver, time.Second))
	defer tick.Stop()
	for {
		if err := l.delivery.All(ctx); err != nil {
			failed()
			return err
		}
		select {
		case <-quit:
			return nil
		case <-tick.C:
		}
	}
}

// countWaiting counts the letters that are left in the ledger, and says how to have them delivered.
func (l *loader) countWaiting() error {
	if l.led.Err() != nil {
		return nil // that was told
	}
	n, err := deadletter.Waiting(l.led)
	if err != nil {
		return err
	}
	if l.waiting = n; n > 0 && l.delivery == nil {
		l.display.say("%s in the ledger: load with --dead-letters to have them delivered, or see eowriter ledger letters", plural.Of(n, "dead letter waits", "dead letters wait"))
	}
	return nil
}
