package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/plural"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// file is one input on its way into its partition. Its methods are called from one goroutine, but for what says otherwise.
type file struct {
	l  *loader
	in *input
	p  *committed.Partition

	encoding *lines.Follower
	refused  int64         // letters and dead rows that the ledger has, and the encoder's of this run
	dead     *atomic.Int64 // letters
	last     error         // the newest line that became a dead row
}

// loadFile loads what is left of one file. When reading ends, or the file has a row that can't be loaded, everything
// before has landed on return; only a partition that stopped leaves something open.
func (l *loader) loadFile(reading context.Context, in *input) error {
	f := &file{l: l, in: in, refused: in.dead, dead: l.counts.letters(in.key.Name, in.letters)}
	replay := newReplay(f)
	defer replay.close()
	defer in.close()
	if err := f.open(reading, replay); err != nil {
		return given(reading, err)
	}
	whole, err := f.appendAll(reading)
	// What was read lands, whatever happens to the reading.
	landing := context.WithoutCancel(reading)
	drained := f.p.Drain(landing)
	if drained != nil && !errors.Is(err, drained) {
		err = errors.Join(err, drained)
	}
	if closed := f.p.Close(landing); err == nil {
		err = closed
	}
	if err == nil {
		err = f.tooMany() // of those in flight some may have been refused at last
	}
	if whole && err == nil {
		l.display.file("%s: landed, %s%s", source.Name(in.path), plural.Rows(in.file.Position().Rows), deadText(f.dead.Load()))
	}
	return err
}

// deadText says how many of a file's rows are dead letters, if any.
func deadText(dead int64) string {
	if dead == 0 {
		return ""
	}
	return ", " + plural.Of(dead, "of them is a dead letter", "of them are dead letters")
}

// given is err, or nil if it comes from reading having ended.
func given(reading context.Context, err error) error {
	if reading.Err() != nil && (errors.Is(err, reading.Err()) || status.Code(err) == codes.Canceled) {
		return nil
	}
	return err
}

func (f *file) open(ctx context.Context, replay *replay) error {
	in := f.in
	if in.file == nil {
		opened, err := source.Open(in.path, &f.l.counts.consumed)
		if err != nil {
			return err
		}
		in.file = opened
	}
	encoding := f.l.encodings.Newest()
	cfg := committed.PartitionConfig{
		Table: in.key.Table, Name: in.key.Name, Schema: encoding.Schema, Encoder: f.l.opt.encoder(), MaxDead: f.l.opt.MaxDead.most(),
		DefaultValues: f.l.opt.DefaultValues,
	}
	if in.replayable() {
		cfg.Replay = replay.rows
	}
	f.l.counts.inFlight.Add(int64(in.open))
	p, err := f.l.w.Partition(ctx, cfg)
	if err != nil {
		return err
	}
	if !bytes.Equal(p.Position(), in.position) {
		return errors.Join(fmt.Errorf("%s: the partition moved while the file was verified: start again", source.Name(in.path)),
			p.Close(context.WithoutCancel(ctx)))
	}
	f.p = p
	f.encoding = f.l.encodings.Follow(p, encoding, f.l.opt.MaxDead.None(), func() {
		f.l.display.say("%s: the table's schema has changed; rows from line %d on are encoded for it", source.Name(in.path), in.file.Line())
	})
	return nil
}

// appendAll reads batches and appends them (B1) until the file or reading ends; whole says that it was the file.
func (f *file) appendAll(reading context.Context) (whole bool, err error) {
	b := new(lines.Batch) // Append copies the rows
	position := f.in.position
	for reading.Err() == nil {
		if err := f.encoding.Follow(); err != nil {
			return false, err
		}
		b.Reset()
		encoding := f.encoding.Encoding()
		end := b.Fill(f.in.file, encoding.Enc, f.l.opt.BatchRows, f.l.opt.BatchBytes, f.bury)
		if b.Input() > 0 {
			f.refused += int64(len(b.Dead()))
			if err := f.tooMany(); err != nil {
				return false, err
			}
			at := f.in.file.Position()
			next := at.Token()
			_, err := f.p.Append(reading, committed.Batch{
				After: position, Position: next, Rows: b.Rows(), Dead: b.Dead(), Digest: b.Digest(), Schema: encoding.Schema,
			})
			if err != nil {
				return false, given(reading, f.explain(b, err))
			}
			f.l.counts.accepted(b)
			f.encoding.Accepted()
			position = next
		}
		var bad *lines.BadLine
		switch {
		case end == io.EOF:
			return true, nil
		case errors.As(end, &bad) && f.encoding.Doubting():
			if err := f.encoding.Ask(reading, bad.Err); err != nil {
				return false, given(reading, err)
			}
		case end != nil:
			return false, stopped(end)
		}
	}
	return false, nil
}

// stopped adds to the error of a line that stops the load what to do.
func stopped(err error) error {
	var bad *lines.BadLine
	if !errors.As(err, &bad) {
		return err
	}
	return fmt.Errorf("%w (the rows before it have landed: mend the line and start again, or see --dead-letters)", err)
}

// bury says whether a line that the encoder refused becomes a dead row now.
func (f *file) bury(refused error) bool {
	if f.encoding.Doubted(refused) || f.l.opt.MaxDead.None() {
		return false
	}
	f.last = &lines.BadLine{Where: f.in.file.Where(), Err: refused}
	return true
}

// tooMany says that more rows were refused than may be, or nil. A count is the ledger's too, which looks before a row
// becomes a letter; a share is looked at here, when batches behind those rows may be in flight already.
func (f *file) tooMany() error {
	limit := f.l.opt.MaxDead
	rows := f.in.file.Position().Rows
	n, allowed := max(f.refused, f.dead.Load()), limit.Allowed(rows)
	if limit.None() || n <= allowed {
		return nil
	}
	err := fmt.Errorf("%s: %d of %d rows refused, %s allowed: mend the data or the table, or raise --max-dead-letters, and start again; nothing is lost",
		source.Name(f.in.path), n, rows, limit.String())
	if f.last != nil {
		err = fmt.Errorf("%w; the last: %w", err, f.last)
	}
	return err
}

// explain adds to an error of Append where the rows are.
func (f *file) explain(b *lines.Batch, err error) error {
	switch {
	case errors.Is(err, committed.ErrTooLarge):
		return fmt.Errorf("%s: %s up to line %d: %w", source.Name(f.in.path), plural.Rows(b.Input()), f.in.file.Position().Lines, err)
	case errors.Is(err, committed.ErrTooManyDead) && f.last != nil:
		return fmt.Errorf("%s: %w: mend the data or the table, or raise --max-dead-letters, and start again; the last: %w",
			source.Name(f.in.path), err, f.last)
	}
	return err
}
