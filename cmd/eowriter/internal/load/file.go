package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// loadFile loads what is left of one file. When reading ends, or the file has a row that can't be loaded, everything
// before has landed on return; only a partition that stopped leaves something open.
func (l *loader) loadFile(reading context.Context, in *input) error {
	replay := newReplay(l, in)
	defer replay.close()
	defer in.close()
	p, err := l.open(reading, in, replay)
	if err != nil {
		return given(reading, err)
	}
	whole, err := l.appendAll(reading, p, in)
	// What was read lands, whatever happens to the reading.
	landing := context.WithoutCancel(reading)
	drained := p.Drain(landing)
	if drained != nil && !errors.Is(err, drained) {
		err = errors.Join(err, drained)
	}
	if closed := p.Close(landing); err == nil {
		err = closed
	}
	if whole && err == nil {
		l.display.file("%s: landed, %d rows", source.Name(in.path), in.file.Position().Rows)
	}
	return err
}

// given is err, or nil if it comes from reading having ended.
func given(reading context.Context, err error) error {
	if reading.Err() != nil && (errors.Is(err, reading.Err()) || status.Code(err) == codes.Canceled) {
		return nil
	}
	return err
}

func (l *loader) open(ctx context.Context, in *input, replay *replay) (*committed.Partition, error) {
	if in.file == nil {
		f, err := source.Open(in.path, &l.counts.consumed)
		if err != nil {
			return nil, err
		}
		in.file = f
	}
	cfg := committed.PartitionConfig{
		Table: in.key.Table, Name: in.key.Name, Schema: l.schema, Encoder: rows.Version,
	}
	if in.replayable() {
		cfg.Replay = replay.rows
	}
	l.counts.inFlight.Add(int64(in.open))
	p, err := l.w.Partition(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(p.Position(), in.position) {
		return nil, errors.Join(fmt.Errorf("%s: the partition moved while the file was verified: start again", source.Name(in.path)),
			p.Close(context.WithoutCancel(ctx)))
	}
	return p, nil
}

// appendAll reads batches and appends them (B1) until the file or reading ends; whole says that it was the file.
func (l *loader) appendAll(reading context.Context, p *committed.Partition, in *input) (whole bool, err error) {
	b := new(arena) // Append copies the rows
	position := in.position
	for reading.Err() == nil {
		b.reset()
		end := b.fill(in.file, l.enc, l.opt.BatchRows, l.opt.BatchBytes)
		if len(b.rows) > 0 {
			next := in.file.Position().Token()
			_, err := p.Append(reading, committed.Batch{
				After: position, Position: next, Rows: b.rows, Digest: b.digest(),
			})
			if err != nil {
				return false, given(reading, tooLarge(in, len(b.rows), err))
			}
			l.counts.accepted(b)
			position = next
		}
		if end == io.EOF {
			return true, nil
		}
		if end != nil {
			return false, end
		}
	}
	return false, nil
}

// tooLarge adds to such an error where the rows are.
func tooLarge(in *input, n int, err error) error {
	if !errors.Is(err, committed.ErrTooLarge) {
		return err
	}
	return fmt.Errorf("%s: %d rows up to line %d: %w", source.Name(in.path), n, in.file.Position().Lines, err)
}
