package powerloss

import (
	"bufio"
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// machine is a file system of its own, ext4 on a file, whose power can be cut.
type machine struct {
	t     *testing.T
	dev   string
	mount string
	found *tracker

	cuts, promised int
}

func newMachine(t *testing.T, seed uint64) *machine {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount the file system whose power is cut")
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("e2fsprogs is not installed: it makes the file system whose power is cut")
	}
	base := ramFolder(t)
	disk := filepath.Join(base, "disk")
	require.NoError(t, os.WriteFile(disk, nil, 0o600))
	require.NoError(t, os.Truncate(disk, 96<<20))
	require.NoError(t, exec.Command("mkfs.ext4", "-q", disk).Run())
	dev, err := exec.Command("losetup", "--find", "--show", disk).Output()
	if err != nil {
		t.Skipf("there are no loop devices here: %v", err)
	}
	m := &machine{t: t, dev: strings.TrimSpace(string(dev)), mount: filepath.Join(base, "mount"), found: newTracker(seed)}
	t.Cleanup(func() { require.NoError(t, exec.Command("losetup", "--detach", m.dev).Run()) })
	require.NoError(t, os.Mkdir(m.mount, 0o700))
	if err := m.on(); err != nil {
		t.Skipf("no ext4 can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(m.mount, unix.MNT_DETACH) })
	return m
}

func (m *machine) on() error { return unix.Mount(m.dev, m.mount, "ext4", 0, "") }

// cut cuts the file system off from its disk: what is not there yet never will be.
func (m *machine) cut() {
	const shutdown, noLogFlush = 0x8004587d, 2 // EXT4_IOC_SHUTDOWN
	dir, err := os.Open(m.mount)
	require.NoError(m.t, err)
	defer dir.Close()
	how := uint32(noLogFlush)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), shutdown, uintptr(unsafe.Pointer(&how)))
	require.Zero(m.t, errno, "the file system can't be shut down: %v", errno)
	m.cuts++
}

// restart has the machine come up again, with what its disk has.
func (m *machine) restart() {
	require.NoError(m.t, unix.Unmount(m.mount, 0))
	require.NoError(m.t, m.on())
}

// run has a driver open the ledger, which checks it, and write, until it has made so
// many notes; then the power is cut. It returns false when the driver found something
// wrong with the ledger, and says what.
func (m *machine) run(notes int, under ...string) (sound bool, text string) {
	j := driveJob{Path: filepath.Join(m.mount, ledgerName), Found: m.found, Segments: segmentBytes, Steps: notes}
	cmd, err := child(job{Drive: &j}, under...)
	require.NoError(m.t, err)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	require.NoError(m.t, err)
	require.NoError(m.t, cmd.Start())
	opened, n := false, 0
	for lines := bufio.NewScanner(out); lines.Scan(); n++ {
		require.NoError(m.t, m.found.note(lines.Text()))
		if strings.HasPrefix(lines.Text(), "opened") {
			opened = true
		}
		if strings.HasPrefix(lines.Text(), "done") {
			m.promised++
		}
		if n == notes {
			m.cut()
		}
	}
	_ = cmd.Wait() // most fail, for the disk is gone
	if n <= notes {
		m.cut()
	}
	return opened || n > notes, errs.String()
}

// TestCut cuts the power of a real file system while a ledger is written to. If it fails,
// a ledger on ext4 can lose what was promised.
func TestCut(t *testing.T) {
	s := seed(t)
	m := newMachine(t, s)
	random := rand.New(rand.NewPCG(s, 1))
	for range *cutsFlag {
		sound, text := m.run(random.IntN(60))
		require.True(t, sound, "after %d cuts: %s", m.cuts, text)
		m.restart()
	}
	sound, text := m.run(1 << 10)
	require.True(t, sound, "after %d cuts: %s", m.cuts, text)
	t.Logf("%d cuts, %d steps were promised", m.cuts, m.promised)
}

// TestCutSees has the syncs do nothing. If it fails, TestCut would not see lost writes.
func TestCutSees(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: it takes the syncs away")
	}
	m := newMachine(t, seed(t))
	for range 20 {
		sound, text := m.run(50, strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:retval=0")
		if !sound {
			t.Logf("seen after %d cuts: %.200s", m.cuts-1, text)
			return
		}
		m.restart()
	}
	require.Fail(t, "20 cuts lost nothing, although nothing was synced")
}
