// Package load writes files of newline-delimited JSON into a table, each row exactly once.
//
// Run is all there is to call. It makes a partition of every file, named by the file's base name, and asks the ledger
// how far each of them got in an earlier run. Before anything is sent, every file that the ledger knows is read up to
// there and must still have the bytes that were loaded (resume.go). Then several files at a time are read, encoded and
// appended batch by batch (file.go); a batch that was bound and has not landed before the last run ended is read again
// when the writer asks for it (replay.go). When the table's schema changes, the files follow it (package lines). Rows that are
// refused become dead letters if they may, and are delivered while files are loaded and at the end (deliver.go).
//
// DryRun encodes the files and sends nothing.
//
// Regular files are replayable partitions: the ledger holds positions, no rows. Standard input is a frozen one.
package load

import (
	"context"
	"errors"
	"io"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/deadletter"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/lines"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/rowform"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"golang.org/x/sync/errgroup"
	"google.golang.org/api/option"
)

// Options say what to load, and how. The zero value of a field that says nothing of it is not allowed.
type Options struct {
	Table  string   // projects/P/datasets/D/tables/T
	Ledger string   // path of the ledger, made if there is none
	Files  []string // paths, or source.Stdin
	Prefix string   // before each file's base name, for the partition's name; may be empty

	Schema          *storagepb.TableSchema // of the table; nil: as the service has it
	rowform.Choices                        // how lines become rows

	MaxDead     Limit  // rows of a file that may become dead letters, over all runs; none: a bad row stops the load
	DeadLetters string // where dead letters are delivered: a file, or a table; neither: they stay in the ledger
	DeadTable   string // projects/P/datasets/D/tables/T

	BatchRows  int // at most so many rows in a batch
	BatchBytes int // and at most so many bytes of encoded rows, unless it has one row
	Window     int // open batches of a partition
	Parallel   int // files at a time

	ClientOptions []option.ClientOption // reach the service; nil: BigQuery's
	Progress      Progress              // is told how it goes; may be zero

	// Of tests.
	contact time.Duration                // how long to try to reach the service at first; 0: 30 s
	deliver time.Duration                // how often letters are looked for while files are loaded; 0: 1 s
	step    func(step string, done bool) // is told of every step of a batch and of a letter; nil: nobody is
}

// ErrInterrupted says that the context ended before everything was read. What was read has landed.
var ErrInterrupted = errors.New("interrupted")

// ErrUsage says that Options contradict each other.
var ErrUsage = errors.New("bad arguments")

// Run loads the files. When ctx ends it stops reading, lets what was read land, and returns ErrInterrupted. An error of
// one file stops the others in the same way. The report is right also with an error.
func Run(ctx context.Context, opt Options) (Report, error) {
	started := time.Now()
	l := &loader{opt: opt, encodings: newEncodings(&opt)}
	l.display = newDisplay(opt.Progress, &l.counts)
	err := l.run(ctx)
	report := l.counts.report(time.Since(started))
	report.LettersWaiting = l.waiting
	report.FieldsIgnored = l.encodings.Ignored()
	if l.delivery != nil {
		report.LettersDelivered = l.delivery.Delivered()
	}
	if err == nil {
		err = report.balance()
	}
	return report, err
}

// loader is one call of Run.
type loader struct {
	opt       Options
	led       *ledger.Ledger
	w         *committed.Writer
	encodings *lines.Encodings
	counts    counts
	display   *display

	letters  io.Closer // where they are delivered; nil: nowhere, or not yet
	delivery *deadletter.Delivery
	waiting  int64 // letters in the ledger at the end
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
	defer func() { err = errors.Join(err, l.countWaiting()) }()
	if err := l.openFile(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.closeLetters()) }()

	defer l.display.start(ctx, inputs)()
	left, err := l.resume(ctx, inputs)
	if err == nil {
		err = l.finish(ctx, left)
	}
	return interrupted(ctx, err)
}

// interrupted is err, or ErrInterrupted if that is all that is wrong.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return ErrInterrupted
	}
	return err
}

// finish loads what is left and delivers the dead letters. Without either it needs no service.
func (l *loader) finish(ctx context.Context, left []*input) (err error) {
	waiting, err := deadletter.Waiting(l.led)
	if err != nil {
		return err
	}
	if len(left) == 0 && (l.opt.DeadTable == "" || waiting == 0) {
		return l.deliverAll(ctx)
	}
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
	if err := l.openTable(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.closeLetters()) }()
	if len(left) == 0 {
		return l.deliverAll(ctx)
	}
	if err := l.first(ctx); err != nil {
		return err
	}
	return l.load(ctx, left)
}

// load loads what is left of the files. When it returns, all letters have been delivered, or that has failed.
func (l *loader) load(ctx context.Context, left []*input) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	delivered := l.deliver(context.WithoutCancel(ctx), stop)
	err := l.each(left, func(in *input) error {
		if reading.Err() != nil {
			return nil
		}
		err := l.loadFile(reading, in)
		if err != nil {
			stop()
		}
		return err
	})
	return errors.Join(err, delivered())
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
