package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/eowriter/eowriter/committed"
)

// writing is one partition while its source is offered.
type writing struct {
	script  Script
	i       int // of the partition
	p       *committed.Partition
	rotated *rotations
	tell    func(Note)
	open    chan pending // what was accepted, to be waited for
}

type pending struct {
	from, to int64
	result   *committed.Result
}

// run offers the rest of the source and waits until it has landed.
func (w *writing) run(ctx context.Context) error {
	if w.script.Retire {
		return w.p.Retire(ctx)
	}
	at, err := RowsAt(w.p.Position())
	if err != nil {
		return err
	}
	w.note(Resumed, at, 0)
	var waiting sync.WaitGroup
	waiting.Go(func() { w.wait(ctx) })
	defer waiting.Wait()
	defer close(w.open)
	for at < w.script.Upto {
		if slices.Contains(w.script.Rests, at) {
			if err := w.rotated.wait(ctx, w.p); err != nil {
				return err
			}
		}
		if w.script.Pushy {
			if at, err = w.push(ctx, at); err != nil {
				return err
			}
		}
		if to := w.end(at); at < to {
			if err := w.offer(ctx, at, to); err != nil {
				return err
			}
			at = to
		}
	}
	return w.p.Drain(ctx)
}

// end is where the batch ends that begins at a row.
func (w *writing) end(at int64) int64 { return min(at+w.script.BatchRows, w.script.Upto) }

// offer appends the rows [from, to).
func (w *writing) offer(ctx context.Context, from, to int64) error {
	w.note(Offered, from, to)
	r, err := w.p.Append(ctx, w.script.Source(w.i).Batch(from, to))
	if err != nil {
		w.note(Refused, from, to)
		return err
	}
	w.open <- pending{from, to, r}
	return nil
}

// push now and then offers a batch in a way that is refused, or may be: ahead of the one
// at at, or without time to wait for room. It returns where the source goes on.
func (w *writing) push(ctx context.Context, at int64) (int64, error) {
	to := w.end(at)
	switch at / w.script.BatchRows % 7 {
	case 3:
		if to == w.script.Upto {
			break
		}
		switch err := w.offer(ctx, to, w.end(to)); {
		case err == nil:
			return at, fmt.Errorf("partition %s took a batch that comes after row %d while it was at row %d", Name(w.i), to, at)
		case !errors.Is(err, committed.ErrOutOfOrder):
			return at, err
		}
	case 5:
		hasty, cancel := context.WithCancel(ctx)
		cancel()
		err := w.offer(hasty, at, to)
		switch {
		case err == nil:
			return to, nil
		case !errors.Is(err, context.Canceled) || ctx.Err() != nil:
			return at, err
		}
	}
	return at, nil
}

// wait tells how each batch ends, in their order.
func (w *writing) wait(ctx context.Context) {
	for b := range w.open {
		if b.result.Stored(ctx) == nil {
			w.note(Stored, b.from, b.to)
		}
		if ack, err := b.result.Wait(ctx); err == nil {
			n := Note{Kind: Landed, Partition: Name(w.i), From: b.from, To: b.to, Stream: ack.Stream, Offset: ack.Offset}
			if ack.Rows == 0 {
				n.Stream = "" // its rows are dead: there is no place
			}
			w.tell(n)
		}
	}
}

func (w *writing) note(kind NoteKind, from, to int64) {
	w.tell(Note{Kind: kind, Partition: Name(w.i), From: from, To: to})
}
