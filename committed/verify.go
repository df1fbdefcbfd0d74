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
// says only that the ledger could not be read.
func (w *Writer) Verify(ctx context.Context, key ledger.Key, schema *Schema) (Verification, error) {
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
	delays := w.opt.Backoff.New()
	for lags := 0; ; {
		answer := w.ask(ctx, part, schema)
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

// ask probes a stream once, over a connection of its own.
func (w *Writer) ask(ctx context.Context, part ledger.Partition, schema *Schema) retry.Answer {
	ctx, cancel := context.WithTimeout(ctx, w.opt.CallTimeout)
	defer cancel()
	answers := make(chan retry.Answer, 2) // one request: at most an answer and an end
	wire := &wire{
		stream:   part.Stream,
		answered: func(resp *storagepb.AppendRowsResponse) { answers <- retry.FromResponse(resp) },
		ended:    func(err error, trailer metadata.MD) { answers <- retry.FromError(err, trailer) },
		over:     make(chan struct{}),
	}
	cl, err := w.clients.take()
	if err != nil {
		return retry.FromError(err, nil)
	}
	defer w.clients.release(cl)
	trace := fmt.Sprintf("eowriter:%s:%s:%d", w.led.ID(), part.Key.Name, part.Epoch)
	c, err := cl.connect(w.ctx, wire, trace, schema.descriptor, false, 1)
	if err != nil {
		return retry.FromError(err, nil)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		row := [][]byte{schema.probe}
		c.send(newBlock(row, blockSize(row)), probeOffset)
	}()
	var answer retry.Answer
	select {
	case answer = <-answers:
	case <-ctx.Done():
		answer = retry.FromError(ctx.Err(), nil)
		answer.Class = retry.Transient // it did not say anything
	}
	wire.hangUp() // a send that is blocked returns
	<-sent
	c.close()
	return answer
}
