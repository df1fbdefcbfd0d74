package powerloss

import (
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/eowriter/eowriter/ledger"
)

// judgeJob is for a process that makes images of a recording and opens them.
type judgeJob struct {
	Recording string // the file
	Progress  string // a file that holds the number of the image at hand, for when this process dies
	Skip      int    // images, which another process has looked at
	Images    int    // in all
	Stop      int    // after so many findings; 0: never
}

// finding is what is wrong with an image.
type finding struct {
	Image    int
	Suspects bool // nothing is wrong but that the ledger suspects itself
	Text     string
}

// report is a line that a judge writes.
type report struct {
	Finding *finding `json:",omitempty"`
	Done    *tally   `json:",omitempty"` // the last line
}

// tally is what a judge has done.
type tally struct {
	Images, Windows, Events int
	Promised                int // steps
}

// judge plays a recording, and looks at images of it whenever more becomes durable: at
// that moment all is possible that was since the last time, and most is promised.
type judge struct {
	judgeJob
	recording
	disk     Disk
	tracker  *tracker
	progress *os.File
	out      *json.Encoder
	watch    *time.Timer

	image    int // number of the one at hand
	findings int
	tally    tally
}

func (j judgeJob) run() error {
	runtime.GOMAXPROCS(1)    // there are others
	debug.SetGCPercent(1000) // little is in use
	f, err := os.Open(j.Recording)
	if err != nil {
		return err
	}
	defer f.Close()
	g := &judge{judgeJob: j, out: json.NewEncoder(os.Stdout)}
	if err := gob.NewDecoder(f).Decode(&g.recording); err != nil {
		return err
	}
	if g.progress, err = os.Create(j.Progress); err != nil {
		return err
	}
	defer g.progress.Close()
	const patience = 5 * time.Minute // for one image: far more than any needs
	g.watch = time.AfterFunc(patience, func() { panic("this image hangs") })
	defer g.watch.Stop()
	if err := g.play(patience); err != nil {
		return err
	}
	return g.out.Encode(report{Done: &g.tally})
}

// play goes through the recording.
func (g *judge) play(patience time.Duration) error {
	windows, err := g.windows()
	if err != nil {
		return err
	}
	g.tracker = newTracker(g.Seed)
	for i, e := range g.Events {
		if windows > 0 && (g.disk.Hardens(e) || e.Kind == Loss || i == len(g.Events)-1) {
			quota := (g.Images - g.image + windows - 1) / windows
			windows--
			if err := g.window(quota, patience); err != nil {
				return err
			}
			if g.Stop > 0 && g.findings >= g.Stop {
				return nil
			}
		}
		if err := g.disk.Apply(e); err != nil {
			return err
		}
		if e.Kind == Note {
			if err := g.tracker.note(e.Text); err != nil {
				return err
			}
			if e.Text[0] == 'd' {
				g.tally.Promised++
			}
		}
	}
	g.tally.Events = len(g.Events)
	return nil
}

// windows counts the moments at which images are made.
func (g *judge) windows() (n int, err error) {
	var d Disk
	for i, e := range g.Events {
		if d.Hardens(e) || e.Kind == Loss || i == len(g.Events)-1 {
			n++
		}
		if err := d.Apply(e); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// manyAtoms is when an image takes so long that few must do.
const manyAtoms = 1000

// window looks at different images of one moment, up to quota.
func (g *judge) window(quota int, patience time.Duration) error {
	g.tally.Windows++
	atoms := g.disk.Atoms()
	n := len(atoms)
	if n > manyAtoms {
		quota = min(quota, 10)
	}
	random := keyed(g.Seed, g.tally.Windows)
	order := random.Perm(systematic(n))
	seen := map[string]bool{}
	for try := 0; len(seen) < quota && try < len(order)+2*quota; try++ {
		i := systematic(n)
		if try < len(order) {
			i = order[try]
		}
		choices := pick(n, i, random)
		seed := random.Uint64()
		key := fmt.Sprint(choices)
		if seen[key] {
			continue
		}
		seen[key] = true
		g.image++
		if g.image <= g.Skip {
			continue
		}
		g.watch.Reset(patience)
		if _, err := g.progress.WriteAt(fmt.Appendf(nil, "%-12d", g.image), 0); err != nil {
			return err
		}
		if err := Empty(g.Folder); err != nil {
			return err
		}
		image := g.disk.Image(atoms, choices, seed)
		if err := image.Put(g.Folder, g.Kept); err != nil {
			return err
		}
		g.tally.Images++
		if err := g.look(random.Uint64()); err != nil {
			g.findings++
			f := &finding{Image: g.image, Suspects: errors.Is(err, errSuspects), Text: err.Error()}
			if err := g.out.Encode(report{Finding: f}); err != nil {
				return err
			}
			if g.Stop > 0 && g.findings >= g.Stop {
				return nil
			}
		}
	}
	return nil
}

// look opens the ledger in the folder and says what is wrong with it.
func (g *judge) look(seed uint64) error {
	l, err := ledger.Open(filepath.Join(g.Folder, ledgerName), &ledger.Options{SegmentBytes: segmentBytes})
	if err != nil {
		return err
	}
	at, s, err := g.tracker.examine(l)
	if err == nil && g.image%16 == 0 {
		err = g.goOn(l, at, s, seed)
	}
	return errors.Join(err, l.Close())
}

// goOn checks that the ledger can be used: steps are taken, and they are there.
func (g *judge) goOn(l *ledger.Ledger, at int, s *store, seed uint64) error {
	w := g.tracker.Worlds[at]
	d := &driver{l: l, store: s, pause: keyed(seed, 0)}
	for n := range 3 {
		s := next(w, seed, n, false)
		if err := d.submit(s, func(error) {}); err != nil {
			return err
		}
		w = w.after(s)
	}
	if err := d.wait(); err != nil {
		return err
	}
	found, _, err := observe(l)
	if err != nil {
		return err
	}
	if found.digest() != w.digest() {
		return fmt.Errorf("after three more steps the ledger is\n%s\nwanted: %s", found.digest(), w.digest())
	}
	return nil
}
