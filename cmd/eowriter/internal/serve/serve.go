package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/guard"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/tail"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/telemetry"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
)

// Options say what to serve, and where.
type Options struct {
	Ledger        string
	ClientOptions []option.ClientOption // reach the service

	Socket      string       // path of the Unix socket; "": none
	Listen      string       // HOST:PORT; "": none
	AdminListen string       // HOST:PORT for operators' routes; "": Listen has them
	Guard       *guard.Guard // asks who comes by a port; what isn't on loopback needs a strict one

	MaxConnections int // of each listener
	MaxRequests    int // of each listener, at the same time

	Pprof bool // with operators' routes, where only who is on this machine can come by

	Tail        tail.Options // its Ingest and Log are set from those here
	DeadLetters string       // where dead letters are delivered: a file, or a table; neither: they stay in the ledger
	DeadTable   string       // projects/P/datasets/D/tables/T

	Ingest        ingest.Options
	StreamAppends int // of one AppendStream that may be unanswered
	Connections   int // to the service at the same time; partitions take turns with them

	ContactTimeout time.Duration // for the service to be reached at the start; 0: it isn't tried
	DrainTimeout   time.Duration // for what was accepted to land at the end

	Collector string // URL of an OpenTelemetry collector for metrics and traces, OTLP over HTTP; "": none

	Ready func(addresses []string) // called when requests are taken
	Log   *slog.Logger

	step func(step string) // of tests: is told when a step of a letter is done; nil: nobody is
}

// Run serves until ctx ends, and then drains. It returns an error if it can't start or go on: then nothing that was
// acknowledged is lost, and the next start goes on.
func Run(ctx context.Context, opt Options) (err error) {
	tel, err := telemetry.New(ctx, telemetry.Options{Endpoint: opt.Collector, Log: opt.Log})
	if err != nil {
		return err
	}
	defer func() {
		if err := tel.Close(context.WithoutCancel(ctx)); err != nil {
			opt.Log.Warn("the last metrics or traces are lost", "error", err) // no reason to fail
		}
	}()
	commits := &commits{}
	led, err := ledger.Open(opt.Ledger, &ledger.Options{Committed: func(c ledger.Commit) {
		tel.Committed(c)
		commits.note(c)
	}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, led.Close()) }()
	letters := newLetters(led, &opt)
	w, err := committed.Open(ctx, led, committed.Options{
		ClientOptions: opt.ClientOptions, MaxConnections: opt.Connections, Events: letters.events(tel.Writer()),
	})
	if err != nil {
		return fmt.Errorf("open the writer: %w", err)
	}
	// The partitions are closed by then: nothing to wait for.
	defer func() { err = errors.Join(err, w.Close(context.WithoutCancel(ctx))) }()
	if err := letters.open(w); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, letters.close()) }()
	if err := contact(ctx, led, w, opt.ContactTimeout); err != nil {
		return err
	}
	return (&sidecar{&opt, tel, led, commits, letters, w}).serve(ctx)
}

// nowhere is a table that there isn't: the service is reached when it says so.
const nowhere = "projects/eowriter/datasets/eowriter/tables/contact"

// contact finds out whether the service can be reached: when it can't at the start, it is more likely that the endpoint or
// the credentials are wrong than that it is down.
func contact(ctx context.Context, led *ledger.Ledger, w *committed.Writer, timeout time.Duration) error {
	if timeout <= 0 {
		return nil
	}
	table := nowhere
	known, err := led.Partitions()
	if err != nil {
		return err
	}
	if len(known) > 0 {
		table = known[0].Key.Table
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err = w.TableSchema(ctx, table)
	answer := retry.FromError(err, nil)
	switch {
	case err == nil:
		return nil
	case answer.Code == codes.Unauthenticated:
		return fmt.Errorf("the service does not take the credentials: %w", err)
	case ctx.Err() != nil || answer.Class == retry.Transient:
		return fmt.Errorf("the service is not reached within %v (--contact-timeout 0 serves all the same): %w", timeout, err)
	}
	return nil // it has answered; whether there is such a table is not the question
}

// sidecar is what serves, once the ledger and the writer are open.
type sidecar struct {
	opt     *Options
	tel     *telemetry.Telemetry
	led     *ledger.Ledger
	commits *commits
	letters *letters
	w       *committed.Writer
}

// serve has the doors open while the sidecar works.
func (c *sidecar) serve(ctx context.Context) (err error) {
	opt := c.opt
	doors, err := open(opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, doors.close()) }()
	opt.Ingest.Log, opt.Ingest.Events, opt.Ingest.NotOurs = opt.Log, c.tel.Ingest(), c.letters.keeps
	opt.Tail.Ingest, opt.Tail.Log = opt.Ingest, opt.Log
	logs := tail.New(opt.Tail)
	opt.Ingest.Files = logs
	in, err := ingest.New(c.led, c.w, opt.Ingest)
	if err != nil {
		return err
	}
	s := newServer(c, in)
	unobserve, err := c.tel.Observe(telemetry.Subject{
		Ledger: c.led, Stats: in.Stats, Ready: s.ready, Logs: logs.Counts, TotalBytes: opt.Ingest.TotalBytes, TotalAppends: opt.Ingest.TotalAppends,
	})
	if err != nil {
		_, left := in.Close(ctx)
		return errors.Join(err, left)
	}
	defer func() { err = errors.Join(err, unobserve()) }()
	c.letters.start()
	logs.Start(c.led, c.w, in)
	failed := s.start(doors)
	opt.Log.Info("serving", "ledger", c.led.Path(), "addresses", doors.addresses())
	if opt.Ready != nil {
		opt.Ready(doors.addresses())
	}
	m := tellManager(c.led, in, opt.Log)
	defer m.close()
	patience := opt.DrainTimeout
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("serve: %w", err)
	case <-c.led.Failed():
		err, patience = c.led.Err(), 0
	}
	opt.Log.Info("stopping", "drain_timeout", patience.String())
	m.stop()
	drained, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return errors.Join(err, c.drain(drained, logs, in, s))
}

// drain ends what serve has begun, and tells what is left when ctx ends.
func (c *sidecar) drain(ctx context.Context, logs *tail.Tail, in *ingest.Ingest, s *server) error {
	var closed sync.WaitGroup
	closed.Go(func() { logs.Close(ctx) })
	_, _ = in.Close(ctx)
	closed.Wait()
	remaining, err := in.Remaining()
	s.stop()
	c.letters.finish(ctx)
	report(c.opt.Log, remaining)
	return err
}

// report tells what is left for the next start.
func report(log *slog.Logger, remaining []*eowriterv1.Partition) {
	for _, p := range remaining {
		log.Warn("left for the next start", "table", p.Table, "partition", p.Partition, "appends", p.OpenAppends, "stream", p.Stream)
	}
	if len(remaining) == 0 {
		log.Info("stopped: everything has landed")
	} else {
		log.Warn("stopped: what has not landed is in the ledger, and lands after the next start", "partitions", len(remaining))
	}
}
