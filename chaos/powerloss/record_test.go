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
	side  string // for its own files, beside the folder
	disk  Disk
	notes []string
	calls int
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

// kills are the system calls at which processes are killed, and about how many of each
// a process makes.
var kills = []struct {
	call string
	upTo int
}{{"fsync", 9}, {"fdatasync", 80}, {"pwrite64", 160}, {"pwritev", 20}, {"linkat", 1}, {"renameat", 1}, {"mkdirat", 1}, {"unlinkat", 3}}

// record runs processes one after another. Without losses the power is lost only in
// images.
func record(t *testing.T, seed uint64, lives int, losses bool) recording {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: it records what a ledger writes")
	}
	base := ramFolder(t)
	r := &recorder{t: t, side: base, recording: recording{
		Seed: seed, Folder: filepath.Join(base, "disk"), Kept: map[int]string{},
	}}
	require.NoError(t, os.Mkdir(r.Folder, 0o700))
	random := rand.New(rand.NewPCG(seed, 0))
	for life := range lives {
		last := life == lives-1
		j := driveJob{
			Path: filepath.Join(r.Folder, ledgerName), Seed: seed, Notes: r.notes,
			Steps: 20 + random.IntN(40), Big: last, Close: last || random.IntN(2) == 0,
		}
		under := []string{strace, "--seccomp-bpf"}
		kill := !last && random.IntN(2) == 0
		if kill {
			k := kills[random.IntN(len(kills))]
			under = append(under, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", k.call, 1+random.IntN(k.upTo)))
		}
		r.live(j, under, kill)
		if losses && !last && random.IntN(2) == 0 {
			r.lose(random)
		}
	}
	return r.recording
}

// live runs a process and plays what it did to the disk.
func (r *recorder) live(j driveJob, under []string, mayDie bool) {
	log := filepath.Join(r.side, "trace")
	cmd, err := child(job{Drive: &j}, slices.Concat(under, TraceArguments, []string{log})...)
	require.NoError(r.t, err)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	err = cmd.Run() // its standard output is /dev/null: notes are read from the trace
	var exit *exec.ExitError
	if mayDie && errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		err = nil
	}
	require.NoError(r.t, err, "a driver of seed %d: %s", r.Seed, &errs)

	f, err := os.Open(log)
	require.NoError(r.t, err)
	defer f.Close()
	events, err := Parse(f, r.Folder, r.calls)
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
}

func (r *recorder) add(e Event) {
	require.NoError(r.t, r.disk.Apply(e))
	r.Events = append(r.Events, e)
	r.calls = max(r.calls, e.Call)
	if e.Kind == Note {
		r.notes = append(r.notes, e.Text)
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
	require.NoError(r.t, filepath.WalkDir(r.Folder, func(at string, d os.DirEntry, err error) error {
		name := strings.TrimPrefix(strings.TrimPrefix(at, r.Folder), "/")
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
		want, err := os.ReadFile(at)
		require.NoError(r.t, err)
		require.EqualValues(r.t, len(want), f.size, "size of %s", name)
		if !bytes.Equal(want[:len(f.content)], f.content) || len(bytes.TrimLeft(want[len(f.content):], "\x00")) > 0 {
			require.Fail(r.t, "the recording is not what happened", name)
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
