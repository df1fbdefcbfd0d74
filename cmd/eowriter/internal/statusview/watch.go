package statusview

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

// every is how often a sidecar is asked that is watched.
const every = time.Second

// Screen is where views are shown.
type Screen struct {
	Out    io.Writer
	Colors bool
	Size   func() (width, height int) // of the terminal; nil: there is none
}

var codes = map[Color]string{Title: "\x1b[1m", Bad: "\x1b[1;31m", Warn: "\x1b[33m"}

// line is a line as it is written.
func (s *Screen) line(l Line, width int) string {
	text := cut(l.Text, width)
	if code := codes[l.Color]; s.Colors && code != "" && text != "" {
		return code + text + "\x1b[0m"
	}
	return text
}

// Print writes lines, cut to the terminal's width, if there is one.
func (s *Screen) Print(lines []Line) error {
	width := 0
	if s.Size != nil {
		width, _ = s.Size()
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(s.line(l, width) + "\n")
	}
	return s.write(b.String())
}

// draw puts lines onto the terminal, in place of what was there, as far as they fit.
func (s *Screen) draw(lines []Line) error {
	width, height := s.Size()
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, l := range lines {
		if i == height-1 {
			break // a line break in the last line would scroll
		}
		b.WriteString(s.line(l, width) + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	return s.write(b.String())
}

func (s *Screen) write(text string) error {
	_, err := io.WriteString(s.Out, text)
	return err
}

// Each asks each second until ctx ends, also across restarts of the sidecar, and calls show with what it learnt, or why it learnt
// nothing. It returns the first error of show, or one that makes asking again no use.
func (c *Client) Each(ctx context.Context, q Query, show func(*View, error) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		v, err := c.Ask(ctx, q)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && final(err):
			return err
		}
		if err := show(v, err); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Watch shows how a sidecar does until ctx ends. A terminal is cleared for each view, and has what it had before afterwards; on
// anything else views follow each other. It returns an error if asking is no use, or nothing can be written.
func (s *Screen) Watch(ctx context.Context, c *Client, q Query) error {
	w := watcher{screen: s}
	if s.Size != nil {
		if err := s.write("\x1b[?1049h\x1b[?25l"); err != nil { // the other screen, without a cursor
			return err
		}
		defer func() { _ = s.write("\x1b[?25h\x1b[?1049l") }()
	}
	return c.Each(ctx, q, func(v *View, err error) error { return w.show(v, err, time.Now()) })
}

// watcher remembers what was shown.
type watcher struct {
	screen *Screen
	last   *View     // the newest; nil: there was none
	lost   time.Time // when the sidecar stopped answering; zero: it answers
	note   Line      // what happened last
}

// show shows a view, or that there is none.
func (w *watcher) show(v *View, err error, now time.Time) error {
	began := false
	switch {
	case err != nil:
		if began = w.lost.IsZero(); began {
			w.lost = now
		}
		w.note = Line{escape(fmt.Sprintf("since %s: %v; it is tried again each second", w.lost.Format(time.TimeOnly), err)), Bad}
	case w.last != nil && !w.last.Status.GetStarted().AsTime().Equal(v.Status.GetStarted().AsTime()):
		w.note = Line{"the sidecar was started anew at " + v.Status.GetStarted().AsTime().Local().Format(time.TimeOnly), Warn}
	case !w.lost.IsZero():
		w.note = Line{"reached again at " + now.Format(time.TimeOnly), Warn}
	}
	if err == nil {
		w.last, w.lost = v, time.Time{}
	}
	var lines []Line
	if w.note.Text != "" {
		lines = append(lines, w.note)
	}
	if w.screen.Size == nil {
		if err != nil {
			if began {
				return w.screen.Print(append(lines, Line{}))
			}
			return nil // it has been said
		}
		w.note = Line{}
		return w.screen.Print(append(append(lines, v.Lines()...), Line{}))
	}
	if w.last != nil {
		lines = append(lines, w.last.Lines()...)
	}
	return w.screen.draw(lines)
}
