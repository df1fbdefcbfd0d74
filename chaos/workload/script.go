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
	Edited   []int64       // by partition: rows below this one are not what they were
	Upto     int64         // rows of each partition that the source has by now
	Age      time.Duration // Options.StreamAge
	Rests    []int64       // rows before which the source falls silent until the stream was replaced
	Retire   bool          // offer nothing: the partitions are finished for good
	Kill     Point         // where a child dies

	Window  int           // Options.WindowRequests; 0: 4
	Timeout time.Duration // Options.AnswerTimeout and CallTimeout; 0: the defaults
	Limit   time.Duration // of a child's run; 0: 30 s, far more than a short one needs
	Full    Point         // from when on the disk of a child's ledger is full
	Record  string        // file to which commits are recorded, for a Witness; "": none

	// Resolve first takes back the halts of partitions (H2), as an operator does who has
	// looked. Words has what is said of those that are in doubt: the rows of the stream that
	// have landed; nothing: no word.
	Resolve bool
	Words   map[string]int64

	// Pushy offers some batches where they must be refused, before they are offered
	// properly: out of order, or with no time to wait for room.
	Pushy bool
}

// Run does what the script says and returns why partitions stopped: none when all
// has landed. Under "" is what concerns no partition alone. tell is called by several
// goroutines.
func (s Script) Run(ctx context.Context, opts []option.ClientOption, tell func(Note)) map[string]error {
	var mu sync.Mutex // guards failed
	failed := map[string]error{}
	fail := func(partition string, err error) {
		if err == nil {
			return
		}
		tell(Note{Kind: Stopped, Partition: partition, Cause: causeOf(err), Text: err.Error()})
		mu.Lock()
		defer mu.Unlock()
		failed[partition] = err
	}
	led, err := s.openLedger()
	if err != nil {
		fail("", err)
		return failed
	}
	kill := &trigger{at: s.Kill, pull: dieHere}
	if s.Resolve {
		if err := s.resolve(led, kill); err != nil {
			fail("", fmt.Errorf("%w; close: %v", err, led.Close()))
			return failed
		}
	}
	rotated := newRotations(s.Names())
	w, err := committed.Open(ctx, led, s.options(opts, kill, rotated, tell))
	if err != nil {
		fail("", fmt.Errorf("%w; close: %v", err, led.Close()))
		return failed
	}
	var wg, opening sync.WaitGroup // nothing is offered before every partition is open or has failed
	opening.Add(s.Partitions)
	for i := range s.Partitions {
		wg.Go(func() {
			p, err := s.open(ctx, w, i)
			opening.Done()
			opening.Wait()
			if err == nil {
				w := writing{script: s, i: i, p: p, rotated: rotated, tell: tell, open: make(chan pending, s.Rows/s.BatchRows+1)}
				err = w.run(ctx)
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

// openLedger opens the ledger, recording what it makes durable if that is wanted.
func (s Script) openLedger() (*ledger.Ledger, error) {
	opt := &ledger.Options{SegmentBytes: 64 << 10}
	if s.Record == "" {
		return ledger.Open(s.Ledger, opt)
	}
	r, err := newRecorder(s.Record)
	if err != nil {
		return nil, err
	}
	opt.Committed = r.committed
	led, err := ledger.Open(s.Ledger, opt)
	if err == nil {
		err = r.open(led)
	}
	return led, err
}

func (s Script) options(opts []option.ClientOption, kill *trigger, rotated *rotations, tell func(Note)) committed.Options {
	full := trigger{at: s.Full, pull: func() { fillDisk(s.Ledger) }}
	settlers := map[string]*settler{}
	for _, p := range s.Names() {
		settlers[p] = &settler{sent: map[int64]bool{}}
	}
	window := s.Window
	if window == 0 {
		window = 4
	}
	return committed.Options{
		ClientOptions: opts, WindowRequests: window, StreamAge: s.Age,
		AnswerTimeout: s.Timeout, CallTimeout: s.Timeout,
		Backoff:    retry.Policy{Initial: time.Millisecond, Max: 4 * time.Millisecond, Multiplier: 2},
		CreateRate: 1e6, CreateBurst: 1e6,
		Events: committed.Events{
			Step: func(e committed.StepEvent) {
				kill.step(e)
				full.step(e)
				settlers[e.Key.Name].step(e)
				if e.Step == committed.R5 && e.Done {
					rotated.happened(e.Key.Name)
				}
			},
			Sent: func(key ledger.Key, in ledger.Intent, again bool) {
				settlers[key.Name].sent[in.Start] = again
				tell(Note{Kind: Sent, Partition: key.Name, Offset: in.Start})
			},
			Landed: func(key ledger.Key, ack committed.Ack) {
				how := settlers[key.Name].landed(ack)
				if ack.Rows > 0 {
					tell(Note{Kind: Found, Partition: key.Name, Stream: ack.Stream, Offset: ack.Offset, Settled: how})
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
	src := Source{Shape: s.Shape, Partition: i, Dirty: s.Dirty, Encoder: max(s.Encoder, 1)}
	if i < len(s.Edited) {
		src.Edited = s.Edited[i]
	}
	return src
}
