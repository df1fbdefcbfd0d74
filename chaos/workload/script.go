package workload

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
	"google.golang.org/api/option"
)

// Script is what a writer does in one run: it resumes every partition, offers the
// rest of the source, and waits until all has landed.
type Script struct {
	Shape
	Endpoint string
	Ledger   string
	Frozen   bool
	Dirty    bool          // the source has rows that are refused
	Encoder  uint32        // version of the encoder; 0: 1
	Upto     int64         // rows of each partition that the source has by now
	Age      time.Duration // Options.StreamAge
	Rests    []int64       // rows before which the source falls silent until the stream was replaced
	Kill     Point         // where a child dies
}

// Run does what the script says and returns why partitions stopped: none when all
// has landed. Under "" is what concerns no partition alone. tell is called by several
// goroutines.
func (s Script) Run(ctx context.Context, opts []option.ClientOption, tell func(Note)) map[string]error {
	led, err := ledger.Open(s.Ledger, &ledger.Options{SegmentBytes: 64 << 10})
	if err != nil {
		return map[string]error{"": err}
	}
	rotated := newRotations(s.Names())
	w, err := committed.Open(ctx, led, s.options(opts, rotated, tell))
	if err != nil {
		return map[string]error{"": fmt.Errorf("%w; close: %v", err, led.Close())}
	}

	var mu sync.Mutex // guards failed
	failed := map[string]error{}
	fail := func(partition string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil && failed[partition] == nil {
			failed[partition] = err
		}
	}
	var wg, opening sync.WaitGroup // nothing is offered before every partition is open or has failed
	opening.Add(s.Partitions)
	for i := range s.Partitions {
		wg.Go(func() {
			p, err := s.open(ctx, w, i)
			opening.Done()
			opening.Wait()
			if err == nil {
				err = s.write(ctx, p, i, rotated, tell)
			}
			fail(Name(i), err)
		})
	}
	wg.Wait()
	closing, cancel := context.WithCancel(ctx)
	cancel() // all has landed, or the partition has stopped: nothing is waited for
	_ = w.Close(closing)
	fail("", led.Close())
	return failed
}

func (s Script) options(opts []option.ClientOption, rotated *rotations, tell func(Note)) committed.Options {
	k := killer{at: s.Kill}
	return committed.Options{
		ClientOptions: opts, WindowRequests: 4, StreamAge: s.Age,
		Backoff:    retry.Policy{Initial: time.Millisecond, Max: 4 * time.Millisecond, Multiplier: 2},
		CreateRate: 1e6, CreateBurst: 1e6,
		Events: committed.Events{
			Step: func(e committed.StepEvent) {
				k.step(e)
				if e.Step == committed.R5 && e.Done {
					rotated.happened(e.Key.Name)
				}
			},
			Sent: func(key ledger.Key, in ledger.Intent, _ bool) {
				tell(Note{Kind: Sent, Partition: key.Name, Offset: in.Start})
			},
			Landed: func(key ledger.Key, ack committed.Ack) {
				if ack.Rows > 0 {
					tell(Note{Kind: Found, Partition: key.Name, Stream: ack.Stream, Offset: ack.Offset})
				}
			},
			Sealed: func(key ledger.Key, _ uint64, seal ledger.Seal) {
				tell(Note{Kind: Sealed, Partition: key.Name, Reason: uint8(seal.Reason)})
			},
		},
	}
}

func (s Script) open(ctx context.Context, w *committed.Writer, i int) (*committed.Partition, error) {
	schema, err := committed.NewSchema(Table, TableSchema(), nil)
	if err != nil {
		return nil, err
	}
	src := s.Source(i)
	cfg := committed.PartitionConfig{Table: Table, Name: Name(i), Schema: schema, Encoder: src.Encoder, MaxDead: s.Rows}
	if !s.Frozen {
		cfg.Replay = src.Replay
	}
	return w.Partition(ctx, cfg)
}

// Source is what the script writes to partition i.
func (s Script) Source(i int) Source {
	return Source{Shape: s.Shape, Partition: i, Dirty: s.Dirty, Encoder: max(s.Encoder, 1)}
}

// write offers the rest of a partition's source and waits until it has landed.
func (s Script) write(ctx context.Context, p *committed.Partition, i int, rotated *rotations, tell func(Note)) error {
	at, err := RowsAt(p.Position())
	if err != nil {
		return err
	}
	tell(Note{Kind: Resumed, Partition: Name(i), From: at})

	type pending struct {
		from, to int64
		result   *committed.Result
	}
	open := make(chan pending, s.Rows/s.BatchRows+1)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for b := range open {
			n := Note{Kind: Stored, Partition: Name(i), From: b.from, To: b.to}
			if b.result.Stored(ctx) == nil {
				tell(n)
			}
			if ack, err := b.result.Wait(ctx); err == nil {
				n.Kind, n.Stream, n.Offset = Landed, ack.Stream, ack.Offset
				if ack.Rows == 0 {
					n.Stream = "" // its rows are dead: there is no place
				}
				tell(n)
			}
		}
	})
	defer waiting.Wait()
	defer close(open)
	for at < s.Upto {
		for _, rest := range s.Rests {
			if rest != at {
				continue
			}
			if err := rotated.wait(ctx, p); err != nil {
				return err
			}
		}
		to := min(at+s.BatchRows, s.Upto)
		r, err := p.Append(ctx, s.Source(i).Batch(at, to))
		if err != nil {
			return err
		}
		open <- pending{at, to, r}
		at = to
	}
	return p.Drain(ctx)
}

// rotations lets the source of a partition wait until its stream was replaced.
type rotations struct {
	mu   sync.Mutex // guards next
	next map[string]chan struct{}
}

func newRotations(partitions []string) *rotations {
	r := &rotations{next: map[string]chan struct{}{}}
	for _, p := range partitions {
		r.next[p] = make(chan struct{})
	}
	return r
}

func (r *rotations) happened(partition string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.next[partition])
	r.next[partition] = make(chan struct{})
}

// wait waits for the partition's next R5.
func (r *rotations) wait(ctx context.Context, p *committed.Partition) error {
	r.mu.Lock()
	next := r.next[p.Key().Name]
	r.mu.Unlock()
	select {
	case <-next:
		return nil
	case <-p.Stopped():
		return p.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
