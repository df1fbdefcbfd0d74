package chaos

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/retry"
	"google.golang.org/api/option"
)

// command runs this test binary as a child that tells w what it learns.
func command(script string, w *os.File) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+script)
	cmd.ExtraFiles = []*os.File{w}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	return cmd, &errs
}

// script is what a writer does in one run: it resumes every partition, offers the
// rest of the source, and waits until all has landed.
type script struct {
	Endpoint string
	Ledger   string
	Frozen   bool
	Dirty    bool          // the source has rows that are refused
	Encoder  uint32        // version of the encoder; 0: 1
	Upto     int64         // rows of each partition that the source has by now
	Age      time.Duration // Options.StreamAge
	Rests    []int64       // rows before which the source falls silent until the stream was replaced
	Kill     point         // where a child dies
}

// run does what the script says and returns why partitions stopped: none when all
// has landed. Under "" is what concerns no partition alone.
func (s script) run(ctx context.Context, opts []option.ClientOption, tell func(note)) map[string]error {
	led, err := ledger.Open(s.Ledger, &ledger.Options{SegmentBytes: 64 << 10})
	if err != nil {
		return map[string]error{"": err}
	}
	k := killer{at: s.Kill}
	rotated := newRotations()
	w, err := committed.Open(ctx, led, committed.Options{
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
				tell(note{Kind: sent, Partition: key.Name, Offset: in.Start})
			},
			Landed: func(key ledger.Key, ack committed.Ack) {
				if ack.Rows > 0 {
					tell(note{Kind: found, Partition: key.Name, Stream: ack.Stream, Offset: ack.Offset})
				}
			},
			Sealed: func(key ledger.Key, _ uint64, seal ledger.Seal) {
				tell(note{Kind: sealed, Partition: key.Name, Reason: uint8(seal.Reason)})
			},
		},
	})
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
	opening.Add(len(partitions))
	for i := range partitions {
		wg.Go(func() {
			p, err := s.open(ctx, w, i)
			opening.Done()
			opening.Wait()
			if err == nil {
				err = s.write(ctx, p, i, rotated, tell)
			}
			fail(partitions[i], err)
		})
	}
	wg.Wait()
	closing, cancel := context.WithCancel(ctx)
	cancel() // all has landed, or the partition has stopped: nothing is waited for
	_ = w.Close(closing)
	fail("", led.Close())
	return failed
}

func (s script) open(ctx context.Context, w *committed.Writer, i int) (*committed.Partition, error) {
	schema, err := committed.NewSchema(table, tableSchema(), nil)
	if err != nil {
		return nil, err
	}
	src := s.source(i)
	cfg := committed.PartitionConfig{Table: table, Name: partitions[i], Schema: schema, Encoder: src.encoder, MaxDead: sourceEnd}
	if !s.Frozen {
		cfg.Replay = src.replay
	}
	return w.Partition(ctx, cfg)
}

func (s script) source(i int) source {
	return source{partition: i, dirty: s.Dirty, encoder: max(s.Encoder, 1)}
}

// write offers the rest of a partition's source and waits until it has landed.
func (s script) write(ctx context.Context, p *committed.Partition, i int, rotated *rotations, tell func(note)) error {
	at := rowsAt(p.Position())
	tell(note{Kind: resumed, Partition: partitions[i], From: at})

	type pending struct {
		from   int64
		result *committed.Result
	}
	open := make(chan pending, batches)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		for b := range open {
			n := note{Kind: stored, Partition: partitions[i], From: b.from, To: b.from + batchRows}
			if b.result.Stored(ctx) == nil {
				tell(n)
			}
			if ack, err := b.result.Wait(ctx); err == nil {
				n.Kind, n.Stream, n.Offset = landed, ack.Stream, ack.Offset
				if ack.Rows == 0 {
					n.Stream = "" // its rows are dead: there is no place
				}
				tell(n)
			}
		}
	})
	defer waiting.Wait()
	defer close(open)
	for ; at < s.Upto; at += batchRows {
		for _, rest := range s.Rests {
			if rest != at {
				continue
			}
			if err := rotated.wait(ctx, p); err != nil {
				return err
			}
		}
		b, _ := s.source(i).batch(at, at+batchRows)
		r, err := p.Append(ctx, b)
		if err != nil {
			return err
		}
		open <- pending{at, r}
	}
	return p.Drain(ctx)
}

// rotations lets the source of a partition wait until its stream was replaced.
type rotations struct {
	mu   sync.Mutex // guards next
	next map[string]chan struct{}
}

func newRotations() *rotations {
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
