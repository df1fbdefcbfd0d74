package powerloss

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/eowriter/eowriter/ledger"
)

// world is all that a ledger says, as it must be after some steps: a model of package
// ledger that knows nothing of files. Times, places and owners are left out. Contents of dead rows stand as
// their digests.
type world struct {
	Partitions []*part // in the order of IDs
	Retired    []ledger.Retired
	Schemas    int // that there are: descriptor(0) and so on
	LastID     ledger.ID
	Streams    int // made so far

	told string // digest
}

type part struct {
	ledger.Partition
	Open    []ledger.Intent
	Letters []ledger.Letter
	Number  uint64 // the last that was given to an intent
	Row     int    // rows of the source so far
}

func (w *world) clone() *world {
	c := *w
	c.told = ""
	c.Partitions = make([]*part, len(w.Partitions))
	for i, p := range w.Partitions {
		q := *p
		q.Open, q.Letters = slices.Clone(p.Open), slices.Clone(p.Letters)
		c.Partitions[i] = &q
	}
	c.Retired = slices.Clone(w.Retired)
	return &c
}

// digest tells worlds apart in what a ledger says of them.
func (w *world) digest() string {
	if w.told != "" {
		return w.told
	}
	c := w.clone()
	c.Streams, c.LastID = 0, 0
	for _, p := range c.Partitions {
		p.Number, p.Row = 0, 0
	}
	slices.SortFunc(c.Retired, func(a, b ledger.Retired) int {
		if a.Stream < b.Stream {
			return -1
		}
		return 1
	})
	text, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	w.told = string(text)
	return w.told
}

const table = "projects/p/datasets/d/tables/t"

func descriptor(n int) []byte { return filler(fmt.Sprint("descriptor ", n), 100+n*3000) }

func fingerprint(n int) ledger.Fingerprint { return ledger.FingerprintOf(descriptor(n)) }

// filler is text that nothing else has, of about a length.
func filler(name string, length int) []byte {
	digest := ledger.DigestOf([][]byte{[]byte(name)})
	b := append([]byte(name+" "), make([]byte, length)...)
	var key [32]byte
	copy(key[:], digest[:])
	_, _ = rand.NewChaCha8(key).Read(b[len(name)+1:]) // never fails
	return b
}

func contentDigest(content []byte) []byte {
	d := ledger.DigestOf([][]byte{content})
	return d[:]
}

// observe reads all of a ledger, frozen rows included, as a world. It also returns what
// a driver needs: where the rows of open intents are, and the contents of dead rows.
func observe(l *ledger.Ledger) (*world, *store, error) {
	w, s := &world{}, newStore()
	all, err := l.Partitions()
	if err != nil {
		return nil, nil, err
	}
	for _, listed := range all {
		p, open, err := l.Partition(listed.Key)
		if err != nil {
			return nil, nil, err
		}
		letters, err := l.Letters(p.ID, p.Delivered, 1<<40)
		if err != nil {
			return nil, nil, err
		}
		for i := range open {
			if err := s.keep(l, &open[i]); err != nil {
				return nil, nil, err
			}
		}
		for i := range letters {
			letters[i].At = time.Time{}
			letters[i].Content = contentDigest(letters[i].Content)
		}
		w.Partitions = append(w.Partitions, &part{Partition: timeless(p), Open: open, Letters: letters})
	}
	slices.SortFunc(w.Partitions, func(a, b *part) int { return int(a.ID) - int(b.ID) })
	if w.Retired, err = l.Retired(); err != nil {
		return nil, nil, err
	}
	for i := range w.Retired {
		w.Retired[i].At = time.Time{}
	}
	for ; ; w.Schemas++ {
		b, err := l.Schema(fingerprint(w.Schemas))
		if err != nil {
			break // there are no more
		}
		if string(b) != string(descriptor(w.Schemas)) {
			return nil, nil, fmt.Errorf("schema %d has another descriptor", w.Schemas)
		}
	}
	return w, s, nil
}

func timeless(p ledger.Partition) ledger.Partition {
	p.Created, p.Updated, p.Owner = time.Time{}, time.Time{}, ledger.Identity{}
	if p.Seal != nil {
		s := *p.Seal
		s.At, s.Owner = time.Time{}, ledger.Identity{}
		p.Seal = &s
	}
	if p.Halt != nil {
		h := *p.Halt
		h.At = time.Time{}
		p.Halt = &h
	}
	if p.Resolution != nil {
		r := *p.Resolution
		r.At = time.Time{}
		p.Resolution = &r
	}
	return p
}

// store has what a world leaves out of the intents that are open.
type store struct {
	payloads map[ledger.Digest]ledger.Payload
	contents map[string][]byte // of dead rows, by their digests
}

func newStore() *store {
	return &store{payloads: map[ledger.Digest]ledger.Payload{}, contents: map[string][]byte{}}
}

// keep takes out of an intent what a world leaves out, and checks that its frozen rows
// are those that were bound.
func (s *store) keep(l *ledger.Ledger, in *ledger.Intent) error {
	if in.Payload.Segment != 0 {
		content, err := l.Frozen(in.Payload)
		if err != nil {
			return err
		}
		if ledger.DigestOf([][]byte{content}) != in.Digest {
			return fmt.Errorf("the frozen rows of the intent at %d are not those that were bound", in.Start)
		}
		s.payloads[in.Digest] = in.Payload
		in.Payload = ledger.Payload{Segment: 1} // that it has one
	}
	for i := range in.Dead {
		d := &in.Dead[i]
		digest := contentDigest(d.Content)
		s.contents[string(digest)] = d.Content
		d.Content = digest
	}
	return nil
}

// whole gives an intent back what a world leaves out of it.
func (s *store) whole(in ledger.Intent) ledger.Intent {
	if in.Payload.Segment != 0 {
		in.Payload = s.payloads[in.Digest]
	}
	in.Dead = slices.Clone(in.Dead)
	for i := range in.Dead {
		in.Dead[i].Content = s.contents[string(in.Dead[i].Content)]
	}
	return in
}
