package powerloss

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

const ledgerName = "test.ledger"

// recording is what happened to a ledger in the lives of several processes.
type recording struct {
	Seed   uint64
	Folder string // where it happened, and where images are made: the ledger knows its place
	Events []Event
	Kept   map[int]string // other names of ledgers' files, by number
}

// recorder makes a recording.
type recorder struct {
	t *testing.T
	recording
	strace string // the program
	side   string // for its own files, beside the folder
	disk   Disk
	found  *tracker
	calls  int
}

// ramFolder is a new folder in memory, where that is possible.
func ramFolder(t *testing.T) string {
	name, err := os.MkdirTemp("/dev/shm", "eowriter-powerloss-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(name) })
	return name
}

// kill is a system call at which a process is killed, counted for each of its threads.
type kill struct {
	call string
	n    int
}

func (k kill) String() string { return fmt.Sprintf("inject=%s:signal=KILL:when=%d", k.call, k.n) }

// rareKills are those of creating, opening, and making segments; the others are drawn.
var rareKills = []kill{
	{"fsync", 1}, {"fsync", 2}, {"fsync", 3}, {"fsync", 4}, {"fsync", 5}, {"fsync", 6}, {"fsync", 7}, {"fsync", 8}, {"fsync", 9},
	{"linkat", 1}, {"renameat", 1}, {"renameat", 2}, {"renameat", 3}, {"renameat", 4}, {"mkdirat", 1}, {"unlinkat", 1}, {"unlinkat", 2}, {"unlinkat", 3}, {"fallocate", 1}, {"fallocate", 2},
}

func drawKill(random *rand.Rand) kill {
	switch random.IntN(6) {
	case 0:
		return kill{"fdatasync", 1 + random.IntN(80)}
	case 1:
		return kill{"pwrite64", 1 + random.IntN(160)}
	case 2:
		return kill{"pwritev", 1 + random.IntN(20)}
	}
	return rareKills[random.IntN(len(rareKills))]
}

// life is that of one process of a recording.
type life struct {
	steps   int
	big     bool // has a big step near its end
	close   bool // it closes the ledger, or ends without that
	compact bool // it makes the file smaller instead, if there is one
	dies    kill // unless it is zero; it may end before that
	loss    bool // and then the power is lost
}

func drawLives(seed uint64, n int, losses bool) (lives []life) {
	random := keyed(seed, -1)
	for i := range n {
		l := life{steps: 20 + random.IntN(40), close: random.IntN(2) == 0, loss: losses && random.IntN(2) == 0}
		if i > 0 && random.IntN(5) == 0 {
			l = life{compact: true, loss: l.loss}
		}
		if random.IntN(3) > 0 {
			l.dies = drawKill(random)
		}
		if i == n-1 {
			l = life{steps: l.steps, big: true, close: true}
		}
		lives = append(lives, l)
	}
	return lives
}

// record runs processes one after another.
func record(t *testing.T, seed uint64, lives []life) recording {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: it records what a ledger writes")
	}
	for range 20 {
		base := ramFolder(t)
		r := &recorder{t: t, strace: strace, side: base, found: newTracker(seed), recording: recording{
			Seed: seed, Folder: filepath.Join(base, "disk"), Kept: map[int]string{},
		}}
		require.NoError(t, os.Mkdir(r.Folder, 0o700))
		if r.live(lives) {
			return r.recording
		}
	}
	t.Fatal("strace stumbles again and again over processes that it has killed")
	return recording{}
}

// live has all processes live. It is false when strace stumbled over one that it had
// killed, or did not see what a thread of it was at: then the recording may lack something.
func (r *recorder) live(lives []life) bool {
	for i, l := range lives {
		if l.compact && r.disk.Number(ledgerName) == 0 {
			continue
		}
		// Segments of another size are made anew, but not in every life.
		if !r.liveOne(l, segmentBytes*int64(1+(i+1)/2%2)) {
			return false
		}
		if l.loss {
			r.lose(keyed(r.Seed, -2-i))
		}
	}
	return true
}

// liveOne runs a process and plays what it did to the disk.
func (r *recorder) liveOne(l life, segments int64) bool {
	j := driveJob{
		Path: filepath.Join(r.Folder, ledgerName), Found: r.found, Segments: segments,
		Steps: l.steps, Big: l.big, Close: l.close, Compact: l.compact,
	}
	log := filepath.Join(r.side, "trace")
	under := slices.Concat([]string{r.strace}, TraceArguments, []string{log})
	if l.dies != (kill{}) {
		under = append(under, "-e", l.dies.String())
	}
	cmd, err := child(job{Drive: &j}, under...)
	require.NoError(r.t, err)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	err = cmd.Run() // its standard output is /dev/null: notes are read from the trace
	if l.dies != (kill{}) && strings.HasPrefix(errs.String(), r.strace+": ptrace(") {
		return false
	}
	if l.dies == (kill{}) || !killed(err) {
		require.NoError(r.t, err, "a driver of seed %d: %s", r.Seed, &errs)
	}

	f, err := os.Open(log)
	require.NoError(r.t, err)
	defer f.Close()
	events, err := Parse(f, r.Folder, r.calls)
	if errors.Is(err, errUnseen) { // also at an exit with a ledger open
		return false
	}
	require.NoError(r.t, err)
	for _, e := range events {
		r.add(e)
	}
	for _, e := range r.disk.outcomes(r.t, r.Folder) {
		r.add(e)
	}
	require.NoError(r.t, os.Remove(log))
	r.keep()
	r.requireSame()
	return true
}

// killed says whether a process was ended by SIGKILL.
func killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

func (r *recorder) add(e Event) {
	require.NoError(r.t, r.disk.Apply(e))
	r.Events = append(r.Events, e)
	r.calls = max(r.calls, e.Call)
	if e.Kind == Note {
		require.NoError(r.t, r.found.note(e.Text))
	}
}

// keep gives the ledger's file another name, so that it stays the same file in images.
func (r *recorder) keep() {
	number := r.disk.Number(ledgerName)
	if number == 0 || r.Kept[number] != "" {
		return
	}
	name := filepath.Join(r.side, fmt.Sprintf("kept-%d", number))
	require.NoError(r.t, os.Link(filepath.Join(r.Folder, ledgerName), name))
	r.Kept[number] = name
}

// lose makes the folder what a power loss could leave of it now.
func (r *recorder) lose(random *rand.Rand) {
	atoms := r.disk.Atoms()
	e := Event{Kind: Loss, Seed: random.Uint64(), Choices: pick(len(atoms), random.IntN(2*systematic(len(atoms))), random)}
	image := r.disk.Image(atoms, e.Choices, e.Seed)
	require.NoError(r.t, Empty(r.Folder))
	require.NoError(r.t, image.Put(r.Folder, r.Kept))
	r.add(e)
	r.requireSame()
}

// requireSame checks that all that happened was recorded: with everything there, the
// image is what the folder really holds.
func (r *recorder) requireSame() {
	atoms := r.disk.Atoms()
	choices := make([]Choice, len(atoms))
	fill(choices)
	image := r.disk.Image(atoms, choices, 0)
	found := 0
	require.NoError(r.t, filepath.WalkDir(r.Folder, func(path string, d os.DirEntry, err error) error {
		name := strings.TrimPrefix(strings.TrimPrefix(path, r.Folder), "/")
		if err != nil || name == "" {
			return err
		}
		found++
		number := image.Names[name]
		if d.IsDir() {
			require.Equal(r.t, folder, number, name)
			return nil
		}
		require.Positive(r.t, number, name)
		f := image.flatten(number)
		want, err := os.ReadFile(path)
		require.NoError(r.t, err)
		require.EqualValues(r.t, len(want), f.size, "size of %s", name)
		f.content = append(f.content, make([]byte, len(want)-len(f.content))...)
		at := same(want, f.content)
		if at < len(want) {
			require.Failf(r.t, "the recording is not what happened", "%s at %d", name, at)
		}
		return nil
	}))
	require.Len(r.t, image.Names, found)
}

// outcomes says what became of calls in which a process was killed, by looking.
func (d *Disk) outcomes(t *testing.T, in string) (events []Event) {
	for _, c := range d.pending {
		if c.ended {
			continue
		}
		e := Event{Kind: Ended, Call: c.call, N: -1}
		there := func(path string) bool {
			_, err := os.Lstat(filepath.Join(in, path))
			return err == nil
		}
		switch {
		case c.to != nil:
			if n := c.to[0]; there(n.path) == (n.is != gone) {
				e.N = 0
			}
		default:
			content := d.read(t, in, c.file)
			if c.resize && int64(len(content)) >= c.offset {
				e.N = 0
			}
			if !c.resize && int64(len(content)) > c.offset {
				e.N = int64(same(content[c.offset:], c.data))
			}
		}
		events = append(events, e)
	}
	return events
}

func (d *Disk) read(t *testing.T, in string, number int) []byte {
	for name, n := range d.current {
		if n == number {
			content, err := os.ReadFile(filepath.Join(in, name))
			require.NoError(t, err)
			return content
		}
	}
	return nil
}

// same counts the bytes that two texts begin with alike.
func same(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}
