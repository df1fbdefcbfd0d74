package tail

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/source"
	"github.com/eowriter/eowriter/committed"
)

// read reads one batch and appends it, and says whether there may be more to read now.
func (s *session) read() (more bool, err error) {
	f := s.f
	opt := &f.t.opt.Ingest
	room, freed := f.t.in.Take(&f.share, min(opt.BatchBytes, opt.PartitionBytes))
	if s.freed = freed; room == nil {
		return false, nil
	}
	var work *bench
	select {
	case work = <-f.t.benches:
		defer func() { f.t.benches <- work }()
	case <-f.t.ctx.Done():
		room.Release()
		return false, errStopping
	}
	if err := s.encoding.Follow(); err != nil {
		room.Release()
		return false, err
	}
	b := &work.batch
	b.Restart()
	encoding := s.encoding.Encoding()
	p, memory, end := f.log.Fill(work.memory, func(src lines.Source) error {
		return b.Fill(src, encoding.Enc, opt.BatchRows, int(opt.BatchBytes), func(refused error) bool { return s.bury(src, refused) })
	})
	work.memory = memory
	if b.Input() > 0 && p.Offset > 0 {
		if err := s.append(b, encoding, p, room); err != nil {
			room.Release()
			return false, err
		}
	} else {
		room.Release()
	}
	return s.ended(end)
}

// ended makes of the end of a batch whether there is more to read.
func (s *session) ended(end error) (more bool, err error) {
	var bad *lines.BadLine
	switch {
	case end == nil || errors.Is(end, errAgain):
		return true, nil
	case end == io.EOF:
		return false, nil
	case errors.As(end, &bad) && s.encoding.Doubting():
		return true, s.encoding.Ask(s.f.t.ctx, bad.Err)
	case bad != nil:
		return false, fmt.Errorf("%w (the rows before it land: allow dead letters with --max-dead-letters, or mend the table)", end)
	}
	return false, end
}

// bury says whether a refused line becomes a dead row now.
func (s *session) bury(src lines.Source, refused error) bool {
	if s.encoding.Doubted(refused) || s.f.none() {
		return false
	}
	s.last = &lines.BadLine{Where: src.Where(), Err: refused}
	return true
}

func (s *session) append(b *lines.Batch, encoding *lines.Encoding, p source.LogPosition, room *ingest.Room) error {
	f := s.f
	token := p.Token()
	r, err := s.cp.Append(f.t.ctx, committed.Batch{
		After: s.position, Position: token, Rows: b.Rows(), Dead: b.Dead(), Digest: b.Digest(), Schema: encoding.Schema,
	})
	switch {
	case errors.Is(err, committed.ErrTooManyDead) && s.last != nil:
		return fmt.Errorf("%w: mend the table, or raise --max-dead-letters; the last: %w", err, s.last)
	case err != nil:
		return err
	}
	s.encoding.Accepted()
	room.Shrink(b.Size())
	s.position = token
	s.open = append(s.open, batch{result: r, after: p, room: room, bytes: b.Size(), since: time.Now()})
	f.mu.Lock()
	f.position = p
	f.mu.Unlock()
	s.tell()
	f.t.count(func(c *Counts) { c.Rows += int64(b.Input()); c.Bytes += b.Size() })
	return nil
}
