package ingest

import (
	"errors"
	"slices"
	"time"

	eowriterv1 "github.com/eowriter/eowriter/cmd/eowriter/api/eowriter/v1"
	"github.com/eowriter/eowriter/cmd/eowriter/internal/advice"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
)

// maxDescribed bounds the lists of a description.
const maxDescribed = 500

// Describe returns all that is known of a partition, or an error that wraps ledger.ErrNoPartition.
func (i *Ingest) Describe(key ledger.Key) (*eowriterv1.DescribePartitionResponse, error) {
	part, open, err := i.led.Partition(key)
	p, _ := i.find(key, false)
	if err != nil && (p == nil || !errors.Is(err, ledger.ErrNoPartition)) {
		return nil, err
	}
	part.Key = key
	d := &eowriterv1.DescribePartitionResponse{
		Status: i.statusOf(&part, p, time.Now()), Created: timeOf(part.Created), AllOpen: int32(len(open)),
	}
	if h := part.Halt; h != nil {
		meaning, do := advice.Halt(h.Cause)
		d.Halt = &eowriterv1.Halt{
			Cause: h.Cause.String(), Meaning: meaning, Detail: h.Detail, Offset: h.Offset, At: timeOf(h.At),
			Advice: do + " stop the sidecar and run", Command: advice.Command("resolve", key.Name, i.led.Path()),
		}
	}
	if s := part.Seal; s != nil {
		d.Seal = &eowriterv1.Seal{
			Successor: s.Successor, Reason: s.Reason.String(), Meaning: advice.Reason(s.Reason), Detail: s.Detail, At: timeOf(s.At),
		}
	}
	d.Open = p.openBatches(open[:min(len(open), maxDescribed)])
	past, all, err := i.led.History(part.ID, maxDescribed)
	if err != nil {
		return nil, err
	}
	d.AllStreams = int64(all)
	for _, r := range slices.Backward(past) {
		d.Streams = append(d.Streams, &eowriterv1.PastStream{
			Epoch: int64(r.Epoch), Stream: r.Stream, Rows: r.Rows,
			Reason: r.Reason.String(), Meaning: advice.Reason(r.Reason), At: timeOf(r.At),
		})
	}
	return d, nil
}

// batchStates are where a batch is that has come so far.
var batchStates = map[committed.Step]eowriterv1.BatchState{
	committed.B3: eowriterv1.BatchState_BATCH_STATE_SENT,
	committed.B5: eowriterv1.BatchState_BATCH_STATE_LANDED,
}

// openBatches describes the open intents, oldest first, of a partition that may be nil: then nothing works on them.
func (p *partition) openBatches(open []ledger.Intent) []*eowriterv1.OpenBatch {
	all := make([]*eowriterv1.OpenBatch, len(open))
	since, progress := p.whereabouts()
	for n := range open {
		in := &open[n]
		all[n] = &eowriterv1.OpenBatch{
			Number: int64(in.Number), Start: in.Start, End: in.End(), Bytes: in.Bytes, DeadRows: int32(len(in.Dead)),
			Appends: int32(max(1, len(in.Parts))), Before: text(in.Before), After: text(in.After), Skip: in.Skip,
			State: eowriterv1.BatchState_BATCH_STATE_STORED,
		}
		if state, known := batchStates[progress[in.Number]]; known {
			all[n].State = state
		}
		// Some of ours may have landed since the ledger was read, so the first of them need not be the first of these.
		for m, b := range since {
			if b.digest == in.Digest {
				all[n].Since = timeOf(b.since)
				if in.Ends() {
					since = since[m+1:]
				}
				break
			}
		}
	}
	return all
}

// waiting is an open batch, and since when it is.
type waiting struct {
	digest ledger.Digest
	since  time.Time
}

// whereabouts returns the open batches, oldest first, and how far the open intents have come, by their numbers.
func (p *partition) whereabouts() (open []waiting, progress map[uint64]committed.Step) {
	if p == nil {
		return nil, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.open {
		open = append(open, waiting{b.digest, b.entries[0].since})
	}
	if p.cp != nil {
		progress = p.cp.Progress()
	}
	return open, progress
}
