package ingest

import (
	"context"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
)

// Pending is an append that was accepted, now or before. Safe for concurrent use.
type Pending struct {
	p         *partition
	entry     *entry // nil: it has landed
	position  []byte // if entry is nil
	total     int    // rows of the request
	rows      int64  // of those that land; -1: all
	duplicate bool
}

// Wait waits until the append is stored, or has landed, as ack says. ctx bounds the wait only: the append goes on. The
// error is an *Error or ctx's cause.
func (w *Pending) Wait(ctx context.Context, ack eowriterv1.Acknowledge) (*eowriterv1.AppendResponse, error) {
	e := w.entry
	if e == nil {
		return w.response(w.position, eowriterv1.Acknowledge_ACKNOWLEDGE_LANDED), nil
	}
	if ack == eowriterv1.Acknowledge_ACKNOWLEDGE_STORED {
		if e.stored {
			return w.response(e.after, ack), nil
		}
		if err := await(ctx, e.offered); err != nil {
			return nil, err
		}
		if e.result == nil {
			return nil, e.err
		}
		if err := e.result.Stored(ctx); err == nil {
			return w.response(e.after, ack), nil
		}
	}
	if err := await(ctx, e.done); err != nil {
		return nil, err
	}
	if e.err != nil {
		return nil, e.err
	}
	return w.response(e.after, eowriterv1.Acknowledge_ACKNOWLEDGE_LANDED), nil
}

// await waits for what c says. When that is known already, it doesn't matter that ctx has ended.
func await(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	default:
	}
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return gaveUp(ctx)
	}
}

func (w *Pending) response(position []byte, ack eowriterv1.Acknowledge) *eowriterv1.AppendResponse {
	rows := w.rows
	if rows < 0 {
		rows = int64(w.total)
	}
	return &eowriterv1.AppendResponse{
		Position: string(position), Duplicate: w.duplicate, Acknowledged: ack,
		Rows: int32(rows), DeadRows: int32(int64(w.total) - rows), AtLeastOnce: position == nil,
	}
}
