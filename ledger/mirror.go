package ledger

import (
	"bytes"
	"fmt"
	"slices"
)

// mirror is what the committer knows of the ledger without reading it. Open loads
// it; from then on only the committer's goroutine touches it. While a transaction
// runs it is ahead of the disk, and after a failed one it is not used again.
type mirror struct {
	head       head
	partitions map[ID]*partition
	ids        map[Key]ID
	streams    map[string]ID // streams owned or named by a seal
	schemas    map[Fingerprint]struct{}
}

// partition is one partition in the mirror. Slices in it are never written to.
type partition struct {
	record  Partition
	key     []byte   // of the record, encoded
	open    []Intent // in order; they tile [record.Acked, record.Next)
	reached []byte   // the position after the newest batch
	dirty   bool     // the record is to be put before the transaction ends
}

func newMirror() *mirror {
	return &mirror{
		partitions: map[ID]*partition{}, ids: map[Key]ID{},
		streams: map[string]ID{}, schemas: map[Fingerprint]struct{}{},
	}
}

func (m *mirror) add(p *partition) {
	m.partitions[p.record.ID] = p
	m.ids[p.record.Key] = p.record.ID
	m.streams[p.record.Stream] = p.record.ID
	m.sealed(p)
}

// sealed notes the successor of p's stream, if it has one.
func (m *mirror) sealed(p *partition) {
	if s := p.record.Seal; s != nil && s.Successor != "" {
		m.streams[s.Successor] = p.record.ID
	}
}

// acknowledge moves the first n open intents of p below Acked.
func (p *partition) acknowledge(n int) {
	r := &p.record
	var last *Intent // that ends a batch with a position
	for i := range p.open[:n] {
		in := &p.open[i]
		r.Rows += in.Rows
		r.Acked = in.End()
		r.Position = reach(in, r.Position)
		if in.Ends() && in.After != nil {
			last = in
		}
	}
	if last != nil {
		r.Last = &Append{
			Before: last.Before, After: last.After, Digest: last.Digest,
			Stream: r.Stream, Epoch: r.Epoch, Offset: last.Start, Rows: last.Rows, Parts: last.Parts,
		}
	}
	clear(p.open[:n]) // let go of their positions
	p.open = p.open[n:]
}

// follows says why in can't come after prev, an intent of the same partition, or
// after nothing when prev is nil. The rule of positions, used by Bind, Settle,
// Open and Check alike: every part of a batch has the position that was reached
// before the batch as its Before, and the position moves to After with the
// batch's last part. Frozen batches may go without positions: a nil Before is not
// compared, and a nil After moves nothing.
func follows(prev, in *Intent, reached []byte, mode Mode) string {
	switch {
	case prev != nil && in.Number <= prev.Number:
		return fmt.Sprintf("intent %d comes after intent %d", in.Number, prev.Number)
	case prev != nil && !prev.Ends():
		if !sameBatch(prev, in) || in.From != prev.From+prev.Rows {
			return fmt.Sprintf("offset %d does not go on with the batch that offset %d left unfinished", in.Start, prev.Start)
		}
	case prev != nil && in.From != 0:
		return fmt.Sprintf("offset %d starts inside a batch", in.Start)
	}
	if (mode == Replayable || in.Before != nil) && !bytes.Equal(in.Before, reached) {
		return fmt.Sprintf("the position before offset %d is not the one that was reached", in.Start)
	}
	if mode == Replayable && in.After == nil {
		return fmt.Sprintf("no position after offset %d", in.Start)
	}
	if frozen := in.Payload.Segment != 0; frozen != (mode == Frozen && in.Rows > 0) {
		return "a frozen partition's intents need a payload, a replayable one's must have none"
	}
	return ""
}

// reach is the position reached when in was the newest intent.
func reach(in *Intent, reached []byte) []byte {
	if in.Ends() && in.After != nil {
		return in.After
	}
	return reached
}

// sameBatch says whether two intents carry rows of the same batch, encoded alike.
func sameBatch(a, b *Intent) bool {
	return a.Of == b.Of && a.Schema == b.Schema && a.Skip == b.Skip && slices.Equal(a.Without, b.Without) &&
		(a.Payload == b.Payload || a.Rows == 0 || b.Rows == 0) && sameSource(a, b)
}

// sameSource says whether two intents carry rows of the same batch, perhaps encoded
// differently.
func sameSource(a, b *Intent) bool {
	return a.Digest == b.Digest && samePosition(a.Before, b.Before) && samePosition(a.After, b.After) &&
		slices.EqualFunc(a.Parts, b.Parts, func(x, y Part) bool {
			return x.Rows == y.Rows && x.Digest == y.Digest &&
				samePosition(x.Before, y.Before) && samePosition(x.After, y.After)
		})
}

// samePosition tells no position from an empty one.
func samePosition(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// verify says in which ways the partition breaks the invariants.
func (p *partition) verify() (found []string) {
	report := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	r := &p.record
	if bad := badKey(r.Key); bad != "" {
		report("%s", bad)
	}
	if r.ID == 0 || r.Epoch == 0 || r.Stream == "" || (r.Mode != Frozen && r.Mode != Replayable) {
		report("id %d, epoch %d, stream %q, mode %d are not all set", r.ID, r.Epoch, r.Stream, r.Mode)
	}
	if r.Delivered > r.Dead {
		report("%d letters delivered of %d", r.Delivered, r.Dead)
	}
	if r.Rows < r.Acked {
		report("%d rows over all epochs, but %d in this one", r.Rows, r.Acked)
	}
	if s := r.Seal; s != nil {
		if bad := badSeal(s); bad != "" {
			report("seal: %s", bad)
		}
		if s.Successor == r.Stream {
			report("the stream is its own successor")
		}
	}
	if h := r.Halt; h != nil {
		if bad := badHalt(h); bad != "" {
			report("halt: %s", bad)
		}
	}
	if r.Resolution != nil {
		if bad := p.badLanded(r.Resolution); bad != "" {
			report("resolution: %s", bad)
		}
		if r.Halt != nil {
			report("it is halted, and a person has said what landed")
		}
	}
	next, reached := r.Acked, r.Position
	var prev *Intent
	for i := range p.open {
		in := &p.open[i]
		if bad := badIntent(in); bad != "" {
			report("intent at %d: %s", in.Start, bad)
			return found
		}
		if in.Start != next {
			report("the open intents leave or share offsets: [%d, %d) follows %d", in.Start, in.End(), next)
		}
		if bad := follows(prev, in, reached, r.Mode); bad != "" {
			report("%s", bad)
		}
		next, reached, prev = in.End(), reach(in, reached), in
	}
	if next != r.Next {
		report("the open intents end at %d, the record says %d", next, r.Next)
	}
	if prev != nil && !prev.Ends() {
		report("the last batch is not bound whole")
	}
	p.reached = reached
	return found
}
