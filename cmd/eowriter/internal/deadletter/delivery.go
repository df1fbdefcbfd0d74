package deadletter

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/eowriter/eowriter/ledger"
)

// Destination is where letters go.
type Destination interface {
	// Put makes the records durable there (D2, D3). They are of one partition, in the order of their numbers, and follow
	// those that the ledger has forgotten; the first ones may have been put before.
	Put(ctx context.Context, records []Record) error
	// Close lets go of the destination. What was put stays.
	Close() error
}

// Step is the number of a step in the life of a letter, as the package comment has them.
type Step string

const (
	D1 Step = "D1" // read from the ledger
	D2 Step = "D2" // write
	D3 Step = "D3" // make durable
	D4 Step = "D4" // have the ledger forget it
)

// chunk is about how many bytes of letters are delivered at a time.
const chunk = 1 << 20

// Delivery brings the letters of a ledger to their destination.
type Delivery struct {
	led *ledger.Ledger
	to  Destination

	// Done is told after each of the steps D1 and D4; nil: nobody is.
	Done func(Step)

	delivered atomic.Int64
}

// New returns the delivery of led's letters. The caller closes both when All is not called any more.
func New(led *ledger.Ledger, to Destination) *Delivery { return &Delivery{led: led, to: to} }

// Delivered returns how many letters All has delivered. Safe for concurrent use.
func (d *Delivery) Delivered() int64 { return d.delivered.Load() }

// All delivers the letters that wait in the ledger, those of all partitions. When it returns nil, each that waited when
// it was called is at the destination and forgotten. One call at a time.
func (d *Delivery) All(ctx context.Context) error {
	parts, err := d.led.Partitions()
	if err != nil {
		return fmt.Errorf("deliver dead letters: %w", err)
	}
	for i := range parts {
		if err := d.partition(ctx, &parts[i]); err != nil {
			return fmt.Errorf("deliver dead letters of partition %q (they stay in the ledger until that has succeeded): %w", parts[i].Key.Name, err)
		}
	}
	return nil
}

func (d *Delivery) partition(ctx context.Context, p *ledger.Partition) error {
	for at := p.Delivered; at < p.Dead; {
		if err := ctx.Err(); err != nil {
			return err
		}
		letters, err := d.led.Letters(p.ID, at, chunk)
		if err != nil {
			return err
		}
		if len(letters) == 0 {
			return fmt.Errorf("the ledger has no letter %d, of %d: see eowriter ledger check", at+1, p.Dead)
		}
		records := make([]Record, len(letters))
		for i := range letters {
			if records[i], err = NewRecord(d.led, p, &letters[i]); err != nil {
				return err
			}
		}
		d.done(D1)
		if err := d.to.Put(ctx, records); err != nil {
			return err
		}
		at = letters[len(letters)-1].Number
		if err := d.forget(p.ID, at); err != nil {
			return err
		}
		d.done(D4)
		d.delivered.Add(int64(len(letters)))
	}
	return nil
}

// forget waits until the ledger has forgotten the letters up to a number, durably (D4).
func (d *Delivery) forget(id ledger.ID, upTo int64) error {
	forgotten := make(chan error, 1)
	d.led.Deliver(id, upTo, func(err error) { forgotten <- err })
	return <-forgotten
}

func (d *Delivery) done(s Step) {
	if d.Done != nil {
		d.Done(s)
	}
}

// Waiting returns how many letters of a ledger wait to be delivered.
func Waiting(led *ledger.Ledger) (n int64, err error) {
	parts, err := led.Partitions()
	for i := range parts {
		n += parts[i].Dead - parts[i].Delivered
	}
	return n, err
}
