package recovery_test

import (
	"slices"
	"strconv"
	"strings"

	"github.com/eowriter/eowriter/ledger"
	"github.com/eowriter/eowriter/recovery"
	"github.com/eowriter/eowriter/retry"
)

// node is a process that writes one partition, with a ledger of its own. It crashes
// and starts again; its ledger may be copied and restored meanwhile.
type node struct {
	w           *world
	name        string
	identity    ledger.Identity
	book        book
	m           *recovery.Machine // nil: crashed
	incarnation int
	encoder     uint32 // its version; see refused
	schema      int    // the table's newest that it knows

	writes []recovery.Action // asked of the ledger, not durable
	call   *recovery.Action  // Create or Finalize, not executed
	conn   uint64            // the present connection
	timers int

	batches map[uint64]int  // of the machine: the position after each
	probed  string          // the stream whose probe fitted in this incarnation
	cause   *recovery.Cause // why it stopped
	late    bool            // it decided to replace its stream without asking it, after somebody had finalized that
}

func (w *world) node(name string, nonce int) *node {
	n := &node{w: w, name: name, identity: identity(nonce)}
	w.nodes = append(w.nodes, n)
	return n
}

// start opens the ledger and begins an incarnation.
func (n *node) start() {
	n.w.note("%s: starts with %s", n.name, n.book)
	n.m = recovery.New(recovery.Options{
		Key: key, Mode: ledger.Replayable, LagTries: 2, PropagationTries: 10_000, Schema: versioned(n.schema), Encoder: n.encoder, MaxDead: 1000,
	})
	n.incarnation++
	n.late = false
	n.probed, n.cause, n.conn, n.timers, n.call, n.writes = "", nil, 0, 0, nil, nil
	n.batches = map[uint64]int{}
	e := recovery.Event{Kind: recovery.Start}
	if n.book.part.Epoch > 0 {
		b := n.book.clone()
		e.Partition, e.Intents = &b.part, b.open
		e.Suspicious = b.part.Owner != n.identity
		e.OwnSeal = b.part.Seal != nil && b.part.Seal.Owner == n.identity
		batch := uint64(0)
		for i, in := range b.open {
			if i == 0 || in.From == 0 {
				batch++ // the parts of a split batch are one batch
			}
			n.batches[batch] = position(in.After)
		}
	}
	halt := n.book.part.Halt
	n.step(e)
	n.w.require(halt == nil || n.stopped().String() == halt.Cause.String() && n.call == nil && n.conn == 0,
		"%s: goes on although an earlier incarnation was halted: %s", n.name, n.m)
}

// marked says whether a stop must outlive the incarnation.
func marked(v recovery.Verdict) bool {
	return v == recovery.Conflict || v == recovery.Fenced || v == recovery.InDoubt
}

// resolve takes the halt back, as a person does who has looked.
func (n *node) resolve() {
	n.w.note("%s: resolved", n.name)
	n.book.part.Halt = nil
}

// resolveTo takes it back with a word: the rows below an offset have landed, no others.
func (n *node) resolveTo(landed int64) {
	n.resolve()
	n.w.require(n.book.boundary(landed), "%s: a person says %d of %s", n.name, landed, n.book)
	n.book.part.Resolution = &ledger.Resolution{Landed: landed}
	n.w.note("%s: %d rows of %s are said to have landed", n.name, landed, n.book.part.Stream)
}

// skip has a batch skipped: that of the i-th open intent.
func (n *node) skip(i int) {
	open := n.book.open
	from, to := i, i
	for open[from].From > 0 && from > 0 {
		from--
	}
	for !open[to].Ends() {
		to++
	}
	for ; from <= to; from++ {
		open[from].Skip = "skipped"
		for _, row := range rowsOf(open[from]) {
			n.w.skipped[row] = true
		}
		n.w.note("%s: rows %v are to be skipped", n.name, rowsOf(open[from]))
	}
}

// crash ends the incarnation. The first writes of those that were not answered may
// have become durable.
func (n *node) crash(durable int) {
	n.w.note("%s: crashes, %d of %d writes are durable", n.name, durable, len(n.writes))
	for _, a := range n.writes[:durable] {
		n.book.apply(n, a)
	}
	n.m, n.writes, n.call = nil, nil, nil
	n.w.check()
}

// offer hands the machine a batch of the source's next rows.
func (n *node) offer(rows int) {
	before := position(n.m.Position())
	in := ledger.Intent{Schema: versioned(n.schema), Before: token(before), After: token(before + rows)}
	encode(&in, n.encoder)
	copy(in.Digest[:], string(token(before))+"-"+string(token(before+rows)))
	n.batches[n.m.NextBatch()] = before + rows
	n.w.note("%s: is offered rows [%d,%d)", n.name, before, before+rows)
	n.step(recovery.Event{Kind: recovery.Offered, Intent: in})
}

// durable lets the oldest write to the ledger become durable.
func (n *node) durable() {
	a := n.writes[0]
	n.writes = n.writes[1:]
	n.step(n.book.apply(n, a))
}

// called executes the call that is due, or fails it.
func (n *node) called(well bool) {
	a := n.call
	n.call = nil
	switch {
	case a.Kind == recovery.Examine:
		n.step(n.examined(a))
	case !well:
		n.w.note("%s: call fails", n.name)
		n.step(recovery.Event{Kind: recovery.CallFailed, Answer: broken(retry.Transient)})
	case a.Kind == recovery.Create:
		n.step(recovery.Event{Kind: recovery.Created, Name: n.w.service.create()})
	default:
		count, failed := n.w.service.finalize(a.Stream)
		n.w.note("%s: finalizes %s with %d rows", n.name, a.Stream, count)
		if failed != nil {
			n.step(recovery.Event{Kind: recovery.CallFailed, Answer: failed})
			return
		}
		n.step(recovery.Event{Kind: recovery.Finalized, Count: count})
	}
}

// renew tells the machine of the table's newest schema.
func (n *node) renew() {
	n.schema = n.w.service.schema
	n.w.note("%s: knows schema %d", n.name, n.schema)
	n.step(recovery.Event{Kind: recovery.Renewed, Schema: versioned(n.schema)})
}

func (n *node) timer() {
	n.timers--
	n.step(recovery.Event{Kind: recovery.Timer})
}

// step feeds the machine an event and carries out what it decides.
func (n *node) step(e recovery.Event) {
	rotating := n.decided()
	defer func() {
		if s := n.w.service.streams[n.book.part.Stream]; s != nil && !rotating && n.decided() {
			n.late = s.finalized && e.Kind != recovery.Start && e.Kind != recovery.Answered
		}
	}()
	for _, a := range n.m.Step(e) {
		n.perform(a)
	}
	for a, due := n.m.Next(); due; a, due = n.m.Next() {
		n.pull(a)
	}
	n.w.check()
}

// decided says that the machine is replacing its stream.
func (n *node) decided() bool {
	phase, _, _ := strings.Cut(n.m.String(), " ")
	return slices.Contains([]string{"draining", "succeeding", "sealing", "finalizing", "examining", "settling"}, phase)
}

func (n *node) perform(a recovery.Action) {
	w := n.w
	w.require(n.cause == nil, "%s: acts after its stop", n.name)
	switch a.Kind {
	case recovery.Bind:
		w.require(n.probed == n.m.Partition().Stream, "%s: binds before a probe fitted (invariant 2)", n.name)
		n.writes = append(n.writes, a)
	case recovery.OpenEpoch, recovery.Acknowledge, recovery.Seal, recovery.Settle, recovery.Halt, recovery.Forget:
		n.writes = append(n.writes, a)
	case recovery.Landed:
		after, ok := n.batches[a.Batch]
		w.require(ok, "%s: batch %d lands twice, or was never offered", n.name, a.Batch)
		delete(n.batches, a.Batch)
		w.require(position(n.book.part.Position) >= after, "%s: rows before %d are told to have landed, but not yet in the ledger (invariant 5)", n.name, after)
		for row := range after {
			w.require(slices.Contains(w.service.table, row) || w.maybeDead(row), "%s: row %d is told to have landed, but is not in the table", n.name, row)
		}
	case recovery.Wait:
		n.timers++
	case recovery.Disconnect:
		n.conn = 0
	case recovery.Stop:
		w.note("%s: stops: %v, %s", n.name, a.Cause.Verdict, a.Cause.Detail)
		w.require(len(n.writes) == 0, "%s: stops before the ledger has answered", n.name)
		w.require(marked(a.Cause.Verdict) == (n.book.part.Halt != nil), "%s: tells of a stop with %s", n.name, n.book)
		n.cause = a.Cause
	}
}

// pull makes a call that Next returned.
func (n *node) pull(a recovery.Action) {
	w := n.w
	switch a.Kind {
	case recovery.Create, recovery.Finalize, recovery.Examine:
		w.require(n.call == nil, "%s: two calls at once", n.name)
		n.call = &a
	case recovery.Connect:
		n.conn = a.Conn
		w.conns = append(w.conns, &conn{node: n, incarnation: n.incarnation, id: a.Conn, pending: true, schema: a.Schema})
	case recovery.Probe:
		w.require(a.Schema == versioned(n.schema), "%s: probes with schema %d, and knows %d", n.name, version(a.Schema), n.schema)
		n.transmit(a, request{stream: a.Stream})
	case recovery.Send:
		w.require(n.probed == a.Stream, "%s: sends before a probe fitted", n.name)
		w.require(a.Schema == a.Intent.Schema, "%s: sends rows of schema %d as ones of %d", n.name, version(a.Intent.Schema), version(a.Schema))
		w.require(a.Intent.Skip == "" && n.book.part.Resolution == nil, "%s: sends while a person's order stands: %s", n.name, n.book)
		w.require(n.book.holds(a), "%s: sends rows at %d of %s that are not bound there (invariant 1)", n.name, a.Intent.Start, a.Stream)
		n.transmit(a, request{a.Stream, a.Intent.Start, rowsOf(a.Intent)})
	}
}

func (n *node) transmit(a recovery.Action, r request) {
	c := n.present()
	n.w.require(c != nil && c.id == a.Conn && !c.pending, "%s: sends on a connection that is not there", n.name)
	n.w.require(c.schema == a.Schema, "%s: sends rows of schema %d over a connection of %d", n.name, version(a.Schema), version(c.schema))
	c.wire = append(c.wire, r)
}

// present returns the present connection, if there is one.
func (n *node) present() *conn {
	for _, c := range n.w.conns {
		if !c.dead() && c.node == n {
			return c
		}
	}
	return nil
}

// fits says whether the end that a probe has shown is one that the ledger explains.
func (n *node) fits(a answered) bool {
	return a.Class == retry.OutOfRange && a.stream == n.book.part.Stream && n.book.boundary(a.Expected)
}

// stopped says with what verdict the node has stopped, 0 if it hasn't.
func (n *node) stopped() recovery.Verdict {
	if n.cause == nil {
		return 0
	}
	return n.cause.Verdict
}

// position is a source position: nothing is the beginning.
func position(token []byte) int {
	n, _ := strconv.Atoi(string(token))
	return n
}

func token(position int) []byte { return []byte(strconv.Itoa(position)) }

// refused says whether an encoder refuses a row: the first versions 1 and 2 differ.
func refused(encoder uint32, row int) bool { return encoder > 0 && row%5 == int(1+encoder) }

// encode makes the batch between in's positions with an encoder.
func encode(in *ledger.Intent, encoder uint32) {
	in.Encoder, in.Rows, in.Dead, in.Without = encoder, 0, nil, nil
	for row := position(in.Before); row < position(in.After); row++ {
		if refused(encoder, row) {
			in.Dead = append(in.Dead, ledger.Dead{Row: int64(row - position(in.Before)), Content: token(row)})
		} else {
			in.Rows++
		}
	}
	in.Of = in.Rows
}

// examined gives the contents of rows, or encodes a batch anew: what the service
// refused before stays dead.
func (n *node) examined(a *recovery.Action) recovery.Event {
	e := recovery.Event{Kind: recovery.Examined, Intent: a.Intent}
	whole := a.Intent
	whole.From = 0
	encode(&whole, a.Intent.Encoder)
	for _, r := range a.Refused {
		e.Contents = append(e.Contents, token(rowsOf(whole)[r.Row]))
	}
	if len(a.Refused) > 0 {
		return e
	}
	if a.Intent.From > 0 { // some have landed: it can't be made of other rows
		n.w.note("%s: batch %s-%s stays as it is", n.name, a.Intent.Before, a.Intent.After)
		return e
	}
	before := a.Intent.Dead
	in := &e.Intent
	encode(in, n.encoder)
	for i, row := range rowsOf(*in) {
		for _, d := range before {
			if d.Service && position(d.Content) == row {
				in.Without = append(slices.Clip(in.Without), int64(i))
				in.Dead = append(in.Dead, d)
				in.Of--
			}
		}
	}
	in.Rows = in.Of
	slices.SortFunc(in.Dead, func(a, b ledger.Dead) int { return int(a.Row - b.Row) })
	n.w.note("%s: encodes %s-%s anew: %v", n.name, in.Before, in.After, rowsOf(*in))
	return e
}

// rowsOf returns the source rows that an intent binds.
func rowsOf(in ledger.Intent) []int {
	var rows []int
	for row := position(in.Before); row < position(in.After); row++ {
		if !refused(in.Encoder, row) {
			rows = append(rows, row)
		}
	}
	for i := len(in.Without) - 1; i >= 0; i-- {
		rows = slices.Delete(rows, int(in.Without[i]), int(in.Without[i])+1)
	}
	return rows[in.From : in.From+in.Rows]
}
