package recovery_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
)

// The eight histories that broke earlier designs, found by searching a model of 142
// million states. In each, no row may be in the table twice, and none may be taken
// for landed that isn't there: the world checks both after every step. Here stands
// how each must end.

// born returns a world with one node whose partition is open and has nothing yet.
func born(t *testing.T) (*world, *node) {
	w := newWorld(t)
	n := w.node("original", 1)
	n.start()
	w.settle()
	require.Equal(t, n.book.part.Stream, n.probed)
	return w, n
}

// write offers batches of the given numbers of rows and waits until they have landed.
func (n *node) write(rows ...int) {
	for _, r := range rows {
		n.offer(r)
	}
	n.w.settle()
}

// restore puts an older copy of the ledger in its place. When that isn't noticed
// the identity stays.
func (n *node) restore(old book, noticed bool) {
	n.w.note("%s: restored to %s, noticed: %v", n.name, old, noticed)
	n.book = old.clone()
	if noticed {
		n.identity.Nonce += 100
		n.book.part.Resolution = nil // void elsewhere
	}
}

// copyOf brings up a copy of a ledger at another place.
func (w *world) copyOf(b book, name string, nonce int) *node {
	n := w.node(name, nonce)
	n.book = b.clone()
	n.book.part.Resolution = nil // void elsewhere
	return n
}

func upTo(n int) []int {
	rows := make([]int, n)
	for i := range rows {
		rows[i] = i
	}
	return rows
}

// Fails if something is bound before the probe: the restored ledger binds B where A
// landed, the probe's end is then "the end of an open intent", and B is acknowledged
// without ever having been stored.
func TestHistory1BackupRestoredInPlace(t *testing.T) {
	for _, noticed := range []bool{false, true} {
		w, n := born(t)
		backup := n.book.clone()
		n.write(1) // A
		n.crash(0)
		n.restore(backup, noticed)
		n.start()
		n.offer(1) // B: by the restored position, the same source row in another batch
		w.settle()
		require.Equal(t, recovery.Conflict, n.stopped())
		require.Empty(t, n.book.open, "B was bound")
		require.Equal(t, upTo(1), w.service.table)
	}
}

// Fails if offsets are bound anew in place: the old C, still on its way, lands at an
// offset that has become another batch's, and C lands twice.
func TestHistory2OldAppendAfterRebinding(t *testing.T) {
	for _, arrives := range []string{"before Finalize", "after Finalize", "at last"} {
		w, n := born(t)
		w.service.limit = 1 // AB turns out too large, as a row error would be found
		n.offer(2)          // AB
		n.offer(1)          // C
		n.durable()
		n.durable()
		old := n.present()
		require.Len(t, old.wire, 2)
		old.wire = old.wire[1:] // AB is lost, C is late
		w.cut(old, false)
		n.timer()
		w.connected(n.present())
		w.serve(n.present(), well) // AB again: too large
		require.Equal(t, []int{0, 1}, n.present().answers[0].rows)
		w.serve(n.present(), well) // C again
		w.deliver(n.present())
		w.deliver(n.present())
		w.serve(n.present(), well) // the probe
		w.deliver(n.present())
		n.called(true) // R1
		n.durable()    // R2
		if arrives == "before Finalize" {
			w.serve(old, well)
		}
		n.called(true) // R3
		n.durable()    // R4
		if arrives == "after Finalize" {
			w.serve(old, well)
		}
		w.settle()
		w.arrive()
		require.Zero(t, n.stopped(), arrives)
		require.Equal(t, upTo(3), w.service.table, arrives)
		require.Equal(t, uint64(2), n.book.part.Epoch, "bound anew in place")
	}
}

// Fails if a refused batch's offsets are given to another batch on the same stream:
// after the restore the end acknowledges A, which never landed. A's rows keep their
// place now, on this stream or on the next.
func TestHistory3RefusedBatchThenRestored(t *testing.T) {
	t.Run("refused rows", func(t *testing.T) {
		w, n := born(t)
		n.offer(2) // A
		n.durable()
		c := n.present()
		r := c.wire[0]
		c.wire = nil
		c.answers = append(c.answers, answered{r, inResponse(retry.RowErrors, -1)})
		w.deliver(c)
		require.Equal(t, recovery.Refused, n.stopped())
		n.crash(0)
		backup := n.book.clone()
		n.start() // somebody has changed the table: A is accepted now
		n.write(1)
		require.Equal(t, upTo(3), w.service.table)
		n.crash(0)
		n.restore(backup, false)
		n.start()
		w.settle()
		// B, bound after A, is beyond what the backup knows.
		require.Equal(t, recovery.Conflict, n.stopped())
		require.Equal(t, upTo(3), w.service.table)
	})
	t.Run("too large", func(t *testing.T) {
		w, n := born(t)
		w.service.limit = 1
		n.offer(2) // A
		n.durable()
		backup := n.book.clone()
		w.settle()
		require.Equal(t, upTo(2), w.service.table)
		n.crash(0)
		for _, noticed := range []bool{false, true} {
			n.restore(backup, noticed)
			n.start()
			w.settle()
			require.Equal(t, recovery.Fenced, n.stopped())
			n.crash(0)
		}
		require.Equal(t, upTo(2), w.service.table)
	})
}

// Fails if a copy seals and finalizes without a probe: Finalize succeeds again with
// the old count, and A lands on a second successor.
func TestHistory4BackupTakenOverTwice(t *testing.T) {
	w, n := born(t)
	n.offer(1) // A
	n.durable()
	n.crash(0)
	backup := n.book.clone()
	w.conns = nil // A's append is lost
	first := w.copyOf(backup, "first copy", 2)
	first.start()
	w.settle()
	require.Equal(t, upTo(1), w.service.table)
	require.Equal(t, uint64(2), first.book.part.Epoch)
	second := w.copyOf(backup, "second copy", 3)
	second.start()
	w.settle()
	require.Equal(t, recovery.Fenced, second.stopped())
	require.Equal(t, upTo(1), w.service.table)
	n.start() // and the original is fenced too
	w.settle()
	require.Equal(t, recovery.Fenced, n.stopped())
	first.write(1)
	require.Equal(t, upTo(2), w.service.table)
}

// sealAging starts a node that has crashed, whose appends are lost, and plays it to the durable seal of an old stream.
func (n *node) sealAging(t *testing.T) {
	w := n.w
	w.conns = nil
	n.start()
	c := n.present()
	w.connected(c)
	w.serve(c, well)
	n.step(recovery.Event{Kind: recovery.Age})
	w.deliver(c)
	n.called(true)
	n.durable()
	require.NotNil(t, n.book.part.Seal)
}

// sealedCopy plays the original into the middle of a rotation, copies its ledger there
// and lets the original finish; the copy starts then.
func sealedCopy(t *testing.T, after func(original *node)) (w *world, original, second *node) {
	w, n := born(t)
	n.write(1)
	n.offer(1) // A
	n.durable()
	n.crash(0) // before A's append has left
	n.sealAging(t)
	second = w.copyOf(n.book, "copy", 2)
	for n.book.part.Seal != nil {
		w.advance()
	}
	after(n)
	second.start()
	w.settle()
	return w, n, second
}

// Fails if the successor is made after the seal, or its name is not in it: the copy
// makes another one, and A lands on both.
func TestHistory5SealedThenRestored(t *testing.T) {
	w, original, second := sealedCopy(t, func(n *node) { n.w.settle() })
	require.Equal(t, upTo(2), w.service.table, "A landed on the successor")
	require.Zero(t, second.stopped())
	require.Equal(t, uint64(3), second.book.part.Epoch, "the copy finishes the rotation, then takes the successor over")
	require.Equal(t, 2, position(second.book.part.Position))
	original.write(1)
	require.Equal(t, recovery.Fenced, original.stopped())
	second.write(1)
	require.Equal(t, upTo(3), w.service.table)

	// When the original went on further than the copy knows, the copy stops.
	w, original, second = sealedCopy(t, func(n *node) { n.w.settle(); n.write(1) })
	require.Equal(t, recovery.Conflict, second.stopped())
	original.write(1)
	require.Zero(t, original.stopped())
	require.Equal(t, upTo(4), w.service.table)
}

// Fails if settling refreshes the identity: the copy then takes the original's live
// successor for its own, and both write to it.
func TestHistory6SealedCopyReachesLiveSuccessor(t *testing.T) {
	// The original lives, but has not sent A yet when the copy reaches its successor.
	w, original, second := sealedCopy(t, func(*node) {})
	require.NotEqual(t, second.book.part.Stream, original.book.part.Stream)
	for _, n := range []*node{original, second} {
		if n.stopped() == 0 {
			n.write(1)
		}
	}
	fenced := slices.ContainsFunc([]*node{original, second}, func(n *node) bool { return n.stopped() == recovery.Fenced })
	require.True(t, fenced, "two owners of one partition are alive")
	require.Equal(t, upTo(3), w.service.table)
}

// Fails if an expired stream is replaced although the ledger may be old: A lands twice.
func TestHistory7RestoredThenExpired(t *testing.T) {
	w, n := born(t)
	backup := n.book.clone()
	n.write(1) // A
	n.crash(0)
	n.restore(backup, true)
	w.service.streams[n.book.part.Stream].gone = true
	n.start()
	n.offer(1)
	w.settle()
	require.Equal(t, recovery.InDoubt, n.stopped())
	require.Equal(t, upTo(1), w.service.table)
}

// Fails if an end below acked is taken for a conflict at once: the service's view
// lags after a quick reconnect (case 27), and the partition would stop for nothing.
func TestHistory8ProbeLagsBehindAcked(t *testing.T) {
	for _, catchesUp := range []bool{true, false} {
		w, n := born(t)
		n.write(1) // A
		require.Equal(t, int64(1), n.book.part.Acked)
		n.crash(0)
		n.start()
		w.connected(n.present())
		w.serve(n.present(), lagging)
		w.deliver(n.present())
		for range 5 {
			if n.timers == 0 || catchesUp {
				break
			}
			n.timer()
			w.serve(n.present(), lagging)
			w.deliver(n.present())
		}
		w.settle()
		n.write(1)
		require.Zero(t, n.stopped())
		require.Equal(t, upTo(2), w.service.table)
		require.Equal(t, map[bool]uint64{true: 1, false: 2}[catchesUp], n.book.part.Epoch, "the count had to decide")
	}
}

// Fails if a stream is replaced for its age by an owner that hasn't asked the stream
// lately: a copy has taken it over since, Finalize answers its count once more, and
// both owners go on. (Idleness is what makes a stream old.)
func TestAgingOwnerWasTakenOver(t *testing.T) {
	w, n := born(t)
	second := w.copyOf(n.book, "copy", 2)
	second.start()
	w.settle()
	second.write(1)
	require.Equal(t, upTo(1), w.service.table)
	n.step(recovery.Event{Kind: recovery.Age})
	n.offer(1)
	w.settle()
	require.Equal(t, recovery.Fenced, n.stopped())
	require.Equal(t, upTo(1), w.service.table)
}

// Fails if the rows that the service refused are not in the durable seal: whoever goes on after a crash binds them anew
// and sends them again, which costs another stream, or lands them if the service takes them by then.
func TestRefusedRowsAreInTheSeal(t *testing.T) {
	w, n := born(t)
	w.dirty, w.service.dirty = true, true
	n.offer(6) // of which the service refuses row 4
	for n.book.part.Seal == nil {
		require.True(t, w.advance())
	}
	n.crash(0)
	n.start()
	require.EqualValues(t, 1, n.m.Dead())
	w.settle()
	require.Equal(t, []int{0, 1, 2, 3, 5}, w.service.table)
	require.Equal(t, []int{4}, n.book.letters)
	require.EqualValues(t, 2, n.book.part.Epoch)
}

// Fails if a person's word counts for a copy whose stream was sealed before: what is in the table has
// landed on the successor, where the word binds other batches at its offset. Then B passes for landed
// where A is.
func TestCopyOfASealedLedgerIsResolved(t *testing.T) {
	w, n := born(t)
	n.offer(1) // A
	n.offer(1) // B
	n.durable()
	n.durable()
	n.crash(0) // before their appends have left
	n.sealAging(t)
	backup := n.book.clone()
	for len(w.service.table) == 0 { // A lands on the successor
		require.True(t, w.advance())
	}
	n.crash(0)
	w.conns = nil
	n.restore(backup, true)
	w.service.streams[backup.part.Stream].gone = true
	for range 2 {
		n.start()
		w.settle()
		require.Equal(t, recovery.InDoubt, n.stopped())
		n.crash(0)
		n.resolveTo(1) // A is in the table
	}
	require.Equal(t, upTo(1), w.service.table)
}
