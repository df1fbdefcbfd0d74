package committed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"golang.org/x/time/rate"
)

// Writer writes to BigQuery on behalf of the partitions of one ledger. Safe for
// concurrent use.
type Writer struct {
	led     *ledger.Ledger
	opt     Options
	ctx     context.Context // of connections; ends when everything is closed
	end     context.CancelFunc
	clients *clients
	slots   *slots
	limiter *rate.Limiter // of CreateWriteStream

	mu         sync.Mutex // guards what follows
	partitions map[ledger.Key]*Partition
	closed     bool
	verifying  sync.WaitGroup // calls of Verify; nothing is added once closed
	gone       chan struct{}  // closed when Close is done
}

// Open returns a writer on an open ledger, which stays the caller's to close, after
// the writer. ctx is for finding credentials only; nothing is sent yet.
func Open(ctx context.Context, led *ledger.Ledger, opt Options) (*Writer, error) {
	opt = opt.withDefaults()
	wctx, end := context.WithCancel(context.WithoutCancel(ctx))
	cl, err := newClients(wctx, opt.ClientOptions)
	if err != nil {
		end()
		return nil, err
	}
	return &Writer{
		led: led, opt: opt, ctx: wctx, end: end, clients: cl,
		slots:      newSlots(opt.MaxConnections),
		limiter:    rate.NewLimiter(opt.CreateRate, opt.CreateBurst),
		partitions: map[ledger.Key]*Partition{}, gone: make(chan struct{}),
	}, nil
}

// Partition opens a partition: it makes its stream, or probes the one that the
// ledger knows, and returns when it may be appended to. What was open is then on its
// way (see Partition.Found). It tries as long as the service is unavailable, until
// ctx ends; an *Error says what else stands in the way. ErrOpen: it is open already.
func (w *Writer) Partition(ctx context.Context, cfg PartitionConfig) (*Partition, error) {
	key := ledger.Key{Table: cfg.Table, Name: cfg.Name}
	if err := checkConfig(cfg); err != nil {
		return nil, fmt.Errorf("open partition %q of %s: %w", cfg.Name, cfg.Table, err)
	}
	for {
		p, err := w.open(ctx, key, cfg)
		// A crash may have come in the middle of its retiring: that is over now.
		if isRetired(err) {
			continue
		}
		if err != nil {
			var stopped *Error
			if !errors.As(err, &stopped) {
				err = fmt.Errorf("open partition %q of %s: %w", cfg.Name, cfg.Table, err)
			}
			return nil, err
		}
		return p, nil
	}
}

func isRetired(err error) bool { return errors.Is(err, ErrRetired) }

func (w *Writer) open(ctx context.Context, key ledger.Key, cfg PartitionConfig) (*Partition, error) {
	p := w.newPartition(key, cfg)
	if err := w.register(p); err != nil {
		return nil, err
	}
	err := p.start()
	if err == nil {
		err = wait(ctx, p.opened)
	}
	if err == nil {
		err = p.settled()
	}
	if err != nil {
		p.shut()
		<-p.quiet
		w.forget(p)
		return nil, err
	}
	return p, nil
}

// settled says why a partition that need not be waited for any more is of no use, or nil.
func (p *Partition) settled() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil && p.closing {
		return ErrClosed
	}
	return p.err
}

func (w *Writer) newPartition(key ledger.Key, cfg PartitionConfig) *Partition {
	mode := ledger.Replayable
	if cfg.Replay == nil {
		mode = ledger.Frozen
	}
	p := &Partition{
		w: w, key: key, cfg: cfg,
		// Without what a first request on a connection has besides rows and writer schema.
		limit: w.opt.MaxRequestBytes - int64(len(key.Table)) - int64(len(key.Name)) - 512,
		known: newKnown(cfg.Schema),
		machine: recovery.New(recovery.Options{
			Key: key, Mode: mode, Schema: cfg.Schema.fingerprint, Descriptor: cfg.Schema.serialized, Encoder: cfg.Encoder,
			MaxDead: cfg.MaxDead,
		}),
		results: map[uint64]*Result{},
		timers:  map[*time.Timer]struct{}{},
		opened:  make(chan struct{}), stopped: make(chan struct{}), quiet: make(chan struct{}),
	}
	p.ctx, p.end = context.WithCancel(w.ctx)
	p.onBound, p.onAcknowledged = p.bound, p.acknowledged
	return p
}

// start gives the machine what the ledger has.
func (p *Partition) start() error {
	part, intents, err := p.w.led.Partition(p.key)
	e := recovery.Event{Kind: recovery.Start}
	switch {
	case errors.Is(err, ledger.ErrNoPartition):
	case err != nil:
		return err
	case (part.Mode == ledger.Frozen) != (p.cfg.Replay == nil):
		return fmt.Errorf("the ledger has it as %s: open it so, or retire it first", part.Mode)
	default:
		// The ledger takes batches only of writer schemas that it knows.
		if err := p.putSchema(p.cfg.Schema); err != nil {
			return err
		}
		part.Last = nil // the machine has no use for it, and it may be large
		e.Partition, e.Intents = &part, intents
		e.Suspicious = part.Owner != p.w.led.Identity()
		e.OwnSeal = part.Seal != nil && part.Seal.Owner == p.w.led.Identity()
		e.Aged = time.Since(part.Updated) >= p.w.opt.StreamAge
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id, p.found = part.ID, intents
	p.recover(intents)
	p.step(e)
	return nil
}

func (w *Writer) register(p *Partition) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	if w.partitions[p.key] != nil {
		return ErrOpen
	}
	w.partitions[p.key] = p
	return nil
}

func (w *Writer) forget(p *Partition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.partitions[p.key] == p {
		delete(w.partitions, p.key)
	}
}

// Close drains all partitions and closes the writer. When ctx ends first, what is
// open stays for the next start and Close returns ctx's error; it returns soon then,
// also when the service is down. No goroutine of the writer is left, except that
// managedwriter keeps one asleep for 20 s after a connection.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return wait(ctx, w.gone)
	}
	w.closed = true
	defer close(w.gone)
	all := make([]*Partition, 0, len(w.partitions))
	for _, p := range w.partitions {
		all = append(all, p)
	}
	w.mu.Unlock()

	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() { errs[i] = p.Close(ctx) })
	}
	wg.Wait()
	w.end()
	w.verifying.Wait()
	w.clients.close()
	return errors.Join(errs...)
}

// bind returns a context that ends with ctx and with the writer.
func (w *Writer) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(w.ctx, func() { cancel(ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

func checkConfig(cfg PartitionConfig) error {
	if cfg.Schema == nil {
		return errors.New("no schema: see Writer.TableSchema")
	}
	if cfg.Schema.name != cfg.Table {
		return fmt.Errorf("the schema is of another table, %s", cfg.Schema.name)
	}
	if n := len(cfg.Name); n == 0 || n > 200 || !utf8.ValidString(cfg.Name) {
		return errors.New("a partition's name is 1 to 200 bytes of UTF-8")
	}
	for _, r := range cfg.Name {
		if unicode.IsControl(r) {
			return errors.New("a partition's name has no control characters")
		}
	}
	return nil
}
