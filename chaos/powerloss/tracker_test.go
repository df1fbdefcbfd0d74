package powerloss

import (
	"fmt"
	"strings"

	"github.com/eowriter/eowriter/ledger"
)

// tracker follows the notes of the drivers of one ledger, and so knows what was promised
// and what may be there besides.
type tracker struct {
	Seed     uint64
	Worlds   []*world // what the ledger may hold: as it was opened last, and after each step since
	First    int      // the number of the step after Worlds[0]
	Promised int      // Worlds before this one are too little

	ID            string
	Begun, Opened uint64 // incarnations that may be on disk, and that must be
}

func newTracker(seed uint64) *tracker {
	return &tracker{Seed: seed, First: 1, Worlds: []*world{{}}}
}

func (t *tracker) latest() *world { return t.Worlds[len(t.Worlds)-1] }

// next is the number of the next step.
func (t *tracker) next() int { return t.First + len(t.Worlds) - 1 }

// note follows a driver's note.
func (t *tracker) note(text string) error {
	var n, at int
	var big bool
	switch what, rest, _ := strings.Cut(strings.TrimSpace(text), " "); what {
	case "opening": // the ledger's file may be made, and the opening counted
		t.Begun++
	case "compacting": // it is opened once more, and the copy counts one more
		t.Begun += 2
	case "opened": // and what was found is durable
		if _, err := fmt.Sscan(rest, &t.ID, &t.Opened, &at); err != nil {
			return fmt.Errorf("note %q: %w", text, err)
		}
		t.First += at
		t.Worlds = t.Worlds[at : at+1 : at+1]
		t.Promised, t.Begun = 0, t.Opened
	case "submit":
		if _, err := fmt.Sscan(rest, &n, &big); err != nil || n != t.next() {
			return fmt.Errorf("note %q, not of step %d: %w", text, t.next(), err)
		}
		t.Worlds = append(t.Worlds, t.latest().after(next(t.latest(), t.Seed, n, big)))
	case "done":
		if _, err := fmt.Sscan(rest, &n); err != nil || n < t.First || n >= t.next() {
			return fmt.Errorf("note %q, between steps %d and %d: %w", text, t.First, t.next(), err)
		}
		t.Promised = n - t.First + 1
	case "closed":
	default:
		return fmt.Errorf("note %q is not known", text)
	}
	return nil
}

// find says which of the worlds that may be there this is.
func (t *tracker) find(w *world) (at int, err error) {
	digest := w.digest()
	for at := len(t.Worlds) - 1; at >= t.Promised; at-- {
		if t.Worlds[at].digest() == digest {
			return at, nil
		}
	}
	for at := range t.Promised {
		if t.Worlds[at].digest() == digest {
			return 0, fmt.Errorf("step %d was promised, and the ledger is as it was after step %d", t.First+t.Promised-1, t.First+at-1)
		}
	}
	return 0, fmt.Errorf("step %d was promised, %d have begun, and the ledger is none of that:\n%s\nwanted: %s\nor: %s",
		t.First+t.Promised-1, t.next()-1, digest, t.Worlds[t.Promised].digest(), t.latest().digest())
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
	if t.Opened == 0 {
		return at, s, nil // nobody was told of this ledger
	}
	if before := l.Incarnation() - 1; l.ID() != t.ID || before < t.Opened || before > t.Begun {
		return 0, nil, fmt.Errorf("the ledger is %s in incarnation %d, and was %s in %d to %d", l.ID(), before, t.ID, t.Opened, t.Begun)
	}
	return at, s, t.suspects(l)
}

// suspects says whether a ledger takes itself for one that was moved or restored. None was.
func (t *tracker) suspects(l *ledger.Ledger) error {
	all, err := l.Partitions()
	if err != nil {
		return err
	}
	suspicious := l.Moved()
	for _, p := range all {
		suspicious = suspicious || p.Owner != l.Identity() || p.Seal != nil && p.Seal.Owner != l.Identity()
	}
	if suspicious {
		return fmt.Errorf("%w: in incarnation %d, opened in %d", errSuspects, l.Incarnation(), t.Opened)
	}
	return nil
}

var errSuspects = fmt.Errorf("the ledger suspects itself")
