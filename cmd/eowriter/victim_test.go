package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// victim is a process that is started again and again. One goroutine at a time may use it.
type victim struct {
	what  string
	make  func() *exec.Cmd
	every time.Duration // mean time between kills
	rand  *rand.Rand
	heard func(line []byte) error // for each line of its standard output; nil: its first line says that it serves

	cmd   *exec.Cmd // nil: none runs
	errs  *bytes.Buffer
	bad   error         // of heard; to be read once ended is closed
	ended chan struct{} // closed when the process has, and all that it said was heard
	err   error         // of the process, likewise
}

func newVictim(t *testing.T, what string, make func() *exec.Cmd, every time.Duration, seed uint64, names ...string) *victim {
	h := fnv.New64a()
	_, _ = h.Write([]byte(what + strings.Join(names, " ")))
	v := &victim{what: what, make: make, every: every, rand: rand.New(rand.NewPCG(seed, h.Sum64()))}
	t.Cleanup(v.kill)
	return v
}

// start starts it, and waits until it serves if it is one that does.
func (v *victim) start() error {
	v.cmd, v.errs = v.make(), &bytes.Buffer{}
	v.cmd.Stderr = v.errs
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := v.cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewReader(out)
	if v.heard == nil {
		if _, err := lines.ReadString('\n'); err != nil {
			return fmt.Errorf("%s doesn't serve: %w: %s", v.what, errors.Join(err, v.cmd.Wait()), v.errs)
		}
	}
	v.ended, v.bad = make(chan struct{}), nil
	go func() {
		defer close(v.ended)
		v.bad = v.listen(lines)
		v.err = v.cmd.Wait()
	}()
	return nil
}

// listen reads the process's output to its end. A last line without an end was cut off by a kill.
func (v *victim) listen(lines *bufio.Reader) error {
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil
		}
		if v.heard == nil {
			continue
		}
		if err := v.heard(line); err != nil {
			_, _ = io.Copy(io.Discard, lines)
			return err
		}
	}
}

// kill ends it with SIGKILL, and returns when it has ended. It may have ended before, or never been started.
func (v *victim) kill() {
	if v.cmd != nil {
		_ = v.cmd.Process.Kill()
		<-v.ended
		v.cmd = nil
	}
}

// end tells it to end, and wants it to end well.
func (v *victim) end() error {
	if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-v.ended
	v.cmd = nil
	if err := errors.Join(v.err, v.bad); err != nil {
		return fmt.Errorf("%s: %w: %s", v.what, err, v.errs)
	}
	return nil
}

// next is when to kill it.
func (v *victim) next() <-chan time.Time {
	return time.After(time.Duration(float64(v.every) * v.rand.ExpFloat64()))
}

// keep has a server run, killed at random, and started again. When nothing is to be killed any more it is started once more,
// and runs until all is filled and beyond. after is called after each kill.
func (v *victim) keep(ctx context.Context, s *siege, after func() error) error {
	for last := false; ; {
		if err := v.start(); err != nil {
			return err
		}
		var kill <-chan time.Time
		over, filled := s.over, (<-chan struct{})(nil)
		if last {
			over, filled = nil, s.filled
		} else {
			kill = v.next()
		}
		select {
		case <-kill:
		case <-over:
			last = true
		case <-filled:
			return nil
		case <-v.ended:
			return fmt.Errorf("%s has ended: %w: %s", v.what, v.err, v.errs)
		case <-ctx.Done():
			return ctx.Err()
		}
		s.count(v.what + " killed")
		v.kill()
		if after != nil {
			if err := after(); err != nil {
				return err
			}
		}
	}
}

// finish has it run, killed at random and started again, until it has ended with success.
func (v *victim) finish(ctx context.Context, s *siege) error {
	for {
		if err := v.start(); err != nil {
			return err
		}
		var kill <-chan time.Time
		if !s.isOver() {
			kill = v.next()
		}
		select {
		case <-v.ended:
			v.cmd = nil
			if err := errors.Join(v.err, v.bad); err != nil {
				return fmt.Errorf("%s has ended: %w: %s", v.what, err, v.errs)
			}
			return nil
		case <-kill:
			s.count(v.what + " killed")
			if v.kill(); v.bad != nil {
				return v.bad
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
