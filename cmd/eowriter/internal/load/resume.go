package load

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/ledger"
)

// resume verifies every file that the ledger knows and returns those with something left to do, which are at their
// position then. All files are looked at before it returns, so that nothing is sent if one has changed.
func (l *loader) resume(ctx context.Context, inputs []*input) ([]*input, error) {
	if err := l.each(inputs, func(in *input) error { return l.verify(ctx, in) }); err != nil {
		return nil, err
	}
	var left []*input
	for _, in := range inputs {
		if in.position == nil || in.file != nil {
			left = append(left, in)
		}
	}
	return left, nil
}

// verify brings a file that the ledger knows to its position, and closes it if nothing is left to do. A file that the
// ledger doesn't know is not opened.
func (l *loader) verify(ctx context.Context, in *input) error {
	part, open, err := l.led.Partition(in.key)
	if errors.Is(err, ledger.ErrNoPartition) {
		return nil
	}
	if err != nil {
		return err
	}
	acked, err := l.position(in, part.Position)
	if err != nil {
		return err
	}
	reached := acked
	in.position, in.open = part.Position, len(open)
	in.letters, in.dead = part.Dead, part.Dead
	for i := range open {
		in.dead += int64(len(open[i].Dead))
	}
	if len(open) > 0 {
		in.position = open[len(open)-1].After
		if reached, err = l.position(in, in.position); err != nil {
			return err
		}
	}
	if in.position == nil {
		return nil // a stream was made, and nothing more
	}
	if in.file, err = source.Open(in.path, &l.counts.consumed); err != nil {
		return err
	}
	if err := in.file.Skip(ctx, reached); err != nil {
		if errors.Is(err, source.ErrChanged) {
			return fmt.Errorf("%w; nothing was sent: give the file as it was, or load this one with another --partition-prefix or ledger", err)
		}
		return err
	}
	l.counts.read.Add(reached.Rows)
	l.counts.confirmed.Add(acked.Rows)
	if len(open) > 0 {
		return nil
	}
	switch _, err := in.file.Peek(); {
	case err == io.EOF:
		in.close()
		l.display.file("%s: nothing to do, its %s landed%s", source.Name(in.path), plural.Of(acked.Rows, "row has", "rows have"), deadText(part.Dead))
	case err != nil:
		return err
	}
	return nil
}

func (l *loader) position(in *input, token []byte) (source.Position, error) {
	p, err := source.ParsePosition(token)
	if err != nil {
		return p, fmt.Errorf("partition %q of the ledger was not made by this version of load: %w: use another --partition-prefix or ledger",
			in.key.Name, err)
	}
	return p, nil
}
