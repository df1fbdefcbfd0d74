package source

import (
	"fmt"
	"io"
)

// Replayer reads lines between two positions of a file again. Ranges that come in ascending order cost one pass over
// the file. The zero value is not usable: see NewReplayer.
type Replayer struct {
	path   string
	stream *stream // nil until the first range
	at     int64   // stream's offset
}

// NewReplayer returns a Replayer for a regular file. It opens the file when it is needed.
func NewReplayer(path string) *Replayer { return &Replayer{path: path} }

// Close closes the file, if it is open. The Replayer may be used again.
func (r *Replayer) Close() {
	if r.stream != nil {
		r.stream.close()
		r.stream = nil
	}
}

// Lines calls row for every line between two positions that isn't blank, in order, with its number. The line is valid
// during the call. An error of row ends it and is returned.
func (r *Replayer) Lines(before, after Position, row func(line []byte, number int64) error) error {
	if r.stream == nil || r.at > before.Offset {
		r.Close()
		s, err := openStream(r.path, nil)
		if err != nil {
			return err
		}
		r.stream, r.at = s, 0
	}
	if r.at < before.Offset {
		if err := r.stream.jump(r.at, before.Offset); err != nil {
			r.Close()
			return err
		}
		r.at = before.Offset
	}
	if err := r.read(before.Lines, after, row); err != nil {
		r.Close()
		return err
	}
	return nil
}

func (r *Replayer) read(lines int64, after Position, row func([]byte, int64) error) error {
	for r.at < after.Offset {
		lines++
		line, err := r.stream.line(lines)
		switch {
		case err == io.EOF:
			return fmt.Errorf("%s is %w: it ends after %d bytes, but %d were bound to the stream",
				Name(r.path), ErrChanged, r.at, after.Offset)
		case err != nil:
			return err
		}
		// A last line without a newline may have got one since: it belongs to what comes after.
		over := r.at + int64(len(line)) - after.Offset
		if over > 0 && after.Cut && blank(line[int64(len(line))-over:]) {
			r.at += int64(len(line))
			line = line[:int64(len(line))-over]
		} else if over > 0 {
			return fmt.Errorf("%s is %w: line %d doesn't end where it did", Name(r.path), ErrChanged, lines)
		} else {
			r.at += int64(len(line))
		}
		if blank(line) {
			continue
		}
		if err := row(line, lines); err != nil {
			return err
		}
	}
	return nil
}
