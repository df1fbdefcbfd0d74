package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain also is the other processes of TestInUse and TestKilled.
func TestMain(m *testing.M) {
	switch os.Getenv("LEDGER_TEST_CHILD") {
	case "hold":
		os.Exit(child(hold))
	case "write":
		os.Exit(child(keepWriting))
	case "compact":
		os.Exit(compactAndDie())
	}
	goleak.VerifyTestMain(m)
}

func child(work func(*Ledger) error) int {
	l, err := Open(os.Getenv("LEDGER_TEST_PATH"), small)
	if err == nil {
		err = errors.Join(work(l), l.Close())
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// startChild starts this program again for one of TestMain's jobs.
func startChild(t *testing.T, job, path string) (child *exec.Cmd, in io.WriteCloser, out *bufio.Scanner) {
	child = exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "LEDGER_TEST_CHILD="+job, "LEDGER_TEST_PATH="+path)
	in, err := child.StdinPipe()
	require.NoError(t, err)
	stdout, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	return child, in, bufio.NewScanner(stdout)
}

// small keeps segments, and so the tests' disk use, small.
var small = &Options{SegmentBytes: 64 << 10}

var (
	descriptor = []byte("a serialized descriptor")
	schema     = FingerprintOf(descriptor)
)

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "test.ledger") }

func mustOpen(t testing.TB, path string, o *Options) *Ledger {
	t.Helper()
	l, err := Open(path, o)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func key(name string) Key { return Key{Table: "projects/p/datasets/d/tables/t", Name: name} }

// wait turns a write into a call that returns when it is on disk.
func wait(submit func(done func(error))) error {
	c := make(chan error, 1)
	submit(func(err error) { c <- err })
	return <-c
}

func openEpoch(l *Ledger, o Opening) (p Partition, err error) {
	err = wait(func(done func(error)) {
		l.OpenEpoch(o, func(got Partition, err error) { p = got; done(err) })
	})
	return p, err
}

func settle(l *Ledger, id ID, epoch uint64, s Settlement) (p Partition, err error) {
	err = wait(func(done func(error)) {
		l.Settle(id, epoch, s, func(got Partition, err error) { p = got; done(err) })
	})
	return p, err
}

func bind(l *Ledger, id ID, epoch uint64, in Intent) error {
	return wait(func(done func(error)) { l.Bind(id, epoch, in, done) })
}

// acknowledge is for intents whose number is their end, as batch makes them.
func acknowledge(l *Ledger, id ID, epoch uint64, end int64) error {
	return wait(func(done func(error)) { l.Acknowledge(id, epoch, uint64(end), end, done) })
}

func seal(l *Ledger, id ID, epoch uint64, s Seal) error {
	return wait(func(done func(error)) { l.Seal(id, epoch, s, done) })
}

func halt(l *Ledger, id ID, epoch uint64, h Halt) error {
	return wait(func(done func(error)) { l.Halt(id, epoch, h, done) })
}

func resolve(l *Ledger, id ID, epoch uint64, word *Resolution) error {
	return wait(func(done func(error)) { l.Resolve(id, epoch, word, done) })
}

// retire seals a partition as finished and forgets it.
func retire(l *Ledger, id ID, epoch uint64, rows int64) error {
	if err := seal(l, id, epoch, Seal{Reason: Finished}); err != nil {
		return err
	}
	return forget(l, id, epoch, rows)
}

func forget(l *Ledger, id ID, epoch uint64, rows int64) error {
	return wait(func(done func(error)) { l.Retire(id, epoch, rows, done) })
}

func opening(name string, mode Mode) Opening {
	return Opening{Key: key(name), Mode: mode, Stream: "streams/" + name + "/1", Schema: schema, Descriptor: descriptor, Encoder: 1}
}

func mustOpenEpoch(t testing.TB, l *Ledger, name string, mode Mode) Partition {
	t.Helper()
	p, err := openEpoch(l, opening(name, mode))
	require.NoError(t, err)
	return p
}

// pos is the position after n rows of a source; 0 is the beginning.
func pos(n int64) []byte {
	if n == 0 {
		return nil
	}
	return fmt.Appendf(nil, "row-%06d", n)
}

// batch is a replayable batch of a source whose position is the number of rows
// over all epochs: rows [at, at+n), bound at start.
func batch(start, at, n int64) Intent {
	return Intent{
		Number: uint64(start + n), Start: start, Rows: n, Of: n, Bytes: n * 10, Before: pos(at), After: pos(at + n),
		Digest: DigestOf([][]byte{pos(at), pos(at + n)}), Schema: schema, Encoder: 1,
	}
}

func requireSound(t testing.TB, l *Ledger) {
	t.Helper()
	violations, err := l.Check()
	require.NoError(t, err)
	require.Empty(t, violations)
}

// refused requires that a write was refused, for a reason that has this text.
func refused(t require.TestingT, err error, text string) {
	var e *InvariantError
	require.ErrorAs(t, err, &e)
	require.ErrorContains(t, err, text)
}

// freeze freezes rows, each behind its length.
func freeze(l *Ledger, rows [][]byte) (Payload, error) {
	var content []byte
	for _, row := range rows {
		content = binary.AppendUvarint(content, uint64(len(row)))
		content = append(content, row...)
	}
	return l.Freeze(content, int64(len(rows)))
}

// thaw reads what freeze wrote.
func thaw(l *Ledger, p Payload) (rows [][]byte, err error) {
	content, err := l.Frozen(p)
	for len(content) > 0 {
		n, k := binary.Uvarint(content)
		rows = append(rows, content[k:k+int(n)])
		content = content[k+int(n):]
	}
	return rows, err
}

func skip(l *Ledger, id ID, epoch uint64, number uint64, reason string) error {
	return wait(func(done func(error)) { l.Skip(id, epoch, number, reason, done) })
}
