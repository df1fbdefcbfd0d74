// Package load writes files of newline-delimited JSON into a table, each row exactly once.
//
// Run is all there is to call. It makes a partition of every file, named by the file's base name, and asks the ledger
// how far each of them got in an earlier run. Before anything is sent, every file that the ledger knows is read up to
// there and must still have the bytes that were loaded (resume.go). Then several files at a time are read, encoded and
// appended batch by batch (file.go); a batch that was bound and has not landed before the last run ended is read again
// when the writer asks for it (replay.go).
//
// Regular files are replayable partitions: the ledger holds positions, no rows. Standard input is a frozen one.
package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/committed/rows"
	"github.com/eowriter/eowriter/ledger"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/option"
)

// Options say what to load, and how. All fields but Prefix and Progress are required.
type Options struct {
	Table  string   // projects/P/datasets/D/tables/T
	Ledger string   // path of the ledger, made if there is none
	Files  []string // paths, or source.Stdin
	Prefix string   // before each file's base name, for the partition's name

	BatchRows  int // at most so many rows in a batch
	BatchBytes int // and at most so many bytes of encoded rows, unless it has one row
	Window     int // open batches of a partition
	Parallel   int // files at a time

	ClientOptions []option.ClientOption // reach the service
	Progress      Progress              // is told how it goes

	contact time.Duration // how long to try to reach the service at first; 0: 30 s
}

// ErrInterrupted says that the context ended before everything was read. What was read has landed.
var ErrInterrupted = errors.New("interrupted")

// ErrUsage says that Options contradict each other.
var ErrUsage = errors.New("bad arguments")

// Run loads the files. When ctx ends it stops reading, lets what was read land, and returns ErrInterrupted. An error of
// one file stops the others in the same way. The report is right also with an error.
func Run(ctx context.Context, opt Options) (Report, error) {
	started := time.Now()
	l := &loader{opt: opt}
	l.display = newDisplay(opt.Progress, &l.counts)
	err := l.run(ctx)
	return l.counts.report(time.Since(started)), err
}

// loader is one call of Run.
type loader struct {
	opt    Options
	led    *ledger.Ledger
	w      *committed.Writer
	schema *committed.Schema
	enc    *rows.Encoder
	counts counts

	display *display
}

func (l *loader) run(ctx context.Context) (err error) {
	inputs, err := plan(l.opt)
	if err != nil {
		return err
	}
	defer closeAll(inputs)
	if l.led, err = ledger.Open(l.opt.Ledger, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.led.Close()) }()

	defer l.display.start(ctx, inputs)()
	left, err := l.resume(ctx, inputs)
	if err != nil || len(left) == 0 {
		return interrupted(ctx, err)
	}
	return interrupted(ctx, l.load(ctx, left))
}

// interrupted is err, or ErrInterrupted if that is all that is wrong.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return ErrInterrupted
	}
	return err
}

// load opens the writer and loads what is left of the files.
func (l *loader) load(ctx context.Context, left []*input) (err error) {
	l.w, err = committed.Open(ctx, l.led, committed.Options{
		ClientOptions:  l.opt.ClientOptions,
		WindowRequests: l.opt.Window,
		Events:         l.events(),
	})
	if err != nil {
		return err
	}
	// Every partition was drained or has stopped before: nothing to wait for.
	defer func() { err = errors.Join(err, l.w.Close(context.WithoutCancel(ctx))) }()
	if err := l.compile(ctx); err != nil {
		return err
	}

	reading, stop := context.WithCancel(ctx)
	defer stop()
	return l.each(left, func(in *input) error {
		if reading.Err() != nil {
			return nil
		}
		err := l.loadFile(reading, in)
		if err != nil {
			stop()
		}
		return err
	})
}

// compile gets the table's schema. It is the first call to the service: when that fails for long, it is more likely that
// the endpoint is wrong than that the service is down, and nothing is open yet that would have to be waited for.
func (l *loader) compile(ctx context.Context) (err error) {
	contact, cancel := context.WithTimeout(ctx, cmp.Or(l.opt.contact, 30*time.Second))
	defer cancel()
	if l.schema, err = l.w.TableSchema(contact, l.opt.Table); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	if l.enc, err = rows.Compile(l.schema.Table()); err != nil {
		return fmt.Errorf("table %s: %w", l.opt.Table, err)
	}
	// The rows go by the encoder's own descriptor.
	l.schema, err = committed.NewSchema(l.opt.Table, l.schema.Table(), l.enc.Descriptor())
	return err
}

// each calls f for all inputs, some at a time and in their order, and returns all errors.
func (l *loader) each(inputs []*input, f func(*input) error) error {
	var g errgroup.Group
	g.SetLimit(l.opt.Parallel)
	errs := make([]error, len(inputs))
	for i, in := range inputs {
		g.Go(func() error {
			errs[i] = f(in)
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs: one a file
	return errors.Join(errs...)
}
