package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/eowriter/eowriter/cmd/eowriter/internal/guard"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/ingest"
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

	Ingest        ingest.Options
	StreamAppends int // of one AppendStream that may be unanswered

	ContactTimeout time.Duration // for the service to be reached at the start; 0: it isn't tried
	DrainTimeout   time.Duration // for what was accepted to land at the end

	Ready func(addresses []string) // called when requests are taken
	Log   *slog.Logger
}

// Run serves until ctx ends, and then drains. It returns an error if it can't start or go on: then nothing that was
// acknowledged is lost, and the next start goes on.
func Run(ctx context.Context, opt Options) (err error) {
	led, err := ledger.Open(opt.Ledger, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, led.Close()) }()
	w, err := committed.Open(ctx, led, committed.Options{ClientOptions: opt.ClientOptions})
	if err != nil {
		return fmt.Errorf("open the writer: %w", err)
	}
	// The partitions are closed by then: nothing to wait for.
	defer func() { err = errors.Join(err, w.Close(context.WithoutCancel(ctx))) }()
	if err := contact(ctx, led, w, opt.ContactTimeout); err != nil {
		return err
	}
	return serve(ctx, led, w, opt)
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

// serve has the doors open while the sidecar works.
func serve(ctx context.Context, led *ledger.Ledger, w *committed.Writer, opt Options) (err error) {
	doors, err := open(&opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, doors.close()) }()
	opt.Ingest.Log = opt.Log
	in, err := ingest.New(led, w, opt.Ingest)
	if err != nil {
		return err
	}
	s := newServer(in, opt)
	failed := s.start(doors)
	opt.Log.Info("serving", "ledger", led.Path(), "addresses", doors.addresses())
	if opt.Ready != nil {
		opt.Ready(doors.addresses())
	}
	patience := opt.DrainTimeout
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("serve: %w", err)
	case <-led.Failed():
		err, patience = led.Err(), 0
	}
	opt.Log.Info("stopping", "drain_timeout", patience)
	drained, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	remaining, left := in.Close(drained)
	s.stop()
	report(opt.Log, remaining)
	return errors.Join(err, left)
}

// report tells what is left for the next start.
func report(log *slog.Logger, remaining []*eowriterv1.Partition) {
	for _, p := range remaining {
		log.Warn("left for the next start", "table", p.Table, "partition", p.Partition, "appends", p.OpenAppends, "error", p.Error)
	}
	if len(remaining) == 0 {
		log.Info("stopped: everything has landed")
	} else {
		log.Warn("stopped: what has not landed is in the ledger, and lands after the next start", "partitions", len(remaining))
	}
}
