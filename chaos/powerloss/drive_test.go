package powerloss

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"

	"github.com/eowriter/eowriter/ledger"
)

// driveJob is for a process that opens a ledger, finds out which of the worlds it holds
// that it may hold, and carries out steps. It notes on standard output what it begins
// and what was promised.
type driveJob struct {
	Path     string
	Found    *tracker // of the processes before
	Segments int64    // bytes
	Steps    int
	Big      bool // a step near the end is a big one
	Close    bool // or the process ends without that
	Compact  bool // it makes the file smaller, and nothing else
}

// segmentBytes keeps segments small, so that there are several.
const segmentBytes = 64 << 10

// afterBig is how many steps before the end a big one comes.
const afterBig = 6

// note must be one write: whole in a trace, or not there.
func note(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }

func (j driveJob) run() error {
	if j.Compact {
		note("compacting")
		_, _, err := ledger.Compact(j.Path)
		return err
	}
	t := j.Found
	note("opening")
	l, err := ledger.Open(j.Path, &ledger.Options{SegmentBytes: j.Segments})
	if err != nil {
		return err
	}
	at, s, err := t.examine(l)
	if err != nil {
		return err
	}
	opened := fmt.Sprintf("opened %s %d %d", l.ID(), l.Incarnation(), at)
	note("%s", opened)
	if err := t.note(opened); err != nil {
		return err
	}
	d := &driver{l: l, store: s, pause: keyed(t.Seed, -t.next())}
	for i := range j.Steps {
		big := j.Big && i == j.Steps-afterBig
		submit := fmt.Sprintf("submit %d %v", t.next(), big)
		n, w := t.next(), t.latest()
		note("%s", submit)
		if err := t.note(submit); err != nil {
			return err
		}
		err := d.submit(next(w, t.Seed, n, big), func(err error) {
			if err == nil {
				note("done %d", n)
			}
		})
		if err != nil {
			return err
		}
	}
	if err := d.wait(); err != nil || !j.Close {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	note("closed")
	return nil
}

// driver carries out steps.
type driver struct {
	l     *ledger.Ledger
	store *store
	pause *rand.Rand // decides after which steps all of them are waited for

	open   sync.WaitGroup
	mu     sync.Mutex // guards failed
	failed error
}

func (d *driver) wait() error {
	d.open.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed
}

// submit begins a step. The error is of an earlier one, or of freezing.
func (d *driver) submit(s step, done func(error)) error {
	d.open.Add(1)
	finish := func(err error) {
		done(err)
		d.mu.Lock()
		if err != nil && d.failed == nil {
			d.failed = fmt.Errorf("%s: %w", s.what, err)
		}
		d.mu.Unlock()
		d.open.Done()
	}
	if err := d.begin(s, finish); err != nil {
		d.open.Done()
		return err
	}
	if d.pause.IntN(3) == 0 {
		return d.wait()
	}
	return nil
}

func (d *driver) begin(s step, done func(error)) error {
	l := d.l
	var id ledger.ID
	var epoch uint64
	if s.part != nil {
		id, epoch = s.part.ID, s.part.Epoch
	}
	switch s.what {
	case "schema":
		l.PutSchema(descriptor(s.schema), func(_ ledger.Fingerprint, err error) { done(err) })
	case "open":
		l.OpenEpoch(s.opening, func(_ ledger.Partition, err error) { done(err) })
	case "bind":
		if err := d.freeze(s); err != nil {
			return err
		}
		l.Bind(id, epoch, d.store.whole(s.intent), done)
	case "acknowledge":
		l.Acknowledge(id, epoch, s.number, s.end, done)
	case "seal":
		l.Seal(id, epoch, s.seal, done)
	case "settle":
		settlement := ledger.Settlement{Rows: s.settlement.Rows}
		for _, in := range s.settlement.Rest {
			settlement.Rest = append(settlement.Rest, d.store.whole(in))
		}
		l.Settle(id, epoch, settlement, func(_ ledger.Partition, err error) { done(err) })
	case "halt":
		l.Halt(id, epoch, s.halt, done)
	case "resolve":
		l.Resolve(id, epoch, s.word, done)
	case "skip":
		l.Skip(id, epoch, s.number, skipReason, done)
	case "deliver":
		l.Deliver(id, s.upTo, done)
	case "retire":
		l.Retire(id, epoch, s.part.Acked, done)
	default:
		return fmt.Errorf("step %q is not known", s.what)
	}
	return nil
}

// freeze writes the rows of a batch, and perhaps some that are given up at once.
func (d *driver) freeze(s step) error {
	if s.waste > 0 {
		p, err := d.l.Freeze(make([]byte, s.waste), 1)
		if err != nil {
			return err
		}
		defer d.l.Release(p)
	}
	for _, c := range s.contents {
		d.store.contents[string(contentDigest(c))] = c
	}
	if s.rows == nil {
		return nil
	}
	p, err := d.l.Freeze(s.rows, s.intent.Of)
	if err != nil {
		return err
	}
	d.store.payloads[s.intent.Digest] = p
	return nil
}
