package chaos_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/eowriter/eowriter/chaos/emulator"
	"github.com/eowriter/eowriter/chaos/workload"
	"github.com/eowriter/eowriter/committed"
	"github.com/eowriter/eowriter/ledger"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// diskFault is a system call that fails in a writer's process: the nth one of each of
// its threads, and perhaps all that follow.
type diskFault struct {
	call, errno string
	n           int
	on          bool
}

func (f diskFault) String() string {
	on := ""
	if f.on {
		on = "+"
	}
	return fmt.Sprintf("%s:error=%s:when=%d%s", f.call, f.errno, f.n, on)
}

// diskFaults are the ways in which a disk fails. bbolt writes with pwrite64, segments are
// written with pwritev, and made with fallocate.
func diskFaults() (all []diskFault) {
	for _, n := range []int{1, 2, 3, 4, 6, 9, 13, 20, 30} {
		all = append(all, diskFault{"fdatasync", "EIO", n, false}, diskFault{"pwrite64", "EIO", n, false}, diskFault{"pwrite64", "ENOSPC", 2 * n, true})
	}
	for n := range 5 {
		all = append(all, diskFault{"fsync", "EIO", n + 1, false}, diskFault{"pwritev", "EIO", 2*n + 1, false}, diskFault{"pwritev", "ENOSPC", 2*n + 1, true})
	}
	return append(all, diskFault{"fallocate", "ENOSPC", 1, true}, diskFault{"ftruncate", "ENOSPC", 1, true}, diskFault{"linkat", "EIO", 1, true}, diskFault{"renameat", "ENOSPC", 1, true})
}

// TestDiskFaults has the writer's disk fail, at every kind of call. If it failed, a writer
// would go on with a ledger that it can't know, say that something landed or is stored
// that is not, or not find its way when the disk works again.
func TestDiskFaults(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: it has the disk fail")
	}
	var mu sync.Mutex // guards causes
	causes := map[string]int{}
	t.Run("all", func(t *testing.T) {
		for i, f := range diskFaults() {
			if testing.Short() && i%4 != 0 {
				continue
			}
			t.Run(f.String(), func(t *testing.T) {
				t.Parallel()
				a := newArena(t, workload.Script{Frozen: f.call == "pwritev" || f.call == "fallocate" || i%2 == 0}, emulator.Options{})
				cause := a.runFailing(strace, "-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", "trace="+f.call, "-e", "inject="+f.String())
				mu.Lock()
				defer mu.Unlock()
				causes[cause]++
			})
		}
	})
	t.Logf("why writers stopped: %v", causes)
	if !testing.Short() {
		require.Greater(t, causes["failed"], 5, "too few faults hit a commit")
	}
}

// runFailing runs a writer in a child whose disk fails or not, checks that it is sound
// and that a writer whose disk works finishes the job, and says why the first one stopped.
func (a *arena) runFailing(program ...string) (cause string) {
	cause = "nothing"
	killed, err := a.script.Child(append(program, os.Args[0]), func(*os.Process, <-chan struct{}) {}, func(n workload.Note) {
		a.log.Add(n)
		if n.Kind == workload.Stopped && n.Partition != "" {
			cause = n.Cause
			if strings.Contains(n.Text, ledger.ErrFailed.Error()) {
				require.Contains(a.t, n.Text, "unknown") // what became of the last writes
				cause = "failed"
			}
			if strings.Contains(n.Text, ": freeze ") {
				cause = "no place for rows" // which refuses that batch alone
			}
		}
	})
	require.False(a.t, killed)
	if err != nil && cause == "nothing" {
		cause = "not opened"
	}
	require.Equal(a.t, err != nil, cause != "nothing", "%v", err)
	require.Contains(a.t, []string{"nothing", "not opened", "no place for rows", "failed"}, cause, "%v", err)
	require.NotContains(a.t, fmt.Sprint(err), "panic")
	a.settle()
	a.requireSound()
	require.Empty(a.t, a.run())
	a.requireComplete()
	return cause
}

// TestDiskFull has the writer run on a disk that gets full, for good and really. If it
// failed, a full disk would cost rows, or need more than room to go on.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system to fill it")
	}
	for _, frozen := range []bool{false, true} {
		for _, left := range []int64{0, 4, 16, 40, 64, 100} { // KiB
			t.Run(fmt.Sprintf("%d KiB left, %s", left, mode(frozen)), func(t *testing.T) {
				dir := t.TempDir()
				if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size=4m"); err != nil {
					t.Skipf("no tmpfs can be mounted here: %v", err)
				}
				t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
				a := newArena(t, workload.Script{Frozen: frozen}, emulator.Options{})
				a.use(filepath.Join(dir, "test.ledger"))
				a.crash(workload.Point{Step: committed.B2, Done: true, Nth: middle(committed.B2)})
				a.settle()
				filler := fillDisk(t, dir, left<<10)
				_, err := a.script.Child([]string{os.Args[0]}, func(*os.Process, <-chan struct{}) {}, a.log.Add)
				if left == 0 {
					require.ErrorContains(t, err, "no space left on device")
				}
				a.settle()
				a.requireSound()
				require.NoError(t, os.Remove(filler))
				require.Empty(t, a.run())
				a.requireComplete()
			})
		}
	}
}

// fillDisk takes all that a disk has but left bytes.
func fillDisk(t *testing.T, dir string, left int64) (filler string) {
	var st unix.Statfs_t
	require.NoError(t, unix.Statfs(dir, &st))
	filler = filepath.Join(dir, "filler")
	free := int64(st.Bfree) * st.Bsize
	require.Greater(t, free, left)
	require.NoError(t, os.WriteFile(filler, make([]byte, free-left), 0o600))
	return filler
}

// TestDamagedLedger truncates the ledger of a writer that died, and tears its last page.
// If it failed, a writer would go on from a ledger that is not what it wrote.
func TestDamagedLedger(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		t.Run(mode(frozen), func(t *testing.T) {
			a := stopAt(t, workload.Point{Step: committed.B5, Nth: middle(committed.B5)}, frozen)
			want := openToRead(t, a.script.Ledger)
			content, err := os.ReadFile(a.script.Ledger)
			require.NoError(t, err)
			written := len(strings.TrimRight(string(content), "\x00"))
			last := (written - 1) / 4096 * 4096
			for _, size := range []int{0, 1, 512, 4096, 4097, 8192, 12288, last - 4096, last, last + 512, written - 1} {
				require.True(t, a.refuses(content[:size], want), "%d of %d bytes", size, len(content))
			}
			random := rand.NewChaCha8([32]byte{1})
			refused := 0
			for n := 512; n < 4096; n += 512 {
				torn := slices.Clone(content)
				_, _ = random.Read(torn[last+n : last+4096]) // never fails
				if a.refuses(torn, want) {
					refused++
				}
			}
			t.Logf("%d torn pages of 7 were refused, the others held nothing there", refused)
			require.NoError(t, os.WriteFile(a.script.Ledger, content, 0o600))
			require.Empty(t, a.run())
			a.requireComplete()
		})
	}
}

// refuses says whether the writer stops with a ledger of this content, having sent
// nothing. If it does not, the ledger must be as it was.
func (a *arena) refuses(content []byte, want workload.State) bool {
	require.NoError(a.t, os.WriteFile(a.script.Ledger, content, 0o600)) // in its place, so that it is not suspicious
	if got, err := workload.ReadLedger(a.script.Ledger); err == nil && len(got.Violations) == 0 {
		require.Equal(a.t, want, got)
		return false
	}
	before := a.srv.Stats()
	ctx, cancel := context.WithTimeout(context.Background(), workload.RunTime)
	defer cancel()
	failed := a.script.Run(ctx, a.srv.ClientOptions(), func(workload.Note) {})
	require.ErrorIs(a.t, failed[""], ledger.ErrCorrupt)
	require.Equal(a.t, before, a.srv.Stats())
	return true
}

// TestDamagedSegments damages frozen rows that have not landed. If it failed, a writer
// would send what was not bound, or give up what is whole.
func TestDamagedSegments(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"gone":      os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 20) },
		"torn": func(path string) error {
			b, err := os.ReadFile(path)
			for page := 0; page+4096 <= len(b); page += 4096 {
				b[page+45]++ // in the rows of a frame
			}
			if err != nil {
				return err
			}
			return os.WriteFile(path, b, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArena(t, workload.Script{Frozen: true}, emulator.Options{})
			a.srv.Inject(emulator.Fault{Kind: emulator.CloseBefore, After: 20}) // from then on nothing lands
			a.crash(workload.Point{Step: committed.B2, Done: true, Nth: 24})
			a.srv.ClearFaults()
			a.settle()
			segments, err := filepath.Glob(a.script.Ledger + ".segments/*")
			require.NoError(t, err)
			require.NotEmpty(t, segments)
			kept, damaged := map[string][]byte{}, map[string][]byte{}
			for _, s := range segments {
				kept[s], err = os.ReadFile(s)
				require.NoError(t, err)
				require.NoError(t, damage(s))
				damaged[s], _ = os.ReadFile(s) // nothing when it is gone
			}
			before := a.srv.Stats().Rows
			failed := a.run()
			require.NotEmpty(t, failed)
			for partition, err := range failed {
				require.ErrorIs(t, err, ledger.ErrCorrupt, partition)
			}
			require.Equal(t, before, a.srv.Stats().Rows)
			// What no intent needed may hold a partition's next rows by now: it stays.
			for s, content := range kept {
				if now, _ := os.ReadFile(s); bytes.Equal(now, damaged[s]) {
					require.NoError(t, os.WriteFile(s, content, 0o600))
				}
			}
			require.Empty(t, a.run())
			a.requireComplete()
		})
	}
}
