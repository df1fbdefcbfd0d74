package ledger

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain also is the other process of TestInUse: with LEDGER_TEST_HOLD it holds
// that ledger until its standard input ends.
func TestMain(m *testing.M) {
	path := os.Getenv("LEDGER_TEST_HOLD")
	if path == "" {
		goleak.VerifyTestMain(m)
		return
	}
	l, err := Open(path, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("holding")
	io.Copy(io.Discard, os.Stdin)
	if l.Close() != nil {
		os.Exit(1)
	}
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

func acknowledge(l *Ledger, id ID, epoch uint64, end int64) error {
	return wait(func(done func(error)) { l.Acknowledge(id, epoch, end, done) })
}

func seal(l *Ledger, id ID, epoch uint64, s Seal) error {
	return wait(func(done func(error)) { l.Seal(id, epoch, s, done) })
}

func retire(l *Ledger, id ID, epoch uint64, rows int64) error {
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
		Start: start, Rows: n, Of: n, Bytes: n * 10, Before: pos(at), After: pos(at + n),
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
