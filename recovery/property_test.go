package recovery_test

import (
	"flag"
	"testing"

	"pgregory.net/rapid"

	"github.com/eowriter/eowriter/recovery"
)

// Random schedules of the world. What may go wrong is said by mischief; what must
// hold all the same is checked by the world after each step.

type mischief struct {
	crashes bool
	lag     bool // lagging views of a stream's end
	sizes   bool // appends that turn out too large
	aging   bool
	foreign bool // somebody finalizes the stream
	expiry  bool // the stream expires
	restore bool // an older copy of the ledger is put in its place, and that is noticed
	revert  bool // the same unnoticed: a whole volume rolled back
	dirt    bool // rows that the encoder or the service refuses; the encoder may be upgraded
	schemas bool // the table gets columns, of which the service's backends learn late
	flaps   bool // an expired stream is there again: backends disagree
	words   bool // a person resolves what is in doubt, and says what has landed
	skips   bool // a person has batches skipped
	copies  bool // a copy of the ledger is brought up elsewhere, the original lives on
}

// move is one step that may be taken now.
type move struct {
	name string
	take func()
}

// schedule draws moves.
type schedule struct {
	*world
	t       *rapid.T
	may     mischief
	backups []book
	offered int
	expired bool             // a stream has expired
	lasting map[*stream]bool // that don't expire any more
	touched bool             // somebody else than the nodes' own machines had a hand in it
}

const (
	maxOffers = 12
	maxMoves  = 150
)

func (s *schedule) pick(n int, what string) int { return rapid.IntRange(0, n-1).Draw(s.t, what) }

// run takes random moves.
func (s *schedule) run() {
	n := s.node("original", 1)
	if s.may.dirt {
		s.dirty, s.service.dirty, n.encoder = true, true, 1
	}
	n.start()
	if s.may.sizes {
		s.service.limit = 2
	}
	for range rapid.IntRange(0, maxMoves).Draw(s.t, "moves") {
		moves := s.moves()
		if len(moves) == 0 {
			return
		}
		m := moves[s.pick(len(moves), "move")]
		s.note("- %s", m.name)
		m.take()
		s.check()
		if !s.touched {
			s.checkOwned(n)
			s.checkDead(n)
		}
	}
}

// moves returns what can happen now. What brings things forward stands first and
// more than once: rapid shrinks to it.
func (s *schedule) moves() (all []move) {
	add := func(weight int, name string, take func()) {
		for range weight {
			all = append(all, move{name, take})
		}
	}
	for _, c := range s.conns {
		s.onConnection(c, add)
	}
	if s.may.schemas && s.service.schema < 5 {
		add(1, "alter", func() { s.service.schema++ })
	}
	if s.service.known < s.service.schema {
		add(1, "propagate", func() { s.service.known++ })
	}
	for _, n := range s.nodes {
		if n.m == nil || n.cause != nil {
			s.onDead(n, add)
		} else {
			s.onAlive(n, add)
		}
	}
	return all
}

func (s *schedule) onConnection(c *conn, add func(int, string, func())) {
	if c.pending && !c.dead() {
		add(4, "connect", func() { s.connected(c) })
	}
	if len(c.wire) > 0 {
		add(4, "serve", func() { s.serve(c, well) })
		add(1, "refuse", func() { s.serve(c, refusing) })
		add(1, "lie", func() { s.serve(c, lying) })
		if s.may.lag {
			add(1, "lag", func() { s.serve(c, lagging) })
		}
	}
	if len(c.answers) > 0 {
		add(4, "deliver", func() { s.deliver(c) })
	}
	if !c.dead() {
		add(1, "break", func() { s.cut(c, s.pick(2, "lost") == 0) })
	}
}

func (s *schedule) onAlive(n *node, add func(int, string, func())) {
	if len(n.writes) > 0 {
		add(4, "durable", n.durable)
	}
	if n.call != nil && s.mayCall(n) {
		add(4, "call", func() { n.called(true) })
		add(1, "call fails", func() { n.called(false) })
	}
	if n.call != nil && n.call.Kind == recovery.Finalize && s.mayCall(n) {
		add(1, "answer to finalize lost", func() {
			s.service.finalize(n.call.Stream)
			n.called(false)
		})
	}
	if n.timers > 0 {
		add(3, "timer", n.timer)
	}
	if s.offered < maxOffers {
		add(2, "offer", func() {
			s.offered++
			n.offer(1 + s.pick(4, "rows"))
		})
	}
	if n.schema < s.service.schema {
		add(1, "renew", n.renew)
	}
	if s.may.crashes {
		add(1, "crash", func() { n.crash(s.pick(len(n.writes)+1, "durable")) })
	}
	if s.may.aging {
		add(1, "age", func() { n.step(recovery.Event{Kind: recovery.Age}) })
		add(1, "idle", func() { n.step(recovery.Event{Kind: recovery.Idle}) })
		add(1, "yield", func() { n.step(recovery.Event{Kind: recovery.Yield}) })
	}
	s.onLedger(n, add)
}

// onLedger adds what happens to the ledger and the stream from outside.
func (s *schedule) onLedger(n *node, add func(int, string, func())) {
	if n.book.part.Epoch == 0 {
		return
	}
	st := s.service.streams[n.book.part.Stream]
	if (s.may.restore || s.may.revert) && len(s.backups) < 3 {
		add(1, "backup", func() { s.backups = append(s.backups, n.book.clone()) })
	}
	if s.may.copies && len(s.nodes) < 3 {
		add(1, "copy", func() {
			s.touched = true
			s.copyOf(n.book, "copy", 2+len(s.nodes)).start()
		})
	}
	if s.may.foreign && !st.finalized && !st.gone {
		add(1, "foreign finalize", func() {
			s.touched = true
			st.finalized = true
		})
	}
	if s.may.expiry && !st.gone && !s.lasting[st] {
		add(1, "expire", func() { st.gone, s.expired = true, true })
	}
	if s.may.flaps && st.gone {
		add(1, "revive", func() { st.gone = false })
	}
}

func (s *schedule) onDead(n *node, add func(int, string, func())) {
	if n.m != nil { // stopped
		if s.may.crashes {
			add(1, "end", func() { n.crash(0) })
		}
		return
	}
	add(3, "start", n.start)
	if s.may.dirt && n.encoder == 1 {
		add(1, "upgrade", func() {
			n.encoder = 2
			n.start()
		})
	}
	if n.book.part.Halt != nil {
		add(1, "resolve", n.resolve)
	}
	s.onOrders(n, add)
	for _, b := range s.backups {
		if s.may.restore {
			add(1, "restore", func() {
				s.touched = true
				n.restore(b, true)
			})
		}
		// A volume rolled back while an old append is on its way, or to a time before
		// its stream expired, can't be noticed: not excluded, and said so.
		if s.may.revert && !s.expired {
			add(1, "revert", func() {
				s.touched = true
				s.conns = nil
				n.restore(b, false)
			})
		}
	}
}

// mayCall keeps apart what the design doesn't exclude: two owners replacing one
// stream at the same time, as Finalize is no compare-and-set. That time lasts from
// the answer that an owner decides by until its Finalize, and once its seal is
// durable it lasts over crashes, for every copy of that ledger.
func (s *schedule) mayCall(n *node) bool {
	stream := n.book.part.Stream
	if stream == "" || n.late {
		return true
	}
	if ours, claimed := n.book.part.Seal, s.claims[stream]; claimed != "" {
		return ours != nil && ours.Successor == claimed
	}
	for _, o := range s.nodes {
		if o != n && o.book.part.Stream == stream && o.m != nil && o.cause == nil && o.decided() {
			return false
		}
	}
	return true
}

// rapid's own default is 100; this many take about five seconds. The command line
// has the last word.
func init() {
	if err := flag.Set("rapid.checks", "1500"); err != nil {
		panic(err)
	}
}

func check(t *testing.T, may mischief, then func(*schedule)) {
	rapid.Check(t, func(t *rapid.T) {
		s := &schedule{world: newWorld(t), t: t, may: may, lasting: map[*stream]bool{}}
		s.run()
		if then != nil {
			then(s)
		}
	})
}

// land lets the service and the network be reliable from now on: everything that
// was offered and bound has to land.
func (s *schedule) land() {
	n := s.nodes[0]
	s.service.known = s.service.schema
	if n.m == nil {
		n.start()
	}
	s.settle()
	s.require(n.cause == nil, "%s: stopped, though nobody interfered", n.name)
	after := position(n.m.Position())
	s.checkDead(n)
	s.require(n.m.Empty() && len(s.service.table)+len(n.book.letters) == after && position(n.book.part.Position) == after && len(n.batches) == 0,
		"%s: offered rows up to %d, the table has %d, the ledger %s, unresolved %v", n.name, after, len(s.service.table), n.book, n.batches)
	n.write(1)
	s.require(len(s.service.table)+len(n.book.letters) == after+1 && n.cause == nil, "%s: the next batch doesn't land", n.name)
	s.arrive()
}

// If it fails, a batch is lost, doubled, out of order or stuck, or told to have
// landed too early, by nothing but weather: lost answers, broken connections, crashes.
func TestPropertyWeather(t *testing.T) {
	check(t, mischief{crashes: true}, (*schedule).land)
}

// If it fails, so do lagging views, batches that are too large, or aging.
func TestPropertyRotation(t *testing.T) {
	check(t, mischief{crashes: true, lag: true, sizes: true, aging: true}, (*schedule).land)
}

// If it fails, a row that the encoder or the service refuses is lost, twice a dead letter,
// or takes others with it; or an encoder's upgrade does.
func TestPropertyDeadLetters(t *testing.T) {
	check(t, mischief{crashes: true, lag: true, sizes: true, aging: true, dirt: true}, (*schedule).land)
}

// If it fails, the same happens when a ledger is copied, restored or taken over.
func TestPropertyDeadLettersElsewhere(t *testing.T) {
	check(t, mischief{crashes: true, sizes: true, aging: true, restore: true, revert: true, foreign: true, dirt: true}, (*schedule).landOrStop)
}

// If it fails, a table that changes while batches are open, streams are replaced and processes die costs rows, or
// sends them under a writer schema that they weren't encoded with.
func TestPropertySchemas(t *testing.T) {
	check(t, mischief{crashes: true, sizes: true, aging: true, schemas: true}, (*schedule).land)
}

// If it fails, an expired or foreignly finalized stream costs rows, or doubles them.
func TestPropertyStreamTaken(t *testing.T) {
	check(t, mischief{crashes: true, lag: true, sizes: true, aging: true, foreign: true, expiry: true}, (*schedule).landOrStop)
}

// If it fails, an older copy of the ledger in its place is trusted.
func TestPropertyRestored(t *testing.T) {
	check(t, mischief{crashes: true, lag: true, sizes: true, aging: true, restore: true, revert: true}, (*schedule).landOrStop)
}

// If it fails, two copies of one ledger both write.
func TestPropertyCopied(t *testing.T) {
	check(t, mischief{crashes: true, sizes: true, aging: true, restore: true, copies: true}, (*schedule).landOrStop)
}

// landOrStop lets everything be reliable: each node comes to an end that it can
// account for.
func (s *schedule) landOrStop() {
	for _, n := range s.nodes {
		if n.m == nil {
			n.start()
		}
		for range 5_000 {
			if n.call != nil && !s.mayCall(n) || !s.advanceOf(n) {
				break
			}
		}
		if n.cause != nil {
			s.require(n.cause.Verdict != 0 && n.cause.Detail != "", "%s: stopped without a cause", n.name)
			continue
		}
		if s.mayCall(n) {
			s.require(n.m.Empty(), "%s: neither landed nor stopped: %s, %s", n.name, n.m, n.book)
		}
	}
	s.arrive()
}
