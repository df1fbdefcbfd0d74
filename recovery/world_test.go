package recovery_test

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
)

// A small world for the machine to live in: the service, connections that lose and
// delay, and nodes with a ledger each (node_test.go). Nothing happens by itself:
// every step is taken by a test.
//
// The source's rows are the numbers from 0 up, so "exactly once and in order" is
// that the table reads 0, 1, 2, ...; a position is the number of rows before it.

// failer is a *testing.T or a *rapid.T.
type failer interface {
	require.TestingT
	Helper()
	Logf(format string, args ...any)
}

type world struct {
	t       failer
	service service
	nodes   []*node
	conns   []*conn           // whose requests or answers are still on their way, oldest first
	claims  map[string]string // by stream: the successor in the first seal of it
	skipped map[int]bool      // rows of batches that a person had skipped
	dirty   bool              // some rows are refused, by the encoders or the service
	trace   []string
}

func newWorld(t failer) *world {
	return &world{t: t, claims: map[string]string{}, skipped: map[int]bool{}, service: service{streams: map[string]*stream{}}}
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// require fails the test with the history that led to it.
func (w *world) require(ok bool, format string, args ...any) {
	w.t.Helper()
	if !ok {
		for _, line := range w.trace {
			w.t.Logf("%s", line)
		}
		require.FailNow(w.t, fmt.Sprintf(format, args...))
	}
}

// check is what holds after every step, whatever went wrong: no row is twice in the
// table, none is out of order, and no ledger has acknowledged a row that isn't there.
func (w *world) check() {
	w.t.Helper()
	next := 0
	for _, row := range w.service.table {
		w.require(row >= next, "row %d comes where row %d belongs: the table reads %v", row, next, w.service.table)
		for ; next < row; next++ {
			w.require(w.maybeDead(next), "row %d comes where row %d belongs: the table reads %v", row, next, w.service.table)
		}
		next = row + 1
	}
	for _, n := range w.nodes {
		for row := next; row < position(n.book.part.Position); row++ {
			w.require(w.maybeDead(row), "%s: row %d is acknowledged and not in the table", n.name, row)
		}
	}
}

// maybeDead says that a row may be a dead letter.
func (w *world) maybeDead(row int) bool {
	return w.skipped[row] || w.dirty && (w.service.refuses(row) || refused(1, row) || refused(2, row))
}

// checkDead holds as long as nobody but the node touched its ledger: each row below its
// position is in the table or a dead letter, and no row is both, or a letter twice.
func (w *world) checkDead(n *node) {
	w.t.Helper()
	seen := map[int]bool{}
	for _, row := range slices.Concat(w.service.table, n.book.letters) {
		w.require(!seen[row], "row %d is there twice: the table reads %v, the letters %v", row, w.service.table, n.book.letters)
		seen[row] = true
	}
	for row := range position(n.book.part.Position) {
		w.require(seen[row], "row %d is nowhere: the table reads %v, the letters %v", row, w.service.table, n.book.letters)
	}
}

// checkOwned holds as long as nobody but the node touched its ledger and streams
// (invariant 3).
func (w *world) checkOwned(n *node) {
	w.t.Helper()
	if s := w.service.streams[n.book.part.Stream]; s != nil && !s.gone {
		w.require(n.book.part.Acked <= s.end() && s.end() <= n.book.part.Next,
			"%s: acked %d, end %d, next %d", n.name, n.book.part.Acked, s.end(), n.book.part.Next)
	}
}

// service is the Storage Write API as far as one table's COMMITTED streams go.
type service struct {
	streams map[string]*stream
	table   []int
	limit   int // rows of the largest append that it takes; 0: any
	dirty   bool
	schema  int // of the table: each has one column more than the one before
	known   int // the newest schema that the backends know
}

type stream struct {
	rows      []int
	ends      []int64 // that it had, for lagging views of it
	finalized bool
	gone      bool // expired
}

func (s *stream) end() int64 { return int64(len(s.rows)) }

func (s *service) create() string {
	name := fmt.Sprintf("s%d", len(s.streams)+1)
	s.streams[name] = &stream{ends: []int64{0}}
	return name
}

// finalize answers with the row count, as often as it is asked (case 74).
func (s *service) finalize(name string) (int64, *retry.Answer) {
	st := s.streams[name]
	if st.gone {
		return 0, broken(retry.Gone)
	}
	st.finalized = true
	return st.end(), nil
}

// request is an append or, without rows, a probe.
type request struct {
	stream string
	start  int64
	rows   []int
}

// answer to a request, as the service gave it.
type answered struct {
	request
	*retry.Answer
}

// apply executes a request. A lagging view has an earlier end of the stream: it can
// make an append look out of range, but what is written is checked against the truth.
func (s *service) apply(r request, lagging bool) *retry.Answer {
	st := s.streams[r.stream]
	end := st.end()
	view := end
	if lagging && len(st.ends) > 1 {
		view = st.ends[len(st.ends)-2]
	}
	switch {
	case st.gone:
		return broken(retry.Gone)
	case st.finalized:
		return inResponse(retry.Finalized, -1)
	case r.rows == nil:
		return inResponse(retry.OutOfRange, view)
	case s.limit > 0 && len(r.rows) > s.limit:
		return inResponse(retry.TooLarge, -1)
	case r.start > view:
		return inResponse(retry.OutOfRange, view)
	case r.start < end:
		return inResponse(retry.AlreadyExists, end)
	}
	if bad := s.bad(r.rows); len(bad) > 0 {
		a := inResponse(retry.RowErrors, -1)
		a.Rows = bad
		return a
	}
	st.rows = append(st.rows, r.rows...)
	st.ends = append(st.ends, st.end())
	s.table = append(s.table, r.rows...)
	a := inResponse(retry.OK, -1)
	a.Offset = r.start
	return a
}

func (s *service) refuses(row int) bool { return s.dirty && row%7 == 4 }

// bad are the refused rows. Only the first two are told: "the list may not be complete".
func (s *service) bad(rows []int) (bad []retry.RowError) {
	for i, row := range rows {
		if s.refuses(row) && len(bad) < 2 {
			bad = append(bad, retry.RowError{Index: int64(i), Message: "bad"})
		}
	}
	return bad
}

func inResponse(c retry.Class, end int64) *retry.Answer {
	return &retry.Answer{Class: c, Offset: -1, Expected: end}
}

func broken(c retry.Class) *retry.Answer {
	a := inResponse(c, -1)
	a.Broken = true
	return a
}

// conn carries requests to the service and answers back, each in order. It outlives
// its node's interest: what is on its way when a connection ends may still arrive.
type conn struct {
	node        *node
	incarnation int
	id          uint64
	pending     bool               // not yet open
	schema      ledger.Fingerprint // that its requests are encoded with
	wire        []request
	answers     []answered
}

// Ways in which the service handles a request.
const (
	well     = iota
	refusing // an in-response error, and nothing is written
	lying    // an in-response error, but the rows are written
	lagging  // by an old view of the stream's end
)

// serve lets the oldest request of c arrive.
func (w *world) serve(c *conn, how int) {
	r := c.wire[0]
	c.wire = c.wire[1:]
	switch {
	case version(c.schema) > w.service.known:
		c.answers = append(c.answers, answered{r, broken(retry.ExtraFields)}) // case 69
	case how == refusing:
		c.answers = append(c.answers, answered{r, inResponse(retry.Transient, -1)})
	default:
		a := w.service.apply(r, how == lagging)
		if how == lying && a.Class == retry.OK {
			a = inResponse(retry.Transient, -1)
		}
		c.answers = append(c.answers, answered{r, a})
	}
	w.note("%s: connection %d: %s [%d,+%d) answered %v", c.node.name, c.id, r.stream, r.start, len(r.rows), c.answers[len(c.answers)-1].Class)
	w.check()
}

// deliver brings the oldest answer of c back to its node.
func (w *world) deliver(c *conn) {
	a := c.answers[0]
	c.answers = c.answers[1:]
	n := c.node
	if n.m == nil || n.incarnation != c.incarnation {
		return
	}
	w.note("%s: connection %d: gets %v, end %d", n.name, c.id, a.Class, a.Expected)
	kind := recovery.Answered
	if a.Broken {
		kind, c.answers = recovery.Broken, nil
	} else if a.rows == nil && n.fits(a) && c.id == n.conn {
		n.probed = a.stream
	}
	n.step(recovery.Event{Kind: kind, Conn: c.id, Answer: a.Answer})
}

// cut ends a connection: the node gets no more answers. Requests on their way are
// lost, or they arrive later.
func (w *world) cut(c *conn, lost bool) {
	c.answers = nil
	if lost {
		c.wire = nil
	}
	if c.node.m != nil && c.node.incarnation == c.incarnation {
		w.note("%s: connection %d breaks, its requests are lost: %v", c.node.name, c.id, lost)
		c.pending = false
		c.node.step(recovery.Event{Kind: recovery.Broken, Conn: c.id, Answer: broken(retry.Transient)})
	}
}

// connected opens a connection.
func (w *world) connected(c *conn) {
	c.pending = false
	if c.node.m != nil && c.node.incarnation == c.incarnation {
		c.node.step(recovery.Event{Kind: recovery.Connected, Conn: c.id})
	}
}

// arrive lets everything of dead connections arrive now.
func (w *world) arrive() {
	for _, c := range slices.Clone(w.conns) {
		for len(c.wire) > 0 && c.dead() {
			w.serve(c, well)
		}
	}
}

// dead says that the node of c doesn't hear it any more.
func (c *conn) dead() bool {
	return c.node.m == nil || c.node.incarnation != c.incarnation || c.node.conn != c.id
}

// settle takes every step that is due, well, until nothing is left to do.
func (w *world) settle() {
	for range 10_000 {
		w.conns = slices.DeleteFunc(w.conns, func(c *conn) bool {
			return c.dead() && len(c.wire) == 0 && len(c.answers) == 0
		})
		if !w.advance() {
			return
		}
	}
	w.require(false, "the world never comes to rest")
}

// advance takes one step that is due.
func (w *world) advance() bool {
	for _, n := range w.nodes {
		if w.advanceOf(n) {
			return true
		}
	}
	return false
}

// advanceOf takes one step of n's that is due, well.
func (w *world) advanceOf(n *node) bool {
	switch c := n.present(); {
	case n.m == nil:
		return false
	case len(n.writes) > 0:
		n.durable()
	case n.call != nil:
		n.called(true)
	case n.timers > 0:
		n.timer()
	case c == nil:
		return false
	case c.pending:
		w.connected(c)
	case len(c.wire) > 0:
		w.serve(c, well)
	case len(c.answers) > 0:
		w.deliver(c)
	default:
		return false
	}
	return true
}

// versioned is the writer schema of the table's n-th schema, and version says which one it is of.
func versioned(n int) ledger.Fingerprint    { return ledger.Fingerprint{byte(n)} }
func version(schema ledger.Fingerprint) int { return int(schema[0]) }

// identity is a ledger's, at the n-th place.
func identity(n int) ledger.Identity { return ledger.Identity{Machine: "m", Nonce: uint64(n)} }
