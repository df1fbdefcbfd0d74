package recovery

import "github.com/eowriter/eowriter/ledger"

// item is an open intent and what this incarnation knows of it.
type item struct {
	ledger.Intent
	batch     uint64
	maySent   bool // see Situation.MaySent; sticky
	sent      bool // handed to the client in this incarnation and epoch
	flying    bool // sent on the present connection, not answered
	landed    bool // its rows are in the stream; B6 is not yet durable
	duplicate bool // it had landed before the append that told so
}

// window holds the open intents, [acked, next) without gap or overlap
// (invariant 3), oldest first. Items are known by ordinals, which count up and
// stay when older items leave:
//
//	first <= landed <= bound <= end,  landed <= cursor
type window struct {
	items  fifo[item]
	first  uint64 // ordinal of the oldest item
	landed uint64 // items below it have landed
	bound  uint64 // items below it are durable (B2) and may be sent
	cursor uint64 // the next item to send, unless it has landed
}

func (w *window) end() uint64       { return w.first + uint64(w.items.len()) }
func (w *window) at(n uint64) *item { return w.items.at(int(n - w.first)) }
func (w *window) push(it item)      { w.items.push(it) }

func (w *window) pop() item {
	w.first++
	return w.items.pop()
}

// land notes that item n has landed, and whether an earlier append had done it.
func (w *window) land(n uint64, duplicate bool) {
	it := w.at(n)
	it.landed, it.duplicate = true, duplicate
	for w.landed < w.end() && w.at(w.landed).landed {
		w.landed++
	}
}

// sendable returns the ordinal of the next item to send.
func (w *window) sendable() (uint64, bool) {
	w.cursor = max(w.cursor, w.landed)
	for w.cursor < w.bound && w.at(w.cursor).landed {
		w.cursor++
	}
	return w.cursor, w.cursor < w.bound
}

// start returns the offset of item n, or of what would follow the last one.
func (w *window) start(n uint64, next int64) int64 {
	if n < w.end() {
		return w.at(n).Start
	}
	return next
}

// known says whether end is the end of an open intent that may have landed.
func (w *window) known(end int64) bool {
	for n := w.first; n < w.end(); n++ {
		if it := w.at(n); it.End() == end {
			return it.maySent || it.flying || it.landed
		}
	}
	return false
}

// refill replaces the items by others that are durable, the way a start or a
// settled rotation finds them.
func (w *window) refill(items []item) {
	first := w.end()
	*w = window{first: first, landed: first, cursor: first}
	for _, it := range items {
		w.push(it)
	}
	w.bound = w.end()
}

// flight is the queue of what is in flight on the present connection: ordinals of
// items in the order of their sending. The service answers in that order (case 33).
type flight = fifo[uint64]

const probeOrdinal = ^uint64(0) // stands for the probe in a flight

// fifo is a queue that reuses its memory.
type fifo[T any] struct {
	buf  []T
	head int
}

func (q *fifo[T]) len() int    { return len(q.buf) - q.head }
func (q *fifo[T]) at(i int) *T { return &q.buf[q.head+i] }

func (q *fifo[T]) push(v T) {
	// Move down rather than grow once half of it is spent: amortized constant.
	if len(q.buf) == cap(q.buf) && q.head > len(q.buf)/2 {
		n := copy(q.buf, q.buf[q.head:])
		clear(q.buf[n:])
		q.buf, q.head = q.buf[:n], 0
	}
	q.buf = append(q.buf, v)
}

func (q *fifo[T]) pop() T {
	var zero T
	v := q.buf[q.head]
	q.buf[q.head] = zero
	q.head++
	if q.head == len(q.buf) {
		q.buf, q.head = q.buf[:0], 0
	}
	return v
}
