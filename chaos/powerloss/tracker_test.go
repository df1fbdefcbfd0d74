package powerloss

import (
	"fmt"
	"strings"

	"github.com/eowriter/eowriter/ledger"
)

// tracker follows the notes of the drivers of one ledger, and so knows what was promised
// and what may be there besides.
type tracker struct {
	seed     uint64
	worlds   []*world // what the ledger may hold: as it was opened last, and after each step since
	digests  []string
	first    int // the number of the step after worlds[0]
	promised int // worlds before this one may not be all there is

	id            string
	nonce         uint64
	begun, opened uint64 // incarnations that may be on disk, and that must be
}

func newTracker(seed uint64) *tracker {
	t := &tracker{seed: seed, first: 1}
	t.add(&world{})
	return t
}

func (t *tracker) add(w *world) {
	t.worlds = append(t.worlds, w)
	t.digests = append(t.digests, w.digest())
}

func (t *tracker) latest() *world { return t.worlds[len(t.worlds)-1] }

// next is the number of the next step.
func (t *tracker) next() int { return t.first + len(t.worlds) - 1 }

// note follows a driver's note.
func (t *tracker) note(text string) error {
	var n, at int
	var big bool
	switch what, rest, _ := strings.Cut(strings.TrimSpace(text), " "); what {
	case "opening": // the ledger's file may be made, and the opening counted
		t.begun++
	case "opened": // and what was found is durable
		if _, err := fmt.Sscan(rest, &t.id, &t.nonce, &t.opened, &at); err != nil {
			return fmt.Errorf("note %q: %w", text, err)
		}
		t.first += at
		t.worlds, t.digests = t.worlds[at:at+1:at+1], t.digests[at:at+1:at+1]
		t.promised, t.begun = 0, t.opened
	case "submit":
		if _, err := fmt.Sscan(rest, &n, &big); err != nil || n != t.next() {
			return fmt.Errorf("note %q, not of step %d: %w", text, t.next(), err)
		}
		t.add(t.latest().after(next(t.latest(), t.seed, n, big)))
	case "done":
		if _, err := fmt.Sscan(rest, &n); err != nil || n < t.first || n >= t.next() {
			return fmt.Errorf("note %q, between steps %d and %d: %w", text, t.first, t.next(), err)
		}
		t.promised = n - t.first + 1
	case "closed":
	default:
		return fmt.Errorf("note %q is not known", text)
	}
	return nil
}

// find says which of the worlds that may be there this is.
func (t *tracker) find(w *world) (at int, err error) {
	digest := w.digest()
	for at := len(t.worlds) - 1; at >= t.promised; at-- {
		if t.digests[at] == digest {
			return at, nil
		}
	}
	for at := range t.promised {
		if t.digests[at] == digest {
			return 0, fmt.Errorf("step %d was promised, and the ledger is as it was after step %d", t.first+t.promised-1, t.first+at-1)
		}
	}
	return 0, fmt.Errorf("step %d was promised, %d have begun, and the ledger is none of that:\n%s\nwanted: %s\nor: %s",
		t.first+t.promised-1, t.next()-1, digest, t.digests[t.promised], t.digests[len(t.digests)-1])
}

// examine says what is wrong with a ledger that was opened after a power loss, and which
// of the worlds it holds.
func (t *tracker) examine(l *ledger.Ledger) (at int, s *store, err error) {
	violations, err := l.Check()
	if err != nil {
		return 0, nil, err
	}
	if len(violations) > 0 {
		return 0, nil, fmt.Errorf("Check finds %v", violations)
	}
	w, s, err := observe(l)
	if err != nil {
		return 0, nil, err
	}
	if at, err = t.find(w); err != nil {
		return 0, nil, err
	}
	if t.opened == 0 {
		return at, s, nil // nobody was told of this ledger
	}
	if before := l.Incarnation() - 1; l.ID() != t.id || before < t.opened || before > t.begun {
		return 0, nil, fmt.Errorf("the ledger is %s in incarnation %d, and was %s in %d to %d", l.ID(), before, t.id, t.opened, t.begun)
	}
	if l.Identity().Nonce != t.nonce {
		return 0, nil, fmt.Errorf("%w: in incarnation %d, opened in %d", errSuspects, l.Incarnation(), t.opened)
	}
	return at, s, nil
}

var errSuspects = fmt.Errorf("the ledger suspects itself")
