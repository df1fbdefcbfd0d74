package recovery_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eowriter/eowriter/recovery"
)

// foreign appends n rows of somebody else. They are not among the source's rows, so
// whoever takes them for its own has acknowledged more than the table has.
func (s *stream) foreign(n int) {
	for range n {
		s.rows = append(s.rows, -1)
	}
	s.ends = append(s.ends, s.end())
}

// If it fails, a mere restart forgets what was found out: the intent is read from disk,
// "may have been sent", the probe fits, and somebody else's rows, as many as ours, pass
// for ours. The world checks that nothing is acknowledged that isn't there.
func TestForeignRowsAsManyAsOursAndRestarts(t *testing.T) {
	w, n := born(t)
	n.write(1)
	n.offer(2)
	n.durable() // its append is on its way for the first time
	w.service.streams[n.book.part.Stream].foreign(2)
	w.settle()
	require.Equal(t, recovery.Conflict, n.stopped())
	for range 3 {
		n.crash(0)
		n.start()
		w.settle()
		require.Equal(t, recovery.Conflict, n.stopped())
		require.Equal(t, 1, position(n.book.part.Position))
		require.Len(t, n.book.open, 1, "everything is kept")
	}
}

// If it fails, a person who has looked can't get the partition going again, or
// resolving passes for more than it is: a stream that is still taken stops it again.
func TestResolved(t *testing.T) {
	w, n := born(t)
	n.write(1)
	st := w.service.streams[n.book.part.Stream]
	st.finalized = true
	n.write(1)
	require.Equal(t, recovery.Fenced, n.stopped())
	n.crash(0)
	n.resolve()
	n.start()
	w.settle()
	require.Equal(t, recovery.Fenced, n.stopped())
	require.NotNil(t, n.book.part.Halt)

	st.finalized = false // it was a mistake, and was mended
	n.crash(0)
	n.resolve()
	n.start()
	n.write(1)
	require.Zero(t, n.stopped())
	require.Equal(t, upTo(3), w.service.table)
}
