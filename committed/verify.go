package committed

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/bigquery/storage/apiv1/storagepb"
	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
	"google.golang.org/grpc/metadata"
)

// Verification is what a partition's stream answers to a probe, and what a start would make of it.
type Verification struct {
	Partition ledger.Partition
	Open      []ledger.Intent

	// Verdict is what a start would decide by this answer (recovery.JudgeProbe). Acked: the stream's end
	// fits. AskAgain: the service still had the end below Acked when it was asked for the last time.
	// Again: the service could not be asked. A partition that is halted does not ask: see Partition.Halt.
	Verdict recovery.Verdict
	End     int64 // of the stream, as the service has it; -1: it did not say
	Landed  int   // open intents with rows that the end covers: they have landed, and a start acknowledges them
	Err     error // what the service said, if it did not tell the end
}

// lagTries is how often a lagging end is asked for again, as a start does.
const lagTries = 8

// Verify probes a partition's stream and changes nothing: neither the stream, for a probe writes no
// rows, nor the ledger, which may be open for reading only. It tries again while the service is
// unavailable, until ctx ends; then Verdict is Again. schema is what to encode the probe with, or nil for the
// writer schema of the partition's newest batch. The partition must not be open in this writer. The error
// says only that the ledger could not be read, or that the writer was closed (ErrClosed).
func (w *Writer) Verify(ctx context.Context, key ledger.Key, schema *Schema) (Verification, error) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return Verification{}, fmt.Errorf("verify partition %q of %s: %w", key.Name, key.Table, ErrClosed)
	}
	w.verifying.Add(1) // Close waits for it
	w.mu.Unlock()
	defer w.verifying.Done()
	ctx, cancel := w.bind(ctx)
	defer cancel()
	part, open, err := w.led.Partition(key)
	if err != nil {
		return Verification{}, err
	}
	if schema == nil {
		if schema, err = w.recorded(key.Table, part.Schema); err != nil {
			return Verification{}, fmt.Errorf("verify partition %q of %s: %w", key.Name, key.Table, err)
		}
	}
	v := Verification{Partition: part, Open: open, End: -1}
	s := recovery.Situation{
		Sealed: part.Seal != nil, Open: len(open) > 0,
		Suspicious: part.Owner != w.led.Identity() || w.led.Moved(),
		Known: func(end int64) bool {
			return slices.ContainsFunc(open, func(in ledger.Intent) bool { return in.End() == end })
		},
	}
	ask := &prober{w: w, part: part, schema: schema}
	defer ask.close()
	delays := w.opt.Backoff.New()
	for lags := 0; ; {
		answer := ask.ask(ctx)
		v.Verdict, v.End, v.Err = recovery.JudgeProbe(&answer, part.Acked, s), -1, answer.Err
		if answer.Class == retry.OutOfRange {
			v.End = answer.Expected
		}
		if v.Verdict == recovery.AskAgain {
			lags++
		}
		settled := v.Verdict != recovery.Again && v.Verdict != recovery.AskAgain
		if settled || lags > lagTries || !pause(ctx, delays.Next()) {
			break
		}
	}
	if v.Verdict == recovery.Again && w.ctx.Err() != nil {
		return Verification{}, fmt.Errorf("verify partition %q of %s: %w", key.Name, key.Table, ErrClosed)
	}
	for i := range open {
		if v.Verdict == recovery.Acked && open[i].Rows > 0 && open[i].End() <= v.End {
			v.Landed++
		}
	}
	return v, nil
}

// pause waits for d, which is negative when it is time to give up; false: ctx has ended, or it is.
func pause(ctx context.Context, d time.Duration) bool {
	if d < 0 {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// prober asks one stream for its end, over one connection as long as that lasts: a lagging view
// may come of connecting anew (case 27).
type prober struct {
	w       *Writer
	part    ledger.Partition
	schema  *Schema
	client  *client
	conn    *connection // nil: to be made
	answers chan retry.Answer
}

func (p *prober) connect() error {
	cl, err := p.w.clients.take()
	if err != nil {
		return err
	}
	answers := make(chan retry.Answer, 2) // one request at a time: at most its answer and an end
	wire := &wire{
		stream:   p.part.Stream,
		answered: func(resp *storagepb.AppendRowsResponse) { answers <- retry.FromResponse(resp) },
		ended:    func(err error, trailer metadata.MD) { answers <- retry.FromError(err, trailer) },
		over:     make(chan struct{}),
	}
	trace := fmt.Sprintf("eowriter:%s:%s:%d", p.w.led.ID(), p.part.Key.Name, p.part.Epoch)
	c, err := cl.connect(p.w.ctx, wire, trace, p.schema.descriptor, false, 1)
	if err != nil {
		p.w.clients.release(cl)
		return err
	}
	p.client, p.conn, p.answers = cl, c, answers
	return nil
}

// ask probes once. A connection that has ended, or that is silent, is given up.
func (p *prober) ask(ctx context.Context) retry.Answer {
	ctx, cancel := context.WithTimeout(ctx, p.w.opt.CallTimeout)
	defer cancel()
	if p.conn == nil {
		if err := p.connect(); err != nil {
			return retry.FromError(err, nil)
		}
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		row := [][]byte{p.schema.probe}
		p.conn.send(newBlock(row, blockSize(row)), probeOffset)
	}()
	var answer retry.Answer
	select {
	case answer = <-p.answers:
	case <-ctx.Done():
		answer = retry.FromError(ctx.Err(), nil)
		answer.Class = retry.Transient // it did not say anything
	}
	if answer.Broken {
		p.conn.wire.hangUp() // a send that is blocked returns
	}
	<-sent
	if answer.Broken {
		p.close()
	}
	return answer
}

func (p *prober) close() {
	if p.conn != nil {
		p.conn.close()
		p.w.clients.release(p.client)
		p.conn = nil
	}
}
